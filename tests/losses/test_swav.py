import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from jaxsep.losses import swav as losses
from jaxsep.losses.distillation import cross_view_entropy

swav = jax.jit(losses.swav, static_argnames=('eps', 'num_iterations'))
step = jax.jit(jax.value_and_grad(losses.swav, argnums=(0, 1)))


def scores(seed=0, v=2, b=8, k=5):
    return np.random.default_rng(seed).uniform(-1, 1, (v, b, k)).astype(np.float32)


def test_agrees_with_the_original_in_value_and_gradient(golden):
    a = {k: v for k, v in golden('shared_ssl_losses').items() if k.startswith('swav/')}
    assert (a['swav/tau'], a['swav/eps'], a['swav/iters']) == (0.1, 0.05, 3)  # our defaults
    value, gradients = step(jnp.asarray(a['swav/high']), jnp.asarray(a['swav/low']))
    np.testing.assert_allclose(value, a['swav/loss'], rtol=2e-5)
    for gradient, name in zip(gradients, ('high', 'low'), strict=True):
        np.testing.assert_allclose(gradient, a[f'swav/grad_{name}'], rtol=1e-4, atol=1e-5)


def codes_oracle(given, eps=0.05, num_iterations=3):
    q = np.exp(given / eps)
    for _ in range(num_iterations):
        q /= q.sum(axis=0, keepdims=True)
        q /= q.sum(axis=1, keepdims=True)
    return q


def test_agrees_with_loops_in_value_and_gradient(float64):
    high, low = scores(1).astype(np.float64), scores(2, v=3).astype(np.float64)
    views = [*high, *low]
    log_p = [s / 0.1 - np.log(np.exp(s / 0.1).sum(axis=1, keepdims=True)) for s in views]
    total = 0.0
    for i in range(2):
        q = codes_oracle(high[i])
        others = [-np.mean(np.sum(q * log_p[v], axis=1)) for v in range(5) if v != i]
        total += sum(others) / 4 / 2
    value, (gradient, _) = step(jnp.asarray(high), jnp.asarray(low))
    np.testing.assert_allclose(value, total, rtol=1e-11)
    # The gradient is the predictions' alone: with the codes held, differences agree.
    codes = jnp.stack([jnp.asarray(codes_oracle(s)) for s in high])

    @jax.jit
    def held(s):
        return cross_view_entropy(codes, jnp.concatenate([s, jnp.asarray(low)]) / 0.1)

    check_grads(held, (jnp.asarray(high),), order=1, modes=('rev',))
    np.testing.assert_allclose(gradient, jax.jit(jax.grad(held))(high), rtol=1e-9, atol=1e-12)


def test_confident_balanced_views_that_agree_cost_nothing_and_exchanged_ones_much():
    agreed = jnp.tile(10 * jnp.eye(8)[None], (2, 1, 1))
    np.testing.assert_allclose(swav(agreed), 0, atol=1e-6)
    np.testing.assert_allclose(swav(agreed.at[1].set(agreed[1, ::-1])), 100, rtol=1e-5)


def test_collapse_to_one_prototype_costs_the_logarithm_of_their_number():
    np.testing.assert_allclose(swav(jnp.zeros((2, 8, 5))), np.log(5), rtol=1e-6)


def test_order_of_items_prototypes_and_views_does_not_matter():
    high, low = scores(3), scores(4)
    value, items, prototypes = swav(high, low), np.arange(8)[::-1], np.array([2, 0, 4, 1, 3])
    np.testing.assert_allclose(swav(high[:, items], low[:, items]), value, rtol=1e-5)
    np.testing.assert_allclose(swav(high[..., prototypes], low[..., prototypes]), value, rtol=1e-5)
    np.testing.assert_allclose(swav(high[::-1], low[::-1]), value, rtol=1e-5)


def test_scores_are_cosines():
    rng = np.random.default_rng(5)
    z, prototypes = (rng.normal(size=(n, 4)).astype(np.float32) for n in (6, 3))
    got = jax.jit(losses.prototype_scores)(jnp.asarray(z), jnp.asarray(prototypes))
    lengths = np.linalg.norm(z, axis=1)[:, None] * np.linalg.norm(prototypes, axis=1)
    np.testing.assert_allclose(got, z @ prototypes.T / lengths, rtol=1e-5, atol=1e-6)


def test_finite_with_finite_gradient_at_the_edges():
    high, low = jnp.asarray(scores(6)), jnp.asarray(scores(7))
    for case in (
        (high * 1e4, low * 1e4),
        (jnp.zeros_like(high), jnp.zeros_like(low)),
        (high.at[:].set(high[:, :1]), low),
        (high.astype(jnp.bfloat16), low.astype(jnp.bfloat16)),
    ):
        for temperature in (0.1, 0.005):
            value, gradients = step(*case, temperature=jnp.float32(temperature))
            assert value.dtype == jnp.float32
            assert np.isfinite(value)
            assert all(np.all(np.isfinite(g.astype(jnp.float32))) for g in gradients)


def test_nothing_to_compare_costs_nothing():
    for high in (jnp.zeros((2, 0, 5)), jnp.ones((1, 8, 5)), jnp.ones((0, 8, 5))):
        value, gradients = step(high, high[:0])
        assert value == 0
        assert not any(np.any(g) for g in gradients)


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    def by_items(high, low, axis_name):
        views = (jnp.swapaxes(s, 0, 1) for s in (high, low))
        return losses.swav(*views, axis_name=axis_name)

    high, low = (jnp.asarray(scores(s, b=16)).swapaxes(0, 1) for s in (8, 9))
    same_on_eight_devices(by_items, high, low)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match='temperature must be positive, got 0'):
        losses.swav(jnp.zeros((2, 2, 2)), temperature=0)


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(np.float32, (4, 8, 5), elements=hypothesis.strategies.floats(-1e4, 1e4, width=32))
)
def test_any_scores_give_a_finite_loss_that_is_never_negative(given):
    value, gradients = step(given[:2], given[2:], temperature=jnp.float32(0.1))
    assert np.isfinite(value) and value >= 0
    assert all(np.all(np.isfinite(g)) for g in gradients)
