import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsep.losses import margin_softmax
from jaxsep.losses.contrastive import cosine_similarities

LABELS = np.array([0, 1, 2, 2, 0, 1, 2, 0])
# Gradients in rows of length 1e-38 are beyond float32.
NUMBERS = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)


def both(z, weights, labels, axis_name=None):
    return jnp.stack(
        [
            margin_softmax.arcface(z, labels, weights, axis_name=axis_name),
            margin_softmax.cosface(z, labels, weights, axis_name=axis_name),
        ]
    )


@jax.jit
def values_and_gradients(z, weights, labels):
    return both(z, weights, labels), jax.jacrev(both, argnums=(0, 1))(z, weights, labels)


def test_arcface_agrees_with_the_original_in_value_and_gradient(golden):
    a = golden('shared_ssl_losses')
    labels = jnp.asarray(a['arcface/labels'].astype(np.int32))
    z, weights = jnp.asarray(a['arcface/emb']), jnp.asarray(a['arcface/W'])
    loss = functools.partial(
        margin_softmax.arcface,
        margin_degrees=float(a['arcface/margin_deg']),
        scale=float(a['arcface/scale']),
    )
    value, gradients = jax.jit(jax.value_and_grad(lambda *x: loss(x[0], labels, x[1]), (0, 1)))(
        z, weights
    )
    # Logits of +-64 in float32: the card's tolerance is 1e-4.
    np.testing.assert_allclose(value, a['arcface/loss'], rtol=1e-5)
    for got, name in zip(gradients, ('grad_emb', 'grad_W'), strict=True):
        np.testing.assert_allclose(got, a[f'arcface/{name}'], rtol=1e-4, atol=1e-5)


def oracle(z, weights, labels, margin_degrees=28.6, margin=0.35, scale=64.0):
    """Both losses by arccos and loops in float64."""
    totals, m = np.zeros(2), np.deg2rad(margin_degrees)
    for x, label in zip(z, labels, strict=True):
        cosines = [x @ w / np.linalg.norm(x) / np.linalg.norm(w) for w in weights.T]
        angle = np.arccos(cosines[label])
        turned = np.cos(angle + m) if angle <= np.pi - m else np.cos(angle) - m * np.sin(m)
        for i, own in enumerate((turned, cosines[label] - margin)):
            logits = scale * np.array([own if k == label else c for k, c in enumerate(cosines)])
            totals[i] += np.log(np.sum(np.exp(logits - logits.max()))) + logits.max()
            totals[i] -= logits[label]
    return totals / len(z)


def random_rows(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(8, 4)), rng.normal(size=(4, 3))


def test_both_agree_with_loops_and_have_exact_gradients(float64):
    labels = jnp.asarray(LABELS)
    for seed in range(3):
        z, weights = random_rows(seed)
        z[0] = -weights[:, 0] + 0.1 * z[0]  # an angle beyond pi - margin
        value, gradients = values_and_gradients(jnp.asarray(z), jnp.asarray(weights), labels)
        np.testing.assert_allclose(value, oracle(z, weights, LABELS), rtol=1e-11)
        ways = z[::-1] * 1e-6, weights[::-1] * 1e-6
        ahead, behind = (
            values_and_gradients(
                jnp.asarray(z + sign * ways[0]), jnp.asarray(weights + sign * ways[1]), labels
            )[0]
            for sign in (1, -1)
        )
        slopes = sum(
            np.sum(np.asarray(g) * w, (1, 2)) for g, w in zip(gradients, ways, strict=True)
        )
        np.testing.assert_allclose(slopes, (ahead - behind) / 2, rtol=1e-5, atol=1e-12)


