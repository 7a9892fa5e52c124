import numpy as np
import pytest

from jaxsep.data.sets import wordnet
from jaxsep.data.source import load, take_all
from jaxsep.data.text import tokenize

LICENCE = '  1 This software and database is being provided to you\n'
NOUNS = """\
00000001 05 n 02 cat 0 true_cat 0 001 @ 00000009 n 0000 | feline with soft fur; "a cat purrs"; "it ran"
00000002 05 n 01 dog 0 000 | a barking animal
00000003 13 n 01 Cat 0 000 | a made-up dish: "cat with rice"
00000004 13 n 01 soup 0 000 | liquid food; often hot
00000005 13 n 01 broth 0 000 | liquid food; often hot
00000006 06 n 01 body_of_water 0 000 | not an artifact, as in "a lake" """
ADJECTIVES = """\
00000001 00 a 01 awake(p) 0 000 | not asleep
00000002 00 s 01 asleep(ip) 0 000 | liquid food; often hot"""
ALL = dict(max_synsets=None, tokens='hashed', num_tokens=1000, max_length=8, test_fraction=0.3)


@pytest.fixture
def small(packed, monkeypatch):
    files = {'noun': NOUNS, 'verb': '', 'adj': ADJECTIVES, 'adv': ''}
    files = {f'package/dict/data.{p}': (LICENCE + x).encode() for p, x in files.items()}
    monkeypatch.setattr(wordnet, 'ARCHIVE', packed('npm', 'words@1', files))


def rows_of(source):
    """All rows by the name of their synset."""
    names, found = source.labels['synset'], {}
    for split in source.splits.values():
        columns = take_all(split)
        for i, synset in enumerate(columns['synset']):
            found[names[synset]] = {name: values[i] for name, values in columns.items()}
    return found


def test_each_row_has_the_gloss_and_the_first_word(small):
    source = load('wordnet', **ALL)
    rows = rows_of(source)
    expected = {
        'cat, noun 00000001': ('cat', 'feline with soft fur', 'noun.animal'),
        'dog, noun 00000002': ('dog', 'a barking animal', 'noun.animal'),
        'Cat, noun 00000003': ('cat', 'a made-up dish', 'noun.food'),
        'soup, noun 00000004': ('soup', 'liquid food; often hot', 'noun.food'),
        'body of water, noun 00000006':
            ('body of water', 'not an artifact, as in "a lake"', 'noun.artifact'),
        'awake, adj 00000001': ('awake', 'not asleep', 'adj.all'),
    }  # fmt: skip
    assert rows.keys() == expected.keys(), 'equal glosses are there once'
    sizes = dict(num_tokens=1000)
    for name, (lemma, gloss, topic) in expected.items():
        row = rows[name]
        assert source.labels['lemma'][row['lemma']] == lemma
        assert source.labels['topic'][row['topic']] == topic
        np.testing.assert_array_equal(row['tokens'], tokenize([gloss], max_length=8, **sizes)[0])
        query = tokenize([lemma], max_length=16, **sizes)[0]
        np.testing.assert_array_equal(row['query_tokens'], query)
    assert source.labels['topic'] == ('adj.all', 'noun.animal', 'noun.artifact', 'noun.food')


def test_example_sentences_stay_where_they_are_wanted(small):
    row = rows_of(load('wordnet', examples=True, **ALL | {'max_length': 20}))['cat, noun 00000001']
    gloss = 'feline with soft fur; "a cat purrs"; "it ran"'
    expected = tokenize([gloss], num_tokens=1000, max_length=20)[0]
    np.testing.assert_array_equal(row['tokens'], expected)


def test_parts_topics_and_number_are_chosen(small):
    assert len(rows_of(load('wordnet', parts=('adj',), **ALL))) == 2
    food = load('wordnet', topics=('noun.food',), **ALL)
    assert food.labels['topic'] == ('noun.food',)
    assert rows_of(food).keys() == {'Cat, noun 00000003', 'soup, noun 00000004'}
    few = [load('wordnet', **ALL | {'max_synsets': 3, 'seed': seed}) for seed in (0, 0, 1, 2, 3)]
    chosen = [source.labels['synset'] for source in few]
    assert {len(names) for names in chosen} == {3}
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 1
    assert rows_of(few[0]).keys() == set(chosen[0])


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'parts': ('nouns',)}, "parts: unknown 'nouns': did you mean noun"),
        ({'parts': 'noun'}, 'parts: expected a tuple'),
        ({'parts': ()}, 'parts: expected a tuple'),
        ({'topics': ('animal',)}, "topics: unknown 'animal'"),
        ({'parts': ('adj',), 'topics': ('noun.food',)}, 'topics: .* have 0 synsets'),
        ({'max_synsets': 1}, 'max_synsets: expected at least 2'),
        ({'tokens': 'words'}, 'tokens: expected wordpiece or hashed'),
        ({'test_fraction': 1.0}, 'test_fraction'),
    ],
)
def test_impossible_options_are_refused(small, wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        load('wordnet', **ALL | wrong)


def test_real_synsets_are_complete(real):
    real(wordnet.ARCHIVE, small=True)
    parts = {part: wordnet.read_part(part, examples=False) for part in wordnet.PARTS}
    sizes = {part: len(synsets) for part, synsets in parts.items()}
    assert sizes == {'noun': 82192, 'verb': 13789, 'adj': 18185, 'adv': 3625}
    every = [s for synsets in parts.values() for s in synsets]
    assert len({s.name for s in every}) == len(every)
    assert len(every) - len({s.gloss for s in every}) == 872
    for part, synsets in parts.items():
        assert {wordnet.TOPICS[s.topic].split('.')[0] for s in synsets} == {part}
        assert min(len(s.gloss) for s in synsets) >= 3
        assert sum('"' in s.gloss for s in synsets) < 10
