"""Universal Source Separation with Weakly Labelled Data (Kong et al., 2023).

One separator for all kinds of sounds, learnt from clips that carry tags only. A frozen tagger finds
the segment of each clip where its tag is most probable; two such segments of different classes
are summed; what the tagger says of the one, alone, is the query on which a U-Net gives
it back. At test, the query of a class is the mean over its training segments, or the
tagger's word on the mixture itself, cut down to a branch of the hierarchy of classes.

Stage `tagger` learns from the clips' tags; stage `separator` starts with its parameters, keeps a
frozen copy of them, and never changes it. The paper's tagger and detector are PANNs, trained on
AudioSet; here one small network is both.

https://arxiv.org/abs/2305.07447, https://github.com/bytedance/uss. There batches are drawn class by
class, so that the next clip of a batch is of another class; here the partner is drawn among
those of another class, which holds for any order of the data.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsep.algorithms import anchor_mining as anchors
from jaxsep.algorithms.class_hierarchy import class_sums, gate
from jaxsep.losses.separation import magnitude_l1, waveform_l1
from jaxsep.method import Method
from jaxsep.models.audio_tagger import AudioTagger
from jaxsep.models.resunet import QuerySeparator
from jaxsep.ops import devices

STAGES = ('tagger', 'separator')
MININGS = ('anchor', 'random')
QUERIES = ('tags', 'embedding')


def make(
    *,
    num_classes: int,
    sample_rate: int,
    stage: str = 'separator',
    tagger: Mapping = {},  # noqa: B006
    separator: Mapping = {},  # noqa: B006
    anchor_seconds: float = 2.0,
    mining: str = 'anchor',
    query: str = 'tags',
    num_mixed: int = 2,
    match_energy: bool = True,
    spectrum_weight: float = 0.0,
    added: float = 0.5,
    branches: Sequence[Sequence[int]] = (),
    threshold: float = 0.2,
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """One stage of universal source separation, for clips `waveform` [b, t].

    Stage 'tagger' outputs `logits` and `embedding` of the clip. Stage 'separator' outputs for `mixture`
    [b, s], `true_classes` [b, n] and `absent` [b]: `waveform` [b, n, s], separated with the
    queries of the classes; `wrong` [b, n, s], with that of the absent class; `stems` [b, g, s],
    the branches of the hierarchy, silent where the tagger hears none of their classes.

    Args:
      num_classes, sample_rate: facts of the data.
      stage: tagger or separator.
      tagger: attributes of `jaxsep.models.audio_tagger.AudioTagger`.
      separator: attributes of `jaxsep.models.resunet.QuerySeparator`; ResUNet30 if empty.
      anchor_seconds: of a segment; 2 in the paper.
      mining: 'anchor', where the tag is most probable, or 'random', the paper's ablation. The
        queries of the classes are those of mined segments in both.
      query: 'tags', the probabilities of the classes, or 'embedding' of the tagger.
      num_mixed: segments in a mixture; 2 in the paper.
      match_energy: make the others as loud as the target.
      spectrum_weight: of the L1 loss on magnitudes, beside that on samples; 0 in the paper.
      added: probability with which the tagger's clip gets another one added, and its tag; a mixture's
        tags are then no news to it. PANNs have mixup for that.
      branches: the classes of each branch; () for one branch per class. For queries by tags.
      threshold: probability from which a branch is active; 0.2 in the paper.
      label: column with each clip's class.
    """
    for name, value, known in (
        ('stage', stage, STAGES), ('mining', mining, MININGS), ('query', query, QUERIES),
    ):  # fmt: skip
        if value not in known:
            raise ValueError(f'{name}: expected one of {known}, got {value!r}')
    if num_classes < 2:
        raise ValueError(f'num_classes: expected at least 2, got {num_classes}')
    if num_mixed < 2:
        raise ValueError(f'num_mixed: expected at least 2 segments, got {num_mixed}')
    if not 0 < threshold < 1:
        raise ValueError(f'threshold: expected a probability between 0 and 1, got {threshold}')
    if spectrum_weight < 0:
        raise ValueError(f'spectrum_weight: expected 0 or more, got {spectrum_weight}')
    if not 0 <= added <= 1:
        raise ValueError(f'added: expected a probability from 0 to 1, got {added}')
    branches = tuple(map(tuple, branches)) or tuple((k,) for k in range(num_classes))
    if any(not 0 <= k < num_classes for branch in branches for k in branch):
        raise ValueError(f'branches: expected classes from 0 to {num_classes - 1}, got {branches}')
    in_branch = jnp.array([[k in branch for k in range(num_classes)] for branch in branches])
    tagging = AudioTagger(num_classes, sample_rate, axis_name=axis_name, **tagger)
    if stage == 'tagger':
        return learn_tags(tagging, num_classes, added, label, axis_name)
    separating = QuerySeparator(axis_name=axis_name, **separator)
    size = anchor_frames(anchor_seconds, sample_rate, tagging.hop)

    def ask(frozen, segments):
        """The query that the frozen tagger makes of segments alone; no gradient."""
        heard = tagging.apply(frozen, segments)
        found = jax.nn.sigmoid(heard.logits) if query == 'tags' else heard.embedding
        return jax.lax.stop_gradient(found)

    def mine(frozen, waveforms, labels):
        heard = tagging.apply(frozen, waveforms)
        framewise = jax.lax.stop_gradient(jax.nn.sigmoid(heard.frames))
        centers = anchors.anchor_centers(framewise, labels, size)
        return anchors.cut_segments(waveforms, centers, size, tagging.hop), framewise.shape[1]

    def init(key, batch):
        check_columns(batch, ('waveform', label, 'mixture', 'true_classes', 'absent'))
        waveforms = jnp.asarray(batch['waveform'])
        if waveforms.shape[1] // tagging.hop < size:
            raise ValueError(
                f'anchor_seconds: expected less than the clips, of {waveforms.shape[1]} samples, '
                f'got {anchor_seconds}'
            )
        tagger_key, separator_key = jax.random.split(key)
        known = dict(tagging.init(tagger_key, waveforms, train=True))
        segments = waveforms[:, : size // 2 * 2 * tagging.hop]
        queries = jax.eval_shape(ask, known, segments)
        start = jnp.zeros(queries.shape, queries.dtype)
        fresh = dict(separating.init(separator_key, segments, start, train=True))
        params = {'tagger': known.pop('params'), 'separator': fresh.pop('params')}
        extra = {
            'tagger': known,
            'separator': fresh,
            'query_sum': jnp.zeros((num_classes, queries.shape[1])),
            'query_count': jnp.zeros(num_classes),
        }
        return begin(params, extra)

    def begin(params, extra):
        """Freezes a copy of the tagger; the one among the parameters gets no gradient."""
        return params, {**extra, 'tagger': {**extra['tagger'], 'params': params['tagger']}}

    def loss(params, extra, batch, key):
        waveforms, labels = jnp.asarray(batch['waveform']), jnp.asarray(batch[label])
        mix_key, place_key = jax.random.split(key)
        mined, num_frames = mine(extra['tagger'], waveforms, labels)
        targets, queries = mined, ask(extra['tagger'], mined)
        sums = devices.total(class_sums(queries, labels, num_classes), axis_name)
        if mining == 'random':
            keys = devices.example_keys(place_key, len(labels), axis_name)
            centers = anchors.random_centers(keys, num_frames, size)
            targets = anchors.cut_segments(waveforms, centers, size, tagging.hop)
            queries = ask(extra['tagger'], targets)
        partners = anchors.partners_of_other_classes(
            devices.example_keys(mix_key, len(labels), axis_name),
            devices.positions(len(labels), axis_name),
            devices.gather(labels, axis_name),
            num_mixed - 1,
        )
        mixtures = anchors.mix(targets, devices.gather(targets, axis_name), partners, match_energy)
        variables = {'params': params['separator'], **extra['separator']}
        estimates, changed = separating.apply(
            variables, mixtures, queries, train=True, mutable=['batch_stats']
        )
        error = devices.mean(waveform_l1(estimates, targets), axis_name)
        value, metrics = error, {'waveform_l1': error}
        if spectrum_weight:
            sizes = {'n_fft': separating.n_fft, 'hop': separating.hop}
            spectral = devices.mean(magnitude_l1(estimates, targets, **sizes), axis_name)
            value, metrics = (
                error + spectrum_weight * spectral,
                {**metrics, 'spectral_l1': spectral},
            )
        extra = {
            **extra,
            'separator': {**extra['separator'], **changed},
            'query_sum': extra['query_sum'] + sums[0],
            'query_count': extra['query_count'] + sums[1],
        }
        return value, (extra, metrics)

    def outputs(params, extra, batch):
        mixtures = jnp.asarray(batch['mixture'])
        asked = jnp.concatenate(
            [jnp.asarray(batch['true_classes']), jnp.asarray(batch['absent'])[:, None]], axis=1
        )
        mean = extra['query_sum'] / jnp.maximum(extra['query_count'], 1.0)[:, None]
        variables = {'params': params['separator'], **extra['separator']}

        def separate(conditions):
            """[b, q, d] -> [b, q, s]."""
            b, q = conditions.shape[:2]
            repeated = jnp.repeat(mixtures, q, axis=0)
            flat = separating.apply(variables, repeated, conditions.reshape(b * q, -1))
            return flat.reshape(b, q, -1)

        number = asked.shape[1]
        queries = mean[jnp.maximum(asked, 0)]
        if query == 'tags':
            heard = gate(ask(extra['tagger'], mixtures), in_branch, threshold)
            queries = jnp.concatenate([queries, jnp.swapaxes(heard.conditions, 0, 1)], axis=1)
        found = separate(queries)
        named = {
            'waveform': found[:, : number - 1],
            'wrong': jnp.repeat(found[:, number - 1 : number], number - 1, axis=1),
        }
        if query == 'tags':
            named['stems'] = jnp.where(heard.active.T[..., None], found[:, number:], 0.0)
        return named

    return Method(init, loss, outputs, begin=begin)


def learn_tags(
    tagging: AudioTagger, num_classes: int, added: float, label: str, axis_name: str | None
) -> Method:
    """The tagger: binary cross-entropy of each class with the clip's tags."""

    def init(key, batch):
        check_columns(batch, ('waveform', label))
        variables = dict(tagging.init(key, jnp.asarray(batch['waveform']), train=True))
        return {'tagger': variables.pop('params')}, {'tagger': variables}

    def loss(params, extra, batch, key):
        variables = {'params': params['tagger'], **extra['tagger']}
        waveforms, tags = add_clips(
            key, jnp.asarray(batch['waveform']), jnp.asarray(batch[label]), num_classes, added,
            axis_name,
        )  # fmt: skip
        heard, changed = tagging.apply(variables, waveforms, train=True, mutable=['batch_stats'])
        each = optax.sigmoid_binary_cross_entropy(heard.logits, tags).mean(axis=1)
        loudest = jnp.argmax(heard.logits, axis=1)[:, None]
        right = devices.mean(jnp.take_along_axis(tags, loudest, axis=1)[:, 0], axis_name)
        extra = {'tagger': {**extra['tagger'], **changed}}
        return devices.mean(each, axis_name), (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        variables = {'params': params['tagger'], **extra['tagger']}
        heard = tagging.apply(variables, jnp.asarray(batch['waveform']))
        return {'logits': heard.logits, 'embedding': heard.embedding}

    return Method(init, loss, outputs)


def add_clips(
    key: jax.Array,
    waveforms: jax.Array,
    labels: jax.Array,
    num_classes: int,
    probability: float,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Clips [b, t], some with one of another class added, and their tags [b, k], 0 or 1."""
    place_key, coin_key = jax.random.split(key)
    all_labels = devices.gather(labels, axis_name)
    places = devices.positions(len(labels), axis_name)
    keys = devices.example_keys(place_key, len(labels), axis_name)
    partners = anchors.partners_of_other_classes(keys, places, all_labels, 1)[:, 0]
    coins = devices.example_keys(coin_key, len(labels), axis_name)
    taken = jax.vmap(lambda k: jax.random.bernoulli(k, probability))(coins)[:, None]
    others = devices.gather(waveforms, axis_name)[partners]
    tags = jax.nn.one_hot(labels, num_classes)
    more = jnp.maximum(tags, jax.nn.one_hot(all_labels[partners], num_classes))
    return waveforms + jnp.where(taken, others, 0.0), jnp.where(taken, more, tags)


def anchor_frames(seconds: float, sample_rate: int, hop: int) -> int:
    """Frames of a segment and one more, an odd number: int(seconds x frames a second + 1).

    >>> anchor_frames(2.0, 32000, 320)
    201
    """
    size = int(np.floor(seconds * sample_rate / hop + 1))
    size -= size % 2 == 0
    if size < 3:
        raise ValueError(
            f'anchor_seconds: expected at least {2 * hop / sample_rate}, got {seconds}'
        )
    return size


def check_columns(batch: Mapping, names: Sequence[str]) -> None:
    """Raises ValueError naming a column that the data lack."""
    for name in names:
        if name not in batch:
            raise ValueError(f'data: no column {name!r}; there are {sorted(batch)}')
