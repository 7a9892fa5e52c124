import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsep.losses.proxy_anchor import proxy_anchor

LABELS = np.array([0, 1, 1, 1, 0, 1, 3, 0])
# Gradients in rows of length 1e-38 are beyond float32.
NUMBERS = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)


@jax.jit
def step_at(z, proxies, labels, alpha):
    def loss(z, proxies):
        return proxy_anchor(z, labels, proxies, alpha=alpha)

    return jax.value_and_grad(loss, argnums=(0, 1))(z, proxies)


def step(z, proxies, labels, alpha=32.0):
    return step_at(z, proxies, labels, alpha)


def random_rows(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(8, 3)), rng.normal(size=(5, 3))


def in_float32(*rows):
    return [jnp.asarray(x, jnp.float32) for x in rows]


def test_agrees_with_the_original_in_value_and_gradient(golden):
    a = golden('shared_ssl_losses')
    z, proxies, labels = (
        jnp.asarray(a[f'proxy_anchor/{name}']) for name in ('emb', 'proxies', 'labels')
    )
    value, gradients = step(z, proxies, labels.astype(jnp.int32))
    # Exponents of +-35 in float32: the card's tolerance is 1e-4.
    np.testing.assert_allclose(value, a['proxy_anchor/loss'], rtol=1e-5)
    for got, name in zip(gradients, ('grad_emb', 'grad_proxies'), strict=True):
        np.testing.assert_allclose(got, a[f'proxy_anchor/{name}'], rtol=1e-4, atol=1e-5)


def oracle(z, proxies, labels, margin=0.1, alpha=32.0):
    attraction, repulsion = [], []
    for c, proxy in enumerate(proxies):
        near, far = 0.0, 0.0
        for x, label in zip(z, labels, strict=True):
            cosine = x @ proxy / np.linalg.norm(x) / np.linalg.norm(proxy)
            if label == c:
                near += np.exp(-alpha * (cosine - margin))
            else:
                far += np.exp(alpha * (cosine + margin))
        if c in labels:
            attraction.append(np.log(1 + near))
        repulsion.append(np.log(1 + far))
    return np.mean(attraction) + np.mean(repulsion)


def test_agrees_with_loops_and_has_exact_gradients(float64):
    for seed in range(3):
        z, proxies = random_rows(seed)
        value, gradients = step(jnp.asarray(z), jnp.asarray(proxies), LABELS)
        np.testing.assert_allclose(value, oracle(z, proxies, LABELS), rtol=1e-12)
        ways = z[::-1] * 1e-6, proxies[::-1] * 1e-6
        ahead, behind = (
            step(jnp.asarray(z + sign * ways[0]), jnp.asarray(proxies + sign * ways[1]), LABELS)[0]
            for sign in (1, -1)
        )
        slope = sum(jnp.sum(g * way) for g, way in zip(gradients, ways, strict=True))
        np.testing.assert_allclose(slope, (ahead - behind) / 2, rtol=1e-5)


def test_finite_at_degenerate_rows_and_exponents_of_ten_thousand():
    z, proxies = in_float32(*random_rows())
    rows = dict(random=z, zeros=0 * z, same=jnp.ones_like(z), own=proxies[LABELS], huge=z * 1e30)
    for labels in (LABELS, np.zeros(8, int)):
        for case, row in rows.items():
            for prototypes in (proxies, 0 * proxies):
                value, gradients = step(row, prototypes, jnp.asarray(labels), 1e4)
                assert np.isfinite(value), case
                assert all(np.all(np.isfinite(g)) for g in gradients), case


def test_half_precision_is_computed_in_float32():
    z, proxies = (x.astype(jnp.bfloat16) for x in in_float32(*random_rows()))
    labels = jnp.asarray(LABELS)
    value, gradients = step(z, proxies, labels)
    assert value.dtype == jnp.float32
    assert gradients[0].dtype == jnp.bfloat16
    whole = step(z.astype(jnp.float32), proxies.astype(jnp.float32), labels)[0]
    np.testing.assert_allclose(value, whole, rtol=1e-6)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    arrays(np.float32, (8, 3), elements=NUMBERS),
    arrays(np.float32, (5, 3), elements=NUMBERS),
    arrays(np.int64, 8, elements=st.integers(0, 4)),
)
def test_any_rows_proxies_and_labels_give_a_finite_loss_above_zero(z, proxies, labels):
    value, gradients = step(*map(jnp.asarray, (z, proxies, labels)))
    assert np.isfinite(value)
    assert value >= 0
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_scale_and_order_of_the_rows_do_not_matter():
    z, proxies = in_float32(*random_rows())
    order = np.random.default_rng(0).permutation(8)
    value, _ = step(z, proxies, jnp.asarray(LABELS))
    scaled = (z * jnp.arange(1.0, 9.0)[:, None])[order]
    other, _ = step(scaled, 3 * proxies, jnp.asarray(LABELS[order]))
    np.testing.assert_allclose(other, value, rtol=1e-5)


def test_a_class_without_rows_only_repels():
    z, proxies = in_float32(*random_rows())
    absent = 4
    gradient = step(z, proxies, jnp.asarray(LABELS))[1][1][absent]
    moved = proxies.at[absent].add(-1e-2 * gradient)
    nearer = np.asarray(z) @ np.asarray(moved[absent]) / np.linalg.norm(moved[absent])
    before = np.asarray(z) @ np.asarray(proxies[absent]) / np.linalg.norm(proxies[absent])
    assert nearer.max() < before.max()


def test_an_empty_batch_costs_nothing():
    value, _ = step(jnp.zeros((0, 3)), jnp.ones((5, 3)), jnp.zeros(0, jnp.int32))
    assert value == 0


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    rng = np.random.default_rng(3)
    z, proxies = in_float32(rng.normal(size=(16, 3)), rng.normal(size=(5, 3)))

    def sharded(z, labels, axis_name):
        return proxy_anchor(z, labels, proxies, axis_name=axis_name)

    same_on_eight_devices(sharded, z, jnp.arange(16) % 4)
