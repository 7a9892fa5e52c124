"""Cluster indices against goldens, scikit-learn and loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from jax.test_util import check_grads

from jaxsep.metrics import clusters


def points(seed=0, n=30, d=4, k=3, spread=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % k).astype(np.int32)
    return rng.normal(size=(n, d)) + spread * rng.normal(size=(k, d))[labels], labels


@functools.partial(jax.jit, static_argnames='num_classes')
def every_index(x, labels, num_classes):
    """All indices in one program."""
    args = x, labels, num_classes
    return {
        'silhouette_euclidean': clusters.silhouette(*args),
        'silhouette_cosine': clusters.silhouette(*args, 'cosine'),
        'silhouette_samples': clusters.silhouette_samples(*args),
        'davies_bouldin': clusters.davies_bouldin(*args),
        'calinski_harabasz': clusters.calinski_harabasz(*args),
    }


@pytest.mark.parametrize('case, precision', [('A_digits', 'float64'), ('A_toy', 'float32')])
def test_every_index_equals_its_golden_value(golden, case, precision):
    arrays = golden('separability_metrics')
    rtol = 1e-9 if precision == 'float64' else 1e-4
    with jax.enable_x64(precision == 'float64'):
        x = jnp.asarray(arrays[f'{case}/X'], precision)
        labels = jnp.asarray(arrays[f'{case}/y'])
        got = every_index(x, labels, int(arrays[f'{case}/y'].max()) + 1)
    for name, value in got.items():
        assert value.dtype == precision
        np.testing.assert_allclose(value, arrays[f'{case}/{name}'], rtol, 1e-6, err_msg=name)


def loop_silhouette(x, labels, distance):
    """The definition, point by point."""
    samples = []
    for i, label in enumerate(labels):
        means = {}
        for c in set(labels.tolist()):
            others = [distance(x[i], x[j]) for j in range(len(x)) if labels[j] == c and j != i]
            means[c] = np.mean(others) if others else None
        own = means.pop(int(label))
        nearest = min(means.values(), default=None)
        if own is None or nearest is None or max(own, nearest) == 0:
            samples.append(0.0)
        else:
            samples.append((nearest - own) / max(own, nearest))
    return np.array(samples)


def cosine_distance(a, b):
    return 1 - a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300)


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_samples_equal_the_loop_with_a_singleton_and_a_zero_vector(float64, metric):
    x, labels = points(1, n=17)
    labels[0], x[1] = 5, 0.0
    distance = cosine_distance if metric == 'cosine' else lambda a, b: np.linalg.norm(a - b)
    got = clusters.silhouette_samples(jnp.asarray(x), jnp.asarray(labels), 7, metric, chunk_size=4)
    np.testing.assert_allclose(got, loop_silhouette(x, labels, distance), rtol=1e-9, atol=1e-12)
    assert got[0] == 0


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_silhouette_agrees_with_sklearn_in_float32(metric):
    x, labels = points(2, n=300, d=16, k=5)
    x = x.astype(np.float32)
    expected = sklearn.metrics.silhouette_samples(x.astype(np.float64), labels, metric=metric)
    got = clusters.silhouette_samples(jnp.asarray(x), jnp.asarray(labels), 5, metric)
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_tight_classes_far_from_the_origin_keep_their_digits_in_float32(metric):
    rng = np.random.default_rng(3)
    labels = np.arange(40, dtype=np.int32) % 4
    x = 10 + rng.normal(size=(4, 8))[labels] + 1e-2 * rng.normal(size=(40, 8))
    x = x.astype(np.float32)
    exact = sklearn.metrics.silhouette_samples(x.astype(np.float64), labels, metric=metric)
    got = clusters.silhouette_samples(jnp.asarray(x), jnp.asarray(labels), 4, metric)
    # 1 - s is a ratio near 1e-4 for the cosine and 1e-2 for the Euclidean distance
    np.testing.assert_allclose(1 - np.asarray(got, np.float64), 1 - exact, rtol=5e-3)


def test_davies_bouldin_and_calinski_harabasz_agree_with_sklearn():
    for seed in range(3):
        x, labels = points(seed, n=60, d=5, k=4)
        args = jnp.asarray(x, jnp.float32), jnp.asarray(labels), 4
        np.testing.assert_allclose(
            clusters.davies_bouldin(*args), sklearn.metrics.davies_bouldin_score(x, labels), 1e-5
        )
        np.testing.assert_allclose(
            clusters.calinski_harabasz(*args),
            sklearn.metrics.calinski_harabasz_score(x, labels),
            1e-5,
        )


INDICES = (clusters.silhouette, clusters.davies_bouldin, clusters.calinski_harabasz)


@pytest.mark.parametrize('index', INDICES)
def test_gradients_agree_with_finite_differences(float64, index):
    x, labels = points(4, n=9, d=3)
    labels = jnp.asarray(labels)
    check_grads(jax.jit(lambda x: index(x, labels, 3)), (x,), 1, ['rev'], rtol=1e-4)


@pytest.mark.parametrize('index', INDICES)
def test_a_class_without_points_changes_nothing(index):
    x, labels = points(5)
    renamed = jnp.asarray(np.where(labels == 2, 4, labels))
    x, labels = jnp.asarray(x, jnp.float32), jnp.asarray(labels)
    np.testing.assert_allclose(index(x, renamed, 6), index(x, labels, 3), rtol=1e-5)


@pytest.mark.parametrize('index', INDICES)
def test_one_class_or_identical_points_give_zero_and_finite_gradients(index):
    both = jax.jit(jax.value_and_grad(lambda x, y: index(x, y, 2)))
    for x, labels in (
        (np.arange(8, dtype=np.float32).reshape(4, 2), np.zeros(4, np.int32)),
        (np.ones((4, 2), np.float32), np.array([0, 0, 1, 1], np.int32)),
    ):
        value, gradient = both(jnp.asarray(x), jnp.asarray(labels))
        assert value == 0
        assert np.isfinite(gradient).all()


def test_indices_ignore_shift_rotation_and_scale(float64):
    x, labels = points(6)
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(4, 4)))[0]
    moved = 3.0 * x @ rotation + 5.0
    for index in INDICES:
        value = index(jnp.asarray(x), jnp.asarray(labels), 3)
        np.testing.assert_allclose(index(jnp.asarray(moved), jnp.asarray(labels), 3), value, 1e-8)


def test_an_unknown_metric_is_named():
    with pytest.raises(ValueError, match="got 'cityblock'"):
        clusters.silhouette_samples(jnp.ones((4, 2)), jnp.arange(4), 4, 'cityblock')


@pytest.mark.parametrize('exponent', [-90, 90])
def test_no_index_depends_on_the_scale_of_the_points(exponent):
    x, y = points()
    x = jnp.asarray(x, jnp.float32)
    found, expected = (every_index(z, jnp.asarray(y), 3) for z in (x * 2.0**exponent, x))
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, err_msg=key)
