"""The temperatures and running means of iSogCLR, step by step against both code bases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses import isogclr
from jaxsep.losses.isogclr import TemperatureState

VARIANTS = {
    'uni_rgcl': isogclr.rgcl,
    'uni_rgcl_sqh': isogclr.rgcl_squared_hinge,
    'gcl_v1_sogclr': isogclr.sogclr,
    'gcl_v1_isogclr': isogclr.gcl,
}
NAMES = {
    'gamma': 'gamma',
    'rho': 'rho',
    'tau_min': 'tau_min',
    'tau_max': 'tau_max',
    'eta': 'eta',
    'eta_init': 'eta',
    'beta': 'beta',
    'beta_u': 'beta',
    'c': 'margin',
}


def options_of(arrays, case):
    found = {
        new: float(arrays[f'{case}/{old}'])
        for old, new in NAMES.items()
        if f'{case}/{old}' in arrays
    }
    if case == 'gcl_v1_sogclr':
        found = {'gamma': found['gamma']}
    return found


@pytest.mark.parametrize('case', VARIANTS)
def test_every_step_agrees_with_the_original_in_value_gradient_and_state(golden, case):
    arrays = golden('isogclr')
    options = options_of(arrays, case)
    variant = VARIANTS[case]
    takes_first_epoch = case != 'uni_rgcl_sqh'

    @jax.jit
    def step(state, index, z1, z2, first_epoch):
        extra = {'first_epoch': first_epoch} if takes_first_epoch else {}

        def loss(z1, z2):
            return variant(state, index, z1, z2, **options, **extra)

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(z1, z2)

    initial = arrays[f'{case}/tau_init'] if f'{case}/tau_init' in arrays else arrays[f'{case}/tau']
    state = TemperatureState.init(int(arrays[f'{case}/N']), float(initial))
    steps = arrays[f'{case}/x'].shape[0]
    for i in range(steps):
        z1, z2 = jnp.asarray(arrays[f'{case}/x'][i])
        index = jnp.asarray(arrays[f'{case}/idx'][i].astype(np.int32))
        (value, state), gradients = step(state, index, z1, z2, jnp.array(i == 0))
        want = {
            name: arrays[f'{case}/step{i}/{name}']
            for name in ('loss', 'grad_x1', 'grad_x2', 's', 'tau', 'u', 'v')
            if f'{case}/step{i}/{name}' in arrays
        }
        libauc = case.startswith('gcl')
        mean, momentum = ('u', 'v') if libauc else ('s', 'u')
        # float32 against float64 over several steps, exponents up to 20.
        close = dict(rtol=5e-5, atol=2e-6)
        np.testing.assert_allclose(value, want['loss'], **close)
        np.testing.assert_allclose(gradients[0], want['grad_x1'], **close)
        np.testing.assert_allclose(gradients[1], want['grad_x2'], **close)
        np.testing.assert_allclose(np.exp(state.log_inner_mean), want[mean], **close)
        if case == 'gcl_v1_sogclr':
            np.testing.assert_array_equal(state.temperature, np.float32(initial))
            np.testing.assert_array_equal(state.momentum, 0)
        else:
            np.testing.assert_allclose(state.temperature, want['tau'], **close)
            np.testing.assert_allclose(state.momentum, want[momentum], **close)
    assert step._cache_size() == 1


def random_problem(seed=0, n=7, b=4, d=3, temperature=0.4):
    """Views, indices and a state in which some samples were seen before."""
    rng = np.random.default_rng(seed)
    z1, z2 = rng.normal(size=(2, b, d))
    index = rng.permutation(n)[:b].astype(np.int32)
    state = TemperatureState(
        jnp.asarray(np.log(rng.uniform(0.5, 3, n))),
        jnp.asarray(rng.uniform(0.5, 1.5, n) * temperature),
        jnp.asarray(rng.normal(size=n)),
    )
    return state, jnp.asarray(index), jnp.asarray(z1), jnp.asarray(z2)


HYPER = dict(gamma=0.7, rho=0.4, tau_min=0.1, tau_max=0.5, eta=0.05, beta=0.6)


def oracle(state, index, z1, z2, kind):
    """One step with loops in the linear domain; returns loss, s, tau, u."""
    s, tau, u = np.exp(state.log_inner_mean), *(np.array(x) for x in state[1:])
    b = len(index)
    z = np.concatenate([z1, z2])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    loss = 0.0
    for i, sample in enumerate(np.asarray(index)):
        old, gradients, means = s[sample], [], []
        for row in (i, i + b):
            own = z[row] @ z[(row + b) % (2 * b)]
            if kind == 'hinge':
                columns = [j for j in range(2 * b) if j != row]
                scores = [max(0, z[row] @ z[j] - own + 0.8) ** 2 for j in columns]
            else:
                columns = [j for j in range(2 * b) if j % b != i]
                scores = [z[row] @ z[j] for j in columns]
            e = [np.exp(score / tau[sample]) for score in scores]
            mean = 0.3 * old + 0.7 * np.mean(e)
            weighted = np.mean([x / mean * y for x, y in zip(e, scores, strict=True)])
            loss += (weighted - (0 if kind == 'hinge' else own)) / b
            gradients.append(np.log(mean) + 0.4 - weighted / tau[sample])
            means.append(mean)
        gradient = np.mean(gradients)
        if kind != 'libauc':
            gradient = np.clip(gradient, -3, 3)
        s[sample] = np.mean(means)
        u[sample] = 0.4 * u[sample] + 0.6 * gradient
        tau[sample] = np.clip(tau[sample] - 0.05 * u[sample], 0.1, 0.5)
    return loss, s, tau, u


def variant_of(kind):
    return {
        'original': lambda *args, **hyper: isogclr.rgcl(*args, first_epoch=False, **hyper),
        'hinge': isogclr.rgcl_squared_hinge,
        'libauc': lambda *args, **hyper: isogclr.gcl(*args, first_epoch=False, **hyper),
    }[kind]


@functools.cache
def jitted(kind, **changes):
    variant = variant_of(kind)
    return jax.jit(lambda *args: variant(*args, **(HYPER | changes)))


KINDS = ['original', 'hinge', 'libauc']


@pytest.mark.parametrize('kind', KINDS)
def test_one_step_agrees_with_loops(float64, kind):
    problem = random_problem(temperature=0.2)
    loss, state = jitted(kind)(*problem)
    want_loss, s, tau, u = oracle(*problem, kind)
    np.testing.assert_allclose(loss, want_loss, rtol=1e-10)
    np.testing.assert_allclose(np.exp(state.log_inner_mean), s, rtol=1e-10)
    np.testing.assert_allclose(state.temperature, tau, rtol=1e-10)
    np.testing.assert_allclose(state.momentum, u, rtol=1e-10)


def objective(z1, z2, temperature, kind):
    """mean_i sum_v tau_i log E exp(h_ij/tau_i), the batch's own robust loss without rho."""
    b = z1.shape[0]
    z = jnp.concatenate([z1, z2])
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    s = z @ z.T
    rows = jnp.arange(2 * b)
    own = s[rows, (rows + b) % (2 * b)]
    tau = jnp.tile(temperature, 2)
    if kind == 'hinge':
        h, excluded = jnp.maximum(0, s - own[:, None] + 0.8) ** 2, jnp.eye(2 * b, dtype=bool)
    else:
        h, excluded = s - own[:, None], jnp.tile(jnp.eye(b, dtype=bool), (2, 2))
    mean = jnp.sum(jnp.where(excluded, 0, jnp.exp(h / tau[:, None])), 1) / jnp.sum(~excluded, 1)
    return jnp.sum(tau * jnp.log(mean)) / b


