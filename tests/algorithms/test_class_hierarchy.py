import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.class_hierarchy import (
    class_sums,
    gate,
    levels,
    members,
    repeat_to,
    separate_by_hierarchy,
    split_segments,
    without_silence,
)

# The golden tree, in the order of its ids: root, r1, a, c, b, r2, d, x, which the tagger lacks.
PARENTS = [-1, 0, 1, 2, 1, 0, 5, 5]


def test_levels_and_classes_below_each_node_are_those_of_the_released_code(golden):
    g = golden('uss')
    assert levels(PARENTS) == g['onto/level'].tolist()
    lists = [{int(x) for x in text.split(',') if x} for text in g['onto/leaf_index_lists']]
    own = [-1, 0, 1, 3, 2, 4, 5, -1]  # the root itself is no class
    found = members(PARENTS, own, 6)
    assert [set(np.flatnonzero(row)) for row in found] == lists


def test_gated_separation_is_that_of_the_released_code(golden, float64):
    g = golden('uss')
    audio, probabilities = jnp.asarray(g['gate/audio'], jnp.float64), g['gate/at_probs']
    branches = np.zeros((1, 6), bool)
    branches[0, g['gate/subclass']] = True

    def separate(segments, conditions):  # the fixture's tagger hears other than it was told of
        asked = jnp.where(conditions > 0, jax.nn.sigmoid(segments[:, :6]), 0.0)
        return segments * jnp.sum(asked, axis=1, keepdims=True)

    stems, kept = separate_by_hierarchy(
        audio, lambda segments: jnp.asarray(probabilities), separate, jnp.asarray(branches),
        length=int(g['gate/segment_samples']),
    )  # fmt: skip
    np.testing.assert_allclose(stems[0], g['gate/sep'], atol=1e-7)
    assert kept.tolist() == [bool(g['gate/sep'].max() > 1e-6)]


def test_branch_is_active_from_the_threshold_on_and_asks_for_its_classes_only():
    probabilities = jnp.array([[0.5, 0.1, 0.3], [0.1, 0.2, 0.0]])
    branches = jnp.array([[True, True, False], [False, False, True], [False] * 3])
    found = gate(probabilities, branches, 0.2)
    assert found.active.tolist() == [[True, True], [True, False], [False, False]]
    np.testing.assert_allclose(found.conditions[0], [[0.5, 0.1, 0.0], [0.1, 0.2, 0.0]])
    np.testing.assert_allclose(found.conditions[1], [[0.0, 0.0, 0.3], [0.0, 0.0, 0.0]])


def test_stems_are_silent_where_nothing_is_heard_and_only_there():
    waveform = jnp.concatenate([jnp.ones(10), jnp.zeros(10), jnp.ones(5)])

    def tag(segments):
        loud = jnp.max(segments, axis=1)
        return jnp.stack([loud, 1 - loud], axis=1)

    stems, kept = jax.jit(
        lambda x: separate_by_hierarchy(
            x, tag, lambda segments, _: segments + 1.0, jnp.eye(3, 2, dtype=bool), length=10
        )
    )(waveform)
    np.testing.assert_array_equal(stems[0], [2.0] * 10 + [0.0] * 10 + [2.0] * 5)
    np.testing.assert_array_equal(stems[1], [0.0] * 10 + [1.0] * 10 + [0.0] * 5)
    assert not stems[2].any() and kept.tolist() == [True, True, False]


def test_segments_are_filled_up_with_zeros():
    found = split_segments(jnp.arange(1.0, 8.0), 3)
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 6], [7, 0, 0]])
    assert split_segments(jnp.zeros(0), 3).shape == (0, 3)
    assert split_segments(jnp.ones(6), 3).shape == (2, 3)


def test_silent_frames_are_dropped_as_in_the_released_code(golden):
    g = golden('uss')
    found = without_silence(g['sil/frames'].reshape(-1), g['sil/frames'].shape[1])
    np.testing.assert_array_equal(found, g['sil/active'].reshape(-1))
    np.testing.assert_array_equal(repeat_to(g['sil/repeat_in'], 13), g['sil/repeat13'])


def test_frames_at_the_threshold_and_the_rest_at_the_end_are_dropped():
    waveform = np.array([0.02, 0.0, -0.021, 0.0, 0.9])
    assert without_silence(waveform, 2).tolist() == [-0.021, 0.0]
    assert without_silence(np.zeros(3), 2).shape == (0,)


def test_sums_over_batches_give_the_mean_of_each_class():
    rng = np.random.default_rng(0)
    conditions, labels = (
        rng.normal(size=(8, 3)).astype(np.float32),
        np.array([0, 2, 2, 0, 2, 0, 0, 2]),
    )
    parts = [
        class_sums(jnp.asarray(conditions[part]), jnp.asarray(labels[part]), 3)
        for part in (slice(0, 3), slice(3, 8))
    ]
    sums, counts = (sum(x) for x in zip(*parts, strict=True))
    assert counts.tolist() == [4, 0, 4]
    np.testing.assert_allclose(sums[0] / 4, conditions[labels == 0].mean(axis=0), rtol=1e-5)
    assert not sums[1].any()


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: members([0], [0], 1), 'parents: expected one earlier node'),
        (lambda: members([-1, 2], [0, 0], 1), 'parents: expected one earlier node'),
        (lambda: members([-1], [0, 1], 2), 'parents: expected one earlier node'),
        (lambda: members([-1], [2], 2), 'classes: expected -1 to 1'),
        (lambda: split_segments(jnp.ones(3), 0), 'length: expected at least 1'),
        (lambda: repeat_to(np.zeros(0), 3), 'waveform: expected at least one sample'),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
