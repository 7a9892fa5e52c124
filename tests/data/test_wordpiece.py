import json
import unicodedata

import numpy as np
import pytest

from jaxsep.data import wordpiece
from jaxsep.data.sets.wordnet import ARCHIVE as WORDNET
from jaxsep.data.sets.wordnet import PARTS, read_part
from jaxsep.data.tokenizers import tokenize as tokenize_as

PIECES = '[PAD] [UNK] [CLS] [SEP] play ##ing ##s a the , ##ed 猫 cafe'.split()
HARD = (
    '', ' ', "Isn't it (rather) $5.00+tax?", 'Crème brûlée, naïve Ångström', '我爱北京 tiananmen',
    'ΟΔΥΣΣΕΥΣ', 'İstanbul', 'a\tb\nc\r\nd\x00e\x0bf\ufffdg', 'x' * 100, 'x' * 101, 'zero\u200bwidth',
    'non\u00a0breaking\u3000blanks', 'emoji 🙂🙃', '\uac00\uac01 한국어', 'ﬁne “quotes” — dash…',
    'unaffable supercalifragilisticexpialidocious 1234567890', 'e\u0301 decomposed', 'ẞ ß ŉ',
    '日本語のテキスト', 'हिन्दी', '1ª 2º ½ ²', '[unused1] [x] ##ing', 'back`tick ~ ^ | < = >',
)  # fmt: skip


@pytest.fixture
def small(packed, monkeypatch):
    vocabulary = {piece: i for i, piece in enumerate(PIECES)}
    content = json.dumps({'model': {'vocab': vocabulary}}).encode()
    archive = packed('pypi', 'pieces==1', {wordpiece.VOCABULARY: content})
    monkeypatch.setattr(wordpiece, 'ARCHIVE', archive)


def spelt(row):
    return ' '.join(PIECES[i] for i in row)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('', '[CLS] [SEP]'),
        ('The plays', '[CLS] the play ##s [SEP]'),
        ('playing,played', '[CLS] play ##ing , play ##ed [SEP]'),
        ('players', '[CLS] [UNK] [SEP]'),
        ('Café', '[CLS] cafe [SEP]'),
        ('a猫a', '[CLS] a 猫 a [SEP]'),
        ('a\x0ba', '[CLS] [UNK] [SEP]'),
        ('a, a, a, a', '[CLS] a , a , a [SEP]'),
        ('[MASK]', '[CLS] [UNK] [UNK] [UNK] [SEP]'),
    ],
)
def test_texts_are_the_longest_known_pieces_between_two_marks(small, text, expected):
    (row,) = wordpiece.tokenize([text], max_length=7)
    assert spelt(row) == ' '.join(expected.split() + ['[PAD]'] * (7 - len(expected.split())))
    assert row.dtype == np.int32


def test_there_must_be_room_for_a_piece(small):
    with pytest.raises(ValueError, match='max_length: expected at least 3'):
        wordpiece.tokenize(['a'], max_length=2)
    assert wordpiece.tokenize([], max_length=3).shape == (0, 3)


def test_a_source_may_ask_for_pieces_or_for_hashed_words(small):
    sizes = dict(num_tokens=50, max_length=5)
    assert spelt(tokenize_as(['a'], kind='wordpiece', **sizes)[0]).startswith('[CLS] a [SEP]')
    hashed = tokenize_as(['a the a'], kind='hashed', **sizes)[0]
    assert hashed[0] == hashed[2] != hashed[1]
    assert not hashed[3:].any()
    with pytest.raises(ValueError, match="tokens: expected wordpiece or hashed, got 'letters'"):
        tokenize_as([], kind='letters', **sizes)


@pytest.fixture(scope='module')
def original(real):
    """The package `tokenizers` with the same vocabulary: text -> ids."""
    real(wordpiece.ARCHIVE, small=False)
    tokenizers = pytest.importorskip('tokenizers')
    content = wordpiece.members(wordpiece.ARCHIVE)[wordpiece.VOCABULARY]().decode()
    made = tokenizers.Tokenizer.from_str(content)
    made.no_padding()
    made.no_truncation()
    return lambda texts: [encoding.ids for encoding in made.encode_batch(texts)]


def rows_of(texts):
    return [row[row > 0].tolist() for row in wordpiece.tokenize(texts, max_length=256)]


def test_ids_of_hard_texts_are_those_of_the_tokenizers_package(original):
    for text, row, expected in zip(HARD, rows_of(HARD), original(HARD), strict=True):
        assert row == expected, text


def test_ids_of_definitions_are_those_of_the_tokenizers_package(original, real):
    real(WORDNET, small=True)
    glosses = [synset.gloss for part in PARTS for synset in read_part(part, examples=True)[::200]]
    assert rows_of(glosses) == original(glosses)


def test_ids_of_single_characters_are_those_of_the_tokenizers_package(original):
    old = unicodedata.ucd_3_2_0  # newer characters are not known to both alike
    texts = [
        f'a{c}b' for c in map(chr, range(0x3000))
        if old.category(c) == unicodedata.category(c)
    ]  # fmt: skip
    assert rows_of(texts) == original(texts)
