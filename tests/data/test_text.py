"""Words, and their ids by hashing."""

import zlib

import numpy as np
import pytest

from jaxsep.data.text import tokenize, words

SIZES = {'num_tokens': 1000, 'max_length': 6}


def test_ids_are_the_checksums_of_the_words():
    def crc32(data):
        """The checksum bit by bit (ISO 3309), so that ids outlive any library."""
        value = 0xFFFFFFFF
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        return value ^ 0xFFFFFFFF

    expected = [1 + crc32(word) % 999 for word in (b'a', b'gripping', b'film', b'!')]
    found = tokenize(['A gripping FILM!'], **SIZES)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [[*expected, 0, 0]])


def test_case_spaces_and_bytes_do_not_matter():
    found = tokenize(['Ça  va,\tbien', b'\xc3\xa7a va , bien', 'c\u0327a va, bien'], **SIZES)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_no_text_no_word_and_long_texts():
    assert tokenize([], **SIZES).shape == (0, 6)
    np.testing.assert_array_equal(tokenize(['', ' \n', b''], **SIZES), 0)
    long = tokenize(['one two three four five six seven', 'one two three four five six'], **SIZES)
    assert long.all()
    np.testing.assert_array_equal(long[0], long[1])


def test_no_word_is_padding_and_ids_stay_below_num_tokens():
    texts = [f'w{i}' for i in range(2000)]
    ids = tokenize(texts, num_tokens=17, max_length=1)
    assert set(ids[:, 0].tolist()) == set(range(1, 17))
    assert set(tokenize(texts, num_tokens=2, max_length=1)[:, 0].tolist()) == {1}


def test_words_share_ids_as_rarely_as_said():
    texts = [f'w{i}' for i in range(2000)]
    ids, counts = np.unique(tokenize(texts, num_tokens=32_768, max_length=1), return_counts=True)
    shared = counts[counts > 1].sum() / len(texts)
    assert 0.5 < shared / (2000 / 32_768) < 2


def test_broken_bytes_are_read_as_far_as_they_can_be():
    assert words(b'good \xff film') == ['good', '\ufffd', 'film']
    assert zlib.crc32(b'good') == zlib.crc32(words(b'GOOD')[0].encode())


@pytest.mark.parametrize('name', ['num_tokens', 'max_length'])
def test_sizes_without_room_are_refused(name):
    with pytest.raises(ValueError, match=f'{name}: expected at least'):
        tokenize(['a'], **{**SIZES, name: name == 'num_tokens'})
