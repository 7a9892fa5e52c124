import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.anchor_mining import (
    amplitude_ratio,
    anchor_centers,
    anchor_scores,
    cut_segments,
    mix,
    neighbours,
    partners_of_other_classes,
    random_centers,
)
from jaxsep.methods.audio.uss import anchor_frames


def sizes(g):
    _, seconds, frames_per_second, rate = g['anchor/cfg']
    hop = int(rate // frames_per_second)
    return anchor_frames(float(seconds), int(rate), hop), hop


def test_scores_places_and_segments_are_those_of_the_released_code(golden):
    g = golden('uss')
    size, hop = sizes(g)
    framewise, labels = jnp.asarray(g['anchor/framewise']), jnp.asarray(g['anchor/class_ids'])
    own = jnp.take_along_axis(framewise, labels[:, None, None], axis=2)[..., 0]
    np.testing.assert_allclose(anchor_scores(own, size), g['anchor/scores'], rtol=1e-5)
    centers = anchor_centers(framewise, labels, size)
    np.testing.assert_array_equal((centers - size // 2) * hop, g['anchor/bgn'])
    np.testing.assert_array_equal((centers + size // 2) * hop, g['anchor/end'])
    segments = cut_segments(jnp.asarray(g['anchor/waveform']), centers, size, hop)
    np.testing.assert_array_equal(segments, g['anchor/segments'])


def test_scores_are_means_over_repeated_ends():
    p = np.random.default_rng(0).random((2, 3, 7)).astype(np.float32)
    found = anchor_scores(jnp.asarray(p), 5)
    for m in range(7):
        around = [p[..., min(max(m + d, 0), 6)].astype(np.float64) for d in range(-2, 3)]
        np.testing.assert_allclose(found[..., m], np.mean(around, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(anchor_scores(jnp.asarray(p), 1), p)


def test_ties_take_the_first_frame_that_leaves_room():
    centers = anchor_centers(jnp.zeros((2, 9, 3)), jnp.array([0, 2]), 5)
    assert centers.tolist() == [2, 2] and centers.dtype == jnp.int32
    late = jnp.zeros((1, 9, 1)).at[0, 8].set(1.0)
    assert anchor_centers(late, jnp.array([0]), 5).tolist() == [7]


def test_only_the_own_class_decides():
    framewise = jnp.zeros((1, 20, 2)).at[0, 5, 0].set(1.0).at[0, 12, 1].set(1.0)
    assert anchor_centers(framewise, jnp.array([0]), 3).tolist() == [4]  # first of 4, 5, 6
    assert anchor_centers(framewise, jnp.array([1]), 3).tolist() == [11]


def test_random_places_are_everywhere_where_there_is_room():
    centers = random_centers(jax.random.split(jax.random.key(0), 400), 12, 5)
    assert set(centers.tolist()) == set(range(2, 11))


@pytest.mark.parametrize('n', [2, 3])
@pytest.mark.parametrize('match', [0, 1])
def test_mixtures_are_those_of_the_released_code(golden, n, match):
    g = golden('uss')
    name = f'mix/n{n}_e{match}'
    segments = jnp.asarray(g[f'{name}/wav'])
    np.testing.assert_array_equal(segments, g[f'{name}/targets'])  # it takes all rows as targets
    found = mix(segments, segments, neighbours(len(segments), n - 1), bool(match))
    np.testing.assert_allclose(found, g[f'{name}/mixtures'], rtol=1e-5, atol=1e-6)


def test_partners_become_as_loud_as_the_target_within_bounds():
    target = jnp.array([[3.0, -3.0, 3.0]])
    for level, want in ((1.0, 3.0), (1e-4, 50.0), (0.0, 50.0), (1e4, 0.02)):
        found = amplitude_ratio(target, jnp.full((1, 3), level))
        np.testing.assert_allclose(found, [want], rtol=1e-5)
    silent = mix(0 * target, target, jnp.array([[0]]))
    np.testing.assert_allclose(silent, 0.02 * target, rtol=1e-5)


def test_partners_are_of_other_classes_and_all_occur():
    labels = jnp.array([0, 0, 1, 2, 2, 0])
    seen = {place: set() for place in range(6)}
    for seed in range(40):
        keys = jax.random.split(jax.random.key(seed), 6)
        partners = partners_of_other_classes(keys, jnp.arange(6), labels, 2)
        assert all(len(set(row)) == 2 for row in partners.tolist())
        for place, row in enumerate(partners.tolist()):
            seen[place] |= set(row)
    for place, found in seen.items():
        assert found == {i for i in range(6) if labels[i] != labels[place]}


def test_partners_of_a_batch_of_one_class_are_other_rows():
    keys = jax.random.split(jax.random.key(0), 3)
    partners = partners_of_other_classes(keys, jnp.arange(3), jnp.zeros(3, jnp.int32), 2)
    assert [sorted(row) for row in partners.tolist()] == [[1, 2], [0, 2], [0, 1]]
    alone = partners_of_other_classes(keys[:1], jnp.array([0]), jnp.zeros(1, jnp.int32), 1)
    assert alone.tolist() == [[0]]


def test_partners_of_a_part_of_the_batch_are_those_of_the_whole():
    labels = jnp.array([0, 1, 2, 0, 1, 2])
    keys = jax.random.split(jax.random.key(1), 6)
    whole = partners_of_other_classes(keys, jnp.arange(6), labels, 1)
    part = partners_of_other_classes(keys[4:], jnp.array([4, 5]), labels, 1)
    np.testing.assert_array_equal(part, whole[4:])


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: anchor_scores(jnp.ones((1, 9)), 4), 'size: expected an odd number'),
        (lambda: anchor_scores(jnp.ones((1, 9)), -1), 'size: expected an odd number'),
        (
            lambda: anchor_centers(jnp.ones((1, 3, 1)), jnp.zeros(1, int), 5),
            'size: expected at most 3',
        ),
        (
            lambda: random_centers(jax.random.split(jax.random.key(0), 1), 3, 5),
            'size: expected at most',
        ),
        (
            lambda: partners_of_other_classes(
                jax.random.split(jax.random.key(0), 2), jnp.arange(2), jnp.arange(2), 3
            ),
            'count: expected 1 to 2',
        ),
        (lambda: anchor_frames(0.01, 8000, 80), 'anchor_seconds: expected at least 0.02'),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
