import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.metrics import neural_collapse as nc

K = 4


@jax.jit
def measures(features, labels, weights, bias):
    means = nc.centered_class_means(features, labels, weights.shape[0])
    spread, gap = nc.equiangularity(means)
    return {
        'NC1_trace_SwSbpinv_over_K': nc.within_class_variability(features, labels, len(weights)),
        'NC2_W_etf': nc.etf_distance_of_weights(weights),
        'NC3_W_H': nc.etf_distance_of_products(weights, means),
        'NC_Wh_b': nc.bias_cancellation(weights, bias, jnp.mean(features, axis=0)),
        'NC2_equinorm_means': nc.equinorm(means),
        'NC2_equinorm_W': nc.equinorm(weights),
        'NC2_equiangle_std': spread,
        'NC2_max_equiangle': gap,
        'NC3_self_duality': nc.self_duality(weights, means),
        'NC4_mismatch': nc.nearest_mean_mismatch(features, labels, weights, bias),
    }


def golden_case(golden, dtype):
    values = golden('separability_metrics')
    arrays = [jnp.asarray(values[f'C/{name}'].astype(dtype)) for name in ('H', 'W', 'b')]
    return values, arrays[0], jnp.asarray(values['C/y']), arrays[1], arrays[2]


def random_case(seed=0, n=40, d=7):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(K), rng.integers(0, K, n - K)])
    features = rng.normal(size=(n, d)) + 2.0 * rng.normal(size=(K, d))[labels]
    return features, labels, rng.normal(size=(K, d)), rng.normal(size=K)


def collapsed(d=7):
    """A fully collapsed network: features at a simplex, the classifier its own means."""
    simplex = np.zeros((K, d))
    simplex[:, :K] = np.eye(K) - 1.0 / K
    labels = np.repeat(np.arange(K), 10)
    return simplex[labels] + 5.0, labels, 2.0 * simplex, -2.0 * simplex @ np.full(d, 5.0)


def test_golden_values(golden, float64):
    values, h, y, w, b = golden_case(golden, np.float64)
    for name, ours in measures(h, y, w, b).items():
        np.testing.assert_allclose(ours, values[f'C/{name}'], rtol=1e-9, err_msg=name)


def test_golden_values_in_float32(golden):
    values, h, y, w, b = golden_case(golden, np.float32)
    for name, ours in measures(h, y, w, b).items():
        np.testing.assert_allclose(ours, values[f'C/{name}'], rtol=1e-4, err_msg=name)


def test_agrees_with_loops_on_imbalanced_classes(float64):
    h, y, w, b = random_case()
    n, d = h.shape
    mean = h.mean(0)
    within, between, products, cosines, wrong = np.zeros((d, d)), np.zeros((d, d)), [], [], 0
    means = np.stack([h[y == c].mean(0) for c in range(K)])
    for i in range(n):
        within += np.outer(h[i] - means[y[i]], h[i] - means[y[i]]) / n
        nearest = np.argmin([np.linalg.norm(h[i] - m) for m in means])
        wrong += nearest != np.argmax(w @ h[i] + b)
    for c in range(K):
        between += np.outer(means[c] - mean, means[c] - mean) / K
        products.append([w[c] @ (m - mean) for m in means])
        for e in range(K):
            u, v = means[c] - mean, means[e] - mean
            if e != c:
                cosines.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    simplex = (np.eye(K) - 1 / K) / np.sqrt(K - 1)
    norms = np.linalg.norm(means - mean, axis=1)
    expected = {
        'NC1_trace_SwSbpinv_over_K': np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / K,
        'NC2_W_etf': np.linalg.norm(w @ w.T / np.linalg.norm(w @ w.T) - simplex),
        'NC3_W_H': np.linalg.norm(np.array(products) / np.linalg.norm(products) - simplex),
        'NC_Wh_b': np.linalg.norm(w @ mean + b),
        'NC2_equinorm_means': norms.std() / norms.mean(),
        'NC2_equiangle_std': np.std(cosines),
        'NC2_max_equiangle': np.mean(np.abs(np.array(cosines) + 1 / (K - 1))),
        'NC4_mismatch': wrong / n,
    }
    ours = measures(*map(jnp.asarray, (h, y, w, b)))
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, err_msg=name)


def test_every_measure_is_zero_at_full_collapse(float64):
    for name, value in measures(*map(jnp.asarray, collapsed())).items():
        np.testing.assert_allclose(value, 0.0, atol=1e-7, err_msg=name)


def test_rotation_and_scale_of_features_change_only_the_response_to_the_mean(float64):
    h, y, w, b = random_case(1)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(7, 7)))
    expected = measures(*map(jnp.asarray, (h, y, w, b)))
    turned = measures(*map(jnp.asarray, (3.0 * h @ rotation, y, w @ rotation / 3.0, b)))
    for name, value in turned.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_order_of_points_and_names_of_classes_do_not_matter(float64):
    h, y, w, b = random_case(2)
    order = np.random.default_rng(3).permutation(len(y))
    name = np.random.default_rng(4).permutation(K)
    back = np.argsort(name)
    expected = measures(*map(jnp.asarray, (h, y, w, b)))
    ours = measures(*map(jnp.asarray, (h[order], name[y[order]], w[back], b[back])))
    for key, value in ours.items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-10, err_msg=key)


