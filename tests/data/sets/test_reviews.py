import io

import numpy as np
import pytest

from jaxsep.data.sets import reviews
from jaxsep.data.source import load, take_all
from jaxsep.data.text import tokenize

pyarrow = pytest.importorskip('pyarrow', reason='reviews are a parquet file')
TABLE = {
    'Clothing ID': [7, 7, 8, 9, 8, 9],
    'Age': [20, 30, 40, 50, 60, 70],
    'Title': [None, 'Nice', None, None, 'No', None],
    'Review Text': ['fits well', 'too small', None, 'soft', 'bad zip', 'soft'],
    'Rating': [5, 2, 3, 5, 1, 5],
    'Recommended IND': [1, 0, 1, 1, 0, 1],
    'Positive Feedback Count': [0, 3, 1, 0, 9, 2],
    'Division Name': ['General', 'General', 'General', 'Petite', 'General', 'Petite'],
    'Department Name': ['Tops', 'Tops', 'Tops', 'Dresses', 'Tops', 'Dresses'],
    'Class Name': ['Knits', 'Knits', 'Knits', 'Dresses', 'Knits', 'Dresses'],
}
ALL = dict(tokens='hashed', num_tokens=1000, max_length=6, test_fraction=0.3)


@pytest.fixture
def small(packed, monkeypatch):
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(TABLE), file)
    archive = packed('pypi', 'reviews==1', {reviews.MEMBER: file.getvalue()})
    monkeypatch.setattr(reviews, 'ARCHIVE', archive)


def together(source):
    rows = [take_all(split) for split in source.splits.values()]
    return {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}


def test_rows_are_the_different_texts_with_what_is_known_of_them(small):
    source = load('reviews', **ALL)
    rows = together(source)
    found = {}
    for i, tokens in enumerate(rows['tokens']):
        named = {label: names[rows[label][i]] for label, names in source.labels.items()}
        found[tokens.tobytes()] = tuple(named.values())
    assert tuple(source.labels) == (
        'rating', 'recommended', 'division', 'department', 'class', 'item'
    )  # fmt: skip
    expected = {
        'fits well': ('5', '1', 'General', 'Tops', 'Knits', '7'),
        'too small': ('2', '0', 'General', 'Tops', 'Knits', '7'),
        'soft': ('5', '1', 'Petite', 'Dresses', 'Dresses', '9'),
        'bad zip': ('1', '0', 'General', 'Tops', 'Knits', '8'),
    }
    tokens = tokenize(list(expected), num_tokens=1000, max_length=6)
    assert found == dict(zip((t.tobytes() for t in tokens), expected.values(), strict=True))
    train = take_all(source.splits['train'])['numbers']
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), 1, rtol=1e-6)


def test_titles_stand_in_front_where_there_are_any(small):
    rows = together(load('reviews', titles=True, **ALL))['tokens']
    texts = ['fits well', 'Nice. too small', 'soft', 'No. bad zip']
    expected = tokenize(texts, num_tokens=1000, max_length=6)
    assert {t.tobytes() for t in rows} == {t.tobytes() for t in expected}


def test_so_many_are_drawn(small):
    drawn = [together(load('reviews', max_reviews=2, **ALL))['tokens'] for _ in range(2)]
    assert drawn[0].shape == (2, 6)
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    'wrong', [{'max_reviews': 1}, {'tokens': 'words'}, {'test_fraction': 0.0}], ids=str
)
def test_impossible_options_are_refused(small, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load('reviews', **ALL | wrong)


def test_real_reviews_are_complete(real):
    real(reviews.ARCHIVE, small=False)
    source = load('reviews', **ALL)
    assert sum(map(len, source.splits.values())) == 22621
    sizes = {label: len(names) for label, names in source.labels.items()}
    assert sizes.pop('item') > 1100
    assert sizes == {'rating': 5, 'recommended': 2, 'division': 3, 'department': 6, 'class': 20}
    rows = together(source)
    assert len(np.unique(np.stack([rows['class'], rows['department']]), axis=1).T) == 20