def test_finite_at_zero_rows_at_the_own_direction_and_opposite_to_it():
    z, weights = (jnp.asarray(x, jnp.float32) for x in random_rows())
    own = weights.T[LABELS]
    nudged = own.at[:, 0].multiply(1 + 1e-6)
    rows = dict(random=z, zeros=0 * z, own=own, opposite=-own, nudged=nudged, huge=z * 1e30)
    for case, row in rows.items():
        value, gradients = values_and_gradients(row, weights, jnp.asarray(LABELS))
        assert np.all(np.isfinite(value)), case
        for gradient in gradients:
            assert np.all(np.isfinite(gradient)), case
            assert np.abs(gradient).max() < 1e4, case
    value, gradients = values_and_gradients(z, 0 * weights, jnp.asarray(LABELS))
    assert np.all(np.isfinite(value))
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_half_precision_is_computed_in_float32():
    z, weights = (jnp.asarray(x, jnp.bfloat16) for x in random_rows())
    value, (of_rows, _) = values_and_gradients(z, weights, jnp.asarray(LABELS))
    whole = values_and_gradients(
        z.astype(jnp.float32), weights.astype(jnp.float32), jnp.asarray(LABELS)
    )
    assert value.dtype == jnp.float32
    assert of_rows.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, whole[0], rtol=1e-6)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    arrays(np.float32, (8, 4), elements=NUMBERS),
    arrays(np.float32, (4, 3), elements=NUMBERS),
    arrays(np.int64, 8, elements=st.integers(0, 2)),
)
def test_any_rows_weights_and_labels_give_finite_losses(z, weights, labels):
    value, gradients = values_and_gradients(*map(jnp.asarray, (z, weights, labels)))
    assert np.all(np.isfinite(value))
    assert np.all(value >= -1e-4)
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_without_margin_both_are_softmax_on_scaled_cosines():
    z, weights = (jnp.asarray(x, jnp.float32) for x in random_rows())
    labels = jnp.asarray(LABELS)

    @jax.jit
    def three(z, weights):
        cosines = cosine_similarities(z, weights.T)
        softmax = optax.softmax_cross_entropy_with_integer_labels(10 * cosines, labels).mean()
        arcface = margin_softmax.arcface(z, labels, weights, margin_degrees=0.0, scale=10.0)
        return softmax, arcface, margin_softmax.cosface(z, labels, weights, margin=0.0, scale=10.0)

    softmax, arcface, cosface = three(z, weights)
    np.testing.assert_allclose([arcface, cosface], [softmax] * 2, rtol=1e-5)


def test_a_wider_margin_never_costs_less():
    z, weights = (jnp.asarray(x, jnp.float32) for x in random_rows())
    labels = jnp.asarray(LABELS)
    degrees = jnp.array([0.0, 10.0, 28.6, 60.0])

    @jax.jit
    @jax.vmap
    def curve(degrees):
        arcface = margin_softmax.arcface(z, labels, weights, margin_degrees=degrees)
        return arcface, margin_softmax.cosface(z, labels, weights, margin=degrees / 60)

    for values in curve(degrees):
        assert np.all(np.diff(values) > 0)


def test_an_empty_batch_and_a_single_class_cost_nothing():
    nothing, labels = jnp.zeros((0, 4)), jnp.zeros(0, jnp.int32)
    assert np.all(jax.jit(both)(nothing, jnp.ones((4, 3)), labels) == 0)
    z, weights = (jnp.asarray(x, jnp.float32) for x in random_rows())
    value, gradients = values_and_gradients(z, weights[:, :1], jnp.zeros(8, jnp.int32))
    np.testing.assert_allclose(value, 0, atol=1e-5)
    assert all(np.abs(g).max() < 1e-4 for g in gradients)


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    rng = np.random.default_rng(3)
    weights = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    z = jnp.asarray(rng.normal(size=(16, 4)), jnp.float32)
    labels = jnp.arange(16) % 3
    same_on_eight_devices(
        lambda z, labels, axis_name: both(z, weights, labels, axis_name) @ jnp.array([1.0, 2.0]),
        z,
        labels,
    )