@pytest.mark.parametrize('kind', KINDS)
def test_at_gamma_one_the_gradient_is_that_of_the_robust_loss_of_the_batch(float64, kind):
    state, index, z1, z2 = random_problem(1)
    step = jitted(kind, gamma=1.0)
    gradient = jax.jit(jax.grad(lambda z: step(state, index, z, z2)[0]))(z1)
    tau = state.temperature[index]
    stand_in = jax.jit(lambda z: objective(z, z2, tau, kind))
    np.testing.assert_allclose(gradient, jax.jit(jax.grad(stand_in))(z1), rtol=1e-9, atol=1e-12)
    if kind != 'libauc':  # its stand-in is that of the original
        # The stand-in for that loss passes the finite-difference check, so both are exact.
        check_grads(stand_in, (z1,), order=1)


@pytest.mark.parametrize('kind', KINDS)
def test_at_gamma_and_beta_one_the_momentum_is_the_temperature_gradient(float64, kind):
    state, index, z1, z2 = random_problem(2)
    _, new_state = jitted(kind, gamma=1.0, beta=1.0, rho=0.1)(state, index, z1, z2)
    tau, b = state.temperature[index], 4
    gradient = jax.jit(jax.grad(lambda tau: objective(z1, z2, tau, kind)))(tau) * b / 2
    assert jnp.all(jnp.abs(gradient + 0.1) < 3)  # so that the clipping plays no part
    np.testing.assert_allclose(new_state.momentum[index], gradient + 0.1, rtol=1e-8)


