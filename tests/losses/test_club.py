import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from jaxsep.losses import club as losses
from jaxsep.models.mrdd import ConditionalGaussian

BOTH = {'nll': losses.gaussian_nll, 'bound': losses.club}
steps = {name: jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2))) for name, f in BOTH.items()}
sampled = jax.jit(jax.value_and_grad(losses.sampled_club, argnums=(0, 1, 2, 3)))


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def original(golden, case):
    """Arrays of a case, and q as a function of v with the original's weights."""
    a = {k.split('/', 1)[1]: v for k, v in golden('mrdd').items() if k.startswith(case + '/')}
    params = {}
    for ours, theirs in (('mean', 'p_mu'), ('log_variance', 'p_logvar')):
        for layer, number in (('hidden', 0), ('out', 2)):
            weights = f'w/{theirs}.{number}'
            params[f'{ours}_{layer}'] = {
                'kernel': a[f'{weights}.weight'].T,
                'bias': a[f'{weights}.bias'],
            }
    q = ConditionalGaussian(code_size=a['c'].shape[1], hidden=a['w/p_mu.0.bias'].size)
    return a, functools.partial(q.apply, {'params': params})


CASES = {'CLUB': ('v', 'c'), 'CLUBSample': ('v',)}


@pytest.mark.parametrize('case', CASES)
def test_likelihood_and_bound_agree_with_the_original_in_value_and_gradient(golden, case):
    a, q = original(golden, case)

    def nll(v, c):
        return losses.gaussian_nll(*q(v), c)

    def bound(v, c):
        if case == 'CLUB':
            return losses.club(*q(v), c)
        return losses.sampled_club(*q(v), c, c[a['perm']])

    both = jax.jit(lambda v, c: [jax.value_and_grad(f, argnums=(0, 1))(v, c) for f in (nll, bound)])
    (value, (grad_v, _)), (upper, grads) = both(jnp.asarray(a['v']), jnp.asarray(a['c']))
    np.testing.assert_allclose(value, a['nll'], rtol=2e-5)
    np.testing.assert_allclose(grad_v, a['grad_nll_v'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(upper, a['upper_bound'], rtol=2e-5, atol=1e-6)
    for name, gradient in zip('vc', grads, strict=True):
        if name in CASES[case]:
            np.testing.assert_allclose(gradient, a[f'grad_ub_{name}'], rtol=1e-4, atol=1e-5)


def test_likelihood_and_bounds_agree_with_loops_and_have_exact_gradients(float64):
    mean, log_variance, values = (normal(s, 5, 3).astype(np.float64) for s in range(3))
    nll = bound = one = 0.0
    for i in range(5):
        for d in range(3):
            m, variance = mean[i, d], np.exp(log_variance[i, d])
            nll += ((m - values[i, d]) ** 2 / variance + log_variance[i, d]) / 5
            apart = np.mean([(m - values[j, d]) ** 2 for j in range(5)])
            bound += (apart - (m - values[i, d]) ** 2) / (2 * variance) / 5
            other = (m - values[(i + 1) % 5, d]) ** 2
            one += (other - (m - values[i, d]) ** 2) / (2 * variance) / 5
    given = tuple(jnp.asarray(x) for x in (mean, log_variance, values))
    for name, want in (('nll', nll), ('bound', bound)):
        np.testing.assert_allclose(steps[name](*given)[0], want, rtol=1e-12)
        check_grads(jax.jit(BOTH[name]), given, order=1, modes=('rev',))
    others = jnp.roll(given[2], -1, axis=0)
    np.testing.assert_allclose(sampled(*given, others)[0], one, rtol=1e-12)
    check_grads(jax.jit(losses.sampled_club), (*given, others), order=1, modes=('rev',))


def test_the_sampled_bound_averages_to_the_bound_over_all_rotations():
    mean, log_variance, values = (jnp.asarray(normal(s, 8, 3)) for s in range(3))
    rotated = [
        sampled(mean, log_variance, values, jnp.roll(values, r, axis=0))[0] for r in range(8)
    ]
    np.testing.assert_allclose(
        np.mean(rotated), steps['bound'](mean, log_variance, values)[0], rtol=1e-5
    )


def test_the_bound_of_a_gaussian_channel_is_above_its_information_and_0_without_a_channel():
    """For c = r v + sqrt(1 - r^2) e, I = -log(1 - r^2)/2; by the true q it is r^2/(1 - r^2)."""
    v, e = normal(3, 4096, 1), normal(4, 4096, 1)
    for r in (0.0, 0.5, 0.9):
        c = r * v + np.sqrt(1 - r * r, dtype=np.float32) * e
        log_variance = np.full_like(c, np.log(1 - r * r))
        bound, _ = steps['bound'](np.float32(r) * v, log_variance, c.astype(np.float32))
        np.testing.assert_allclose(bound, r * r / (1 - r * r), rtol=0.1, atol=1e-6)
        assert bound >= -np.log(1 - r * r) / 2 - 1e-6


def test_a_common_shift_of_means_and_values_changes_nothing_even_far_from_zero():
    mean, log_variance, values = (jnp.asarray(normal(s, 8, 3)) for s in range(3))
    near, _ = steps['bound'](mean, log_variance, values)
    far, _ = steps['bound'](mean + 1024, log_variance, values + 1024)
    np.testing.assert_allclose(far, near, rtol=1e-3)


@pytest.mark.parametrize('name', BOTH)
def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices, name):
    rows = (jnp.asarray(normal(seed, 16, 3)) for seed in range(3))
    same_on_eight_devices(BOTH[name], *rows)


def test_the_sampled_bound_is_the_same_on_eight_devices(same_on_eight_devices):
    rows = (jnp.asarray(normal(seed, 16, 3)) for seed in range(4))
    same_on_eight_devices(losses.sampled_club, *rows)


def test_everything_is_finite_with_a_finite_gradient_at_the_edges():
    mean, log_variance, values = (jnp.asarray(normal(s, 8, 3)) for s in range(3))
    zero = jnp.zeros_like(mean)
    for case in (
        (zero, zero, zero),
        (mean, log_variance, jnp.ones_like(values)),
        (1e4 * mean, log_variance, -1e4 * values),
        (mean, 40 * log_variance, values),
        tuple(x.astype(jnp.bfloat16) for x in (mean, log_variance, values)),
    ):
        for found in (*(step(*case) for step in steps.values()), sampled(*case, case[2][::-1])):
            value, gradients = found
            assert value.dtype == jnp.float32
            assert np.isfinite(value)
            assert all(np.all(np.isfinite(g.astype(jnp.float32))) for g in gradients)


def test_no_rows_cost_nothing_and_one_row_has_no_information():
    empty, row = jnp.zeros((0, 3)), jnp.ones((1, 3))
    for step in steps.values():
        assert step(empty, empty, empty)[0] == 0
    assert sampled(empty, empty, empty, empty)[0] == 0
    value, gradients = steps['bound'](row, row, 2 * row)
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(np.float32, (3, 8, 3), elements=hypothesis.strategies.floats(-10, 10, width=32))
)
def test_q_that_ignores_v_bounds_nothing_and_q_that_knows_c_bounds_from_above(given):
    _, log_variance, values = given
    same = np.broadcast_to(given[0, :1], (8, 3))
    constant = np.broadcast_to(log_variance[:1] / 10, (8, 3))
    # Every row is predicted alike: all pairs are equally likely on average.
    size = np.exp(-constant).max() * (1 + np.square(values).max() + np.square(same).max())
    assert abs(steps['bound'](same, constant, values)[0]) <= 1e-4 * size
    assert steps['bound'](values, log_variance / 10, values)[0] >= 0
