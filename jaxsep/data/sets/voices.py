"""Spoken prompts in four languages, from the Debian packages of a telephone exchange."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxsep.archives import Archive, decoded, members
from jaxsep.data.sounds import RATE, cut, onset, read_wav, to_float
from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction, stratified

LANGUAGES = {
    'en': Archive(
        'deb',
        'asterisk-core-sounds-en-wav=1.6.1-1',
        '2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d',
    ),
    'es': Archive(
        'deb',
        'asterisk-core-sounds-es-wav=1.6.1-1',
        '9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903',
    ),
    'fr': Archive(
        'deb',
        'asterisk-core-sounds-fr-wav=1.6.1-1',
        '8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e',
    ),
    'it': Archive(
        'deb',
        'asterisk-prompt-it-menardi-wav=1:1.4.22+mm20110907-3.1',
        '3094530d98f8758ac275572d59624c41f60969fef883f34f4886d144f3dfeb21',
    ),
}
SOUNDS = '/asterisk/sounds/'
NO_SPEECH = ('silence', 'beep', 'beeperr', 'ascending-2tone', 'descending-2tone', 'tt-monkeys')


def load(
    *,
    languages: Sequence[str] = ('en', 'es', 'fr', 'it'),
    group: str = '',
    seconds: float = 1.0,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """The same prompts, spoken in each of the languages; test prompts are never heard in training.

    A row is the beginning of one prompt in one language, from its onset on: `waveform` float32
    [8000 seconds] at 8 kHz, from -1 to 1, zeros where the prompt is over. `length` int32 is the
    number of samples before that. The labels are `language`, `prompt`, whose classes are the names of
    the prompts ('digits/7', 'vm-goodbye'), and `group`, the part before '/' ('digits', 'letters',
    'phonetic', ..., 'general'). Some 480 prompts are there in all four languages; English and
    Spanish have the same speaker. CC BY-SA 3.0; 18 to 24 MB from Debian for each language.

    Args:
      languages: of 'en', 'es', 'fr', 'it'.
      group: keep the prompts of this one; '' for all.
      seconds: of each row.
      test_fraction: share of the prompts, of each group, that is kept for test.
      seed: of the division of the prompts.
    """
    check_fraction(test_fraction)
    if not languages or len(set(languages)) < len(languages) or set(languages) - set(LANGUAGES):
        raise ValueError(
            f'languages: expected some of {", ".join(LANGUAGES)}, each once, got {languages}'
        )
    length = round(seconds * RATE)
    if length < 1:
        raise ValueError(f'seconds: expected more than 0, got {seconds}')
    spoken = {language: recordings(language) for language in languages}
    prompts = sorted(set.intersection(*map(set, spoken.values())))
    groups = tuple(sorted({group_of(prompt) for prompt in prompts}))
    if group:
        if group not in groups:
            raise ValueError(f'group: expected one of {", ".join(groups)}, got {group!r}')
        prompts = [prompt for prompt in prompts if group_of(prompt) == group]
    numbers = np.array([groups.index(group_of(prompt)) for prompt in prompts], np.int32)
    pairs = [(p, k) for p in range(len(prompts)) for k in range(len(languages))]
    pieces = [from_onset(spoken[languages[k]][prompts[p]], length) for p, k in pairs]
    prompt, language = np.array(pairs, np.int32).T
    columns = {
        'waveform': np.stack([cut(piece, length) for piece in pieces]),
        'length': np.array([len(piece) for piece in pieces], np.int32),
        'language': language,
        'prompt': prompt,
        'group': numbers[prompt],
    }
    splits = {}
    for name, chosen in zip(
        ('train', 'test'), stratified(numbers, test_fraction, seed), strict=True
    ):
        rows = np.isin(prompt, chosen)
        splits[name] = Arrays({key: values[rows] for key, values in columns.items()})
    labels = {'language': tuple(languages), 'prompt': tuple(prompts), 'group': groups}
    return Source(splits, labels, 'prompts of a telephone exchange, spoken in several languages')


def recordings(language: str) -> dict[str, Float[np.ndarray, 't']]:
    """Prompt -> all of its samples at 8 kHz, without the prompts that are no speech."""
    archive = LANGUAGES[language]

    def decode():
        files = {
            name.split(SOUNDS)[1].partition('/')[2].removesuffix('.wav'): read_wav(read())
            for name, read in members(archive).items()
            if SOUNDS in name and name.endswith('.wav')
        }
        return {
            prompt: samples
            for prompt, samples in sorted(files.items())
            if not {prompt, group_of(prompt)} & set(NO_SPEECH)
        }

    return {name: to_float(samples) for name, samples in decoded([archive], 'v1', decode).items()}


def group_of(prompt: str) -> str:
    """The folder of a prompt; 'general' without one.

    >>> group_of('digits/7'), group_of('vm-goodbye')
    ('digits', 'general')
    """
    folder, slash, _ = prompt.partition('/')
    return folder if slash else 'general'


def from_onset(waveform: Float[np.ndarray, 't'], length: int) -> Float[np.ndarray, 'n']:
    """At most `length` samples from the onset on."""
    begin = onset(waveform)
    return waveform[begin : begin + length]