def test_variability_grows_with_the_square_of_the_spread_within_classes(float64):
    h, y, _, _ = random_case(5)
    means = np.stack([h[y == c].mean(0) for c in range(K)])[y]
    once = nc.within_class_variability(jnp.asarray(h), jnp.asarray(y), K)
    twice = nc.within_class_variability(jnp.asarray(means + 2 * (h - means)), jnp.asarray(y), K)
    np.testing.assert_allclose(twice, 4 * once, rtol=1e-10)


def test_variability_in_float32_drops_the_direction_that_rounding_adds():
    """Sigma_B has rank K - 1; a huge offset must not make the last direction count."""
    h, y, _, _ = random_case(6)
    single = nc.within_class_variability(jnp.asarray(h + 50.0, jnp.float32), jnp.asarray(y), K)
    with jax.enable_x64(True):
        exact = nc.within_class_variability(jnp.asarray(h), jnp.asarray(y), K)
    np.testing.assert_allclose(single, exact, rtol=1e-4)


def test_class_without_points_takes_no_part(float64):
    h, y, w, b = random_case(7)
    counted = nc.within_class_variability(jnp.asarray(h), jnp.asarray(y), K)
    with_empty = nc.within_class_variability(jnp.asarray(h), jnp.asarray(y), K + 2)
    np.testing.assert_allclose(with_empty, counted, rtol=1e-10)
    assert np.all(nc.centered_class_means(jnp.asarray(h), jnp.asarray(y), K + 2)[K:] == 0)
    # A classifier that never chooses the empty class agrees with one that lacks it.
    h = jnp.asarray(h)
    more_w, more_b = np.vstack([w, np.zeros((1, 7))]), np.append(b, -1e9)
    more = nc.nearest_mean_mismatch(h, jnp.asarray(y), jnp.asarray(more_w), jnp.asarray(more_b))
    assert more == nc.nearest_mean_mismatch(h, jnp.asarray(y), jnp.asarray(w), jnp.asarray(b))


def test_coinciding_features_give_finite_values_and_gradients():
    h, y = jnp.full((40, 7), 3.1), jnp.arange(40, dtype=jnp.int32) % K
    zeros = jnp.zeros((K, 7))
    for name, value in measures(h, y, zeros, jnp.zeros(K)).items():
        assert np.isfinite(value), name
    assert nc.within_class_variability(h, y, K) == 0

    @jax.jit
    @jax.grad
    def gradient(v):
        first = nc.etf_distance_of_weights(v) + nc.equinorm(v) + nc.self_duality(v, v)
        return first + nc.equiangularity(v)[1] + nc.etf_distance_of_products(v, v)

    assert np.all(np.isfinite(gradient(zeros)))


def test_no_points_give_zero():
    h, y = jnp.zeros((0, 3)), jnp.zeros(0, jnp.int32)
    assert nc.within_class_variability(h, y, 2) == 0
    assert nc.nearest_mean_mismatch(h, y, jnp.ones((2, 3)), jnp.zeros(2)) == 0


def test_gradients_agree_with_differences(float64):
    """Along one random direction, of a weighted sum: one compilation for all."""

    @jax.jit
    @jax.value_and_grad
    def together(arrays):
        h, w, b = arrays
        means = nc.centered_class_means(h, y, K)
        values = (
            nc.within_class_variability(h, y, K),
            nc.etf_distance_of_weights(w),
            nc.etf_distance_of_products(w, means),
            nc.self_duality(w, means),
            nc.bias_cancellation(w, b, jnp.mean(h, axis=0)),
            nc.equinorm(means),
            *nc.equiangularity(means),
        )
        return sum((0.3 + i) * value for i, value in enumerate(values))

    h, y, w, b = map(jnp.asarray, random_case(8))
    rng = np.random.default_rng(9)
    arrays = (h, w, b)
    directions = [rng.normal(size=v.shape) for v in arrays]
    _, gradients = together(arrays)
    for part in range(3):
        ahead, behind = (
            together(
                tuple(
                    v + (step * d if i == part else 0.0)
                    for i, (v, d) in enumerate(zip(arrays, directions, strict=True))
                )
            )[0]
            for step in (1e-5, -1e-5)
        )
        slope = np.sum(gradients[part] * directions[part])
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match='vectors: expected at least 2'):
        nc.equiangularity(jnp.ones((1, 3)))
    with pytest.raises(ValueError, match='weights: expected at least 2'):
        nc.etf_distance_of_weights(jnp.ones((1, 3)))


@pytest.mark.parametrize('exponent', [-90, 90])
def test_variability_and_equal_norms_do_not_depend_on_the_scale(exponent):
    features, labels, *_ = random_case()
    features, labels = jnp.asarray(features, jnp.float32), jnp.asarray(labels)
    for measure in (lambda x: nc.within_class_variability(x, labels, K), nc.equinorm):
        np.testing.assert_allclose(measure(features * 2.0**exponent), measure(features), rtol=1e-5)