def test_the_first_epoch_rule_is_gamma_one():
    problem = [x.astype(jnp.float32) if x.dtype == float else x for x in random_problem(3)[1:]]
    state = TemperatureState.init(7, 0.3)

    @jax.jit
    def step(state, first_epoch, gamma):
        return isogclr.rgcl(state, *problem, first_epoch=first_epoch, gamma=gamma)

    first = step(state, jnp.array(True), 0.3)
    whole = step(state, jnp.array(False), 1.0)
    jax.tree.map(np.testing.assert_array_equal, first, whole)
    later = step(state, jnp.array(False), 0.5)
    index = problem[0]
    np.testing.assert_allclose(
        later[1].log_inner_mean[index], first[1].log_inner_mean[index] - np.log(2), rtol=1e-5
    )


def test_libauc_applies_the_first_epoch_rule_only_to_a_batch_never_seen(float64):
    state, index, z1, z2 = random_problem(4)

    @jax.jit
    def step(state, first_epoch, gamma):
        return isogclr.gcl(state, index, z1, z2, first_epoch=first_epoch, gamma=gamma)

    seen = step(state, True, 0.3)
    jax.tree.map(np.testing.assert_array_equal, seen, step(state, False, 0.3))
    fresh = TemperatureState.init(7, 0.3)
    unseen = step(fresh, True, 0.3)
    jax.tree.map(np.testing.assert_array_equal, unseen, step(fresh, False, 1.0))
    partly = fresh._replace(log_inner_mean=fresh.log_inner_mean.at[index[0]].set(0.0))
    jax.tree.map(np.testing.assert_array_equal, step(partly, True, 0.3), step(partly, False, 0.3))


def test_sogclr_is_gcl_whose_temperatures_do_not_move(float64):
    problem = random_problem(5)
    fixed, fixed_state = jax.jit(lambda *a: isogclr.sogclr(*a, first_epoch=False))(*problem)
    learnt, learnt_state = jax.jit(lambda *a: isogclr.gcl(*a, first_epoch=False))(*problem)
    assert fixed == learnt
    np.testing.assert_array_equal(fixed_state.log_inner_mean, learnt_state.log_inner_mean)
    np.testing.assert_array_equal(fixed_state.temperature, problem[0].temperature)
    assert jnp.all(learnt_state.temperature[problem[1]] != problem[0].temperature[problem[1]])


@pytest.mark.parametrize('kind', KINDS)
def test_order_in_the_batch_and_numbering_of_the_samples_do_not_matter(float64, kind):
    state, index, z1, z2 = random_problem(6)
    step = jitted(kind)
    loss, new_state = step(state, index, z1, z2)
    order = jnp.array([2, 0, 3, 1])
    shuffled = step(state, index[order], z1[order], z2[order])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), shuffled, (loss, new_state)
    )
    renumber = jnp.array([3, 6, 0, 2, 5, 1, 4])  # sample i becomes renumber[i]
    back = jnp.argsort(renumber)
    renumbered = step(jax.tree.map(lambda x: x[back], state), renumber[index], z1, z2)
    np.testing.assert_allclose(renumbered[0], loss, rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[renumber], b, rtol=1e-12),
        renumbered[1],
        new_state,
    )


@pytest.mark.parametrize('kind', KINDS)
def test_only_the_samples_of_the_batch_are_updated_within_the_bounds(float64, kind):
    state, index, z1, z2 = random_problem(7)
    _, new_state = jitted(kind)(state, index, z1, z2)
    others = np.setdiff1d(np.arange(7), index)
    for old, new in zip(state, new_state, strict=True):
        np.testing.assert_array_equal(new[others], old[others])
        assert jnp.all(new[index] != old[index])
    assert jnp.all((new_state.temperature[index] >= 0.1) & (new_state.temperature[index] <= 0.5))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('outside', [-1, 7, 1000])
def test_an_index_outside_makes_the_loss_nan_and_corrupts_no_sample(float64, kind, outside):
    state, index, z1, z2 = random_problem(8)
    step = jitted(kind)
    _, want = step(state, index, z1, z2)
    loss, got = step(state, index.at[0].set(outside), z1, z2)
    assert np.isnan(loss)
    for old, new, expected in zip(state, got, want, strict=True):
        np.testing.assert_array_equal(new, expected.at[index[0]].set(old[index[0]]))


@pytest.mark.parametrize('kind', KINDS)
def test_nothing_is_differentiated_but_the_features(float64, kind):
    state, index, z1, z2 = random_problem(9)
    step = jitted(kind)
    gradient = jax.jit(jax.grad(lambda state: step(state, index, z1, z2)[0]))(state)
    for leaf in gradient:
        np.testing.assert_array_equal(leaf, 0)
    of_state = jax.jit(
        jax.grad(lambda z: sum(jnp.sum(leaf) for leaf in step(state, index, z, z2)[1]))
    )(z1)
    np.testing.assert_array_equal(of_state, 0)


@pytest.mark.parametrize('kind', KINDS)
def test_features_are_normalised_inside(float64, kind):
    state, index, z1, z2 = random_problem(10)
    step = jitted(kind)
    scaled = step(state, index, 3.0 * z1, 0.2 * z2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12),
        scaled,
        step(state, index, z1, z2),
    )


def test_libauc_keeps_the_mean_of_very_dissimilar_negatives_above_1e_8():
    state, index = TemperatureState.init(2, 0.05), jnp.arange(2)
    z = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    options = dict(first_epoch=True, gamma=1.0)
    loss, new_state = jax.jit(lambda z: isogclr.sogclr(state, index, z, z, **options))(z)
    np.testing.assert_allclose(loss, 2 * (-np.exp(-20) / 1e-8 - 1), rtol=1e-5)
    np.testing.assert_allclose(new_state.log_inner_mean, -20, rtol=1e-6)
    original, _ = jax.jit(lambda z: isogclr.rgcl(state, index, z, z, **options))(z)
    np.testing.assert_allclose(original, 2 * (-1 - 1), rtol=1e-5)


def test_a_larger_radius_lowers_every_temperature(float64):
    state, index, z1, z2 = random_problem(11)
    low, high = (jitted('original', rho=rho)(state, index, z1, z2)[1] for rho in (0.1, 0.5))
    assert jnp.all(high.momentum[index] > low.momentum[index])
    assert jnp.all(high.temperature[index] <= low.temperature[index])


@pytest.mark.parametrize('kind', KINDS)
def test_values_gradients_and_state_are_finite_float32_at_temperature_0_005(kind):
    step = jitted(kind, tau_min=0.005)
    loss = jax.jit(jax.value_and_grad(lambda z, *a: step(*a, z, z[::-1]), has_aux=True))
    z = jnp.asarray(np.random.default_rng(12).normal(size=(4, 3)).astype(np.float32))
    for case in (z, z.at[1].set(0), jnp.zeros((4, 3)), jnp.ones((4, 3)), z.astype(jnp.bfloat16)):
        state = TemperatureState.init(6, 0.005)
        for _ in range(2):
            (value, state), gradient = loss(case, state, jnp.arange(4))
            assert value.dtype == jnp.float32
            assert np.isfinite(value)
            assert np.all(np.isfinite(gradient.astype(jnp.float32)))
            assert all(leaf.dtype == jnp.float32 for leaf in state)
            assert all(np.all(np.isfinite(leaf[:4])) for leaf in state)


@pytest.mark.parametrize('kind', KINDS)
def test_a_batch_of_one_costs_nothing_and_changes_nothing(kind):
    state, z = TemperatureState.init(3, 0.1), jnp.ones((1, 2))
    step = variant_of(kind)
    (value, new_state), gradient = jax.jit(
        jax.value_and_grad(lambda z: step(state, jnp.array([1]), z, z), has_aux=True)
    )(z)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    jax.tree.map(np.testing.assert_array_equal, new_state, state)
    nobody = step(state, jnp.zeros(0, jnp.int32), z[:0], z[:0])
    jax.tree.map(np.testing.assert_array_equal, nobody, (0, state))


def test_gamma_falls_from_one_by_a_half_cosine_and_stays():
    schedule = jax.jit(lambda epoch: isogclr.gamma_schedule(epoch, 0.8, 10))
    values = [schedule(epoch) for epoch in range(13)]
    np.testing.assert_allclose([values[0], values[5], values[10]], [1.0, 0.9, 0.8], rtol=1e-6)
    np.testing.assert_allclose(values[10:], 0.8, rtol=1e-6)
    assert np.all(np.diff(values[:11]) < 0)
    assert isogclr.gamma_schedule(3, 0.8) == np.float32(0.8)
    with pytest.raises(ValueError, match='decay_epochs must be at least 1, got 0'):
        isogclr.gamma_schedule(0, 0.8, 0)
