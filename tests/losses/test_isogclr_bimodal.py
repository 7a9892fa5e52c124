"""The image-text forms of iSogCLR, step by step against both code bases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses.isogclr_bimodal import BimodalState, gcl_bimodal, rgcl_bimodal

KEYS = {
    'bi_rgcl': {
        'inner_mean': 's_',
        'largest_exponent': 'b_',
        'temperature': 'tau_',
        'momentum': 'u_',
    },
    'gcl_v2_isogclr': {
        'inner_mean': 'u',
        'largest_exponent': 'b',
        'temperature': 'tau_',
        'momentum': 'v_',
    },
}


def stored(arrays, case, step, field, side):
    key = KEYS[case][field]
    suffix = {'bi_rgcl': 'IT', 'gcl_v2_isogclr': '12' if len(key) == 1 else ('img', 'txt')}[case]
    return arrays[f'{case}/step{step}/{key}{suffix[side]}']


@pytest.mark.parametrize('case', KEYS)
def test_every_step_agrees_with_the_original_in_value_gradient_and_state(golden, case):
    arrays = golden('isogclr')
    libauc = case == 'gcl_v2_isogclr'

    def option(*names):
        return next(float(arrays[f'{case}/{n}']) for n in names if f'{case}/{n}' in arrays)

    options = dict(
        gamma=option('gamma'),
        rho=option('rho', 'rho_init'),
        tau_min=option('tau_min'),
        tau_max=option('tau_max'),
        eta=option('eta', 'eta_init'),
        beta=option('beta', 'beta_u'),
    )

    @jax.jit
    def step(state, index, images, texts, first_epoch):
        def loss(images, texts):
            if libauc:
                return gcl_bimodal(state, index, images, texts, first_epoch=first_epoch, **options)
            return rgcl_bimodal(state, index, images, texts, **options)

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(images, texts)

    state = BimodalState.init(int(arrays[f'{case}/N']), option('tau_init', 'tau'))
    for i in range(4):
        images, texts = jnp.asarray(arrays[f'{case}/x'][i])
        index = jnp.asarray(arrays[f'{case}/idx'][i].astype(np.int32))
        (value, state), gradients = step(state, index, images, texts, jnp.array(i == 0))
        # Exponents reach 40 at temperature 0.05 (400 at 0.005): float32 keeps 4 digits.
        close = dict(rtol=2e-4, atol=1e-5)
        np.testing.assert_allclose(value, arrays[f'{case}/step{i}/loss'], **close)
        np.testing.assert_allclose(gradients[0], arrays[f'{case}/step{i}/grad_img'], **close)
        np.testing.assert_allclose(gradients[1], arrays[f'{case}/step{i}/grad_txt'], **close)
        for field in KEYS[case]:
            for j, side in enumerate(state):
                want = stored(arrays, case, i, field, j)
                np.testing.assert_allclose(getattr(side, field), want, **close, err_msg=field)


HYPER = dict(gamma=0.7, rho=0.4, tau_min=0.1, tau_max=0.5, eta=0.05, beta=0.6)


@functools.cache
def rgcl_step(**changes):
    return jax.jit(lambda *args: rgcl_bimodal(*args, **(HYPER | changes)))


@functools.cache
def gcl_step(**changes):
    return jax.jit(lambda *args: gcl_bimodal(*args, first_epoch=False, **(HYPER | changes)))


STEPS = {'original': rgcl_step, 'libauc': gcl_step}


def random_problem(seed=0, n=7, b=4, d=3, temperature=0.4):
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(2, b, d))
    index = rng.permutation(n)[:b].astype(np.int32)

    def side():
        return type(BimodalState.init(1, 1.0).image)(
            jnp.asarray(rng.uniform(0.1, 1, n)),
            jnp.asarray(rng.uniform(0, 2, n)),
            jnp.asarray(rng.uniform(0.5, 1.5, n) * temperature),
            jnp.asarray(rng.normal(size=n)),
        )

    return BimodalState(side(), side()), jnp.asarray(index), jnp.asarray(images), jnp.asarray(texts)


def side_oracle(side, index, anchors, others, libauc):
    s, largest, tau, u = (np.array(x) for x in side)
    b, loss = len(index), 0.0
    for i, sample in enumerate(np.asarray(index)):
        gaps = [anchors[i] @ others[j] - anchors[i] @ others[i] for j in range(b)]
        old = largest[sample]
        largest[sample] = max(old, max(gaps) / tau[sample])
        kept = [j for j in range(b) if j != i or not libauc]
        e = {j: np.exp(gaps[j] / tau[sample] - largest[sample]) for j in kept}
        s[sample] *= 0.3 * np.exp(old - largest[sample])
        s[sample] += 0.7 * sum(e.values()) / (b - 1)
        w = {j: e[j] / s[sample] / (b - 1) for j in kept}
        weighted = sum(w[j] * gaps[j] for j in kept)
        loss += weighted / b * ((b - 1) / 2 if libauc else 1)
        gradient = np.log(s[sample]) + largest[sample] + 0.4 - weighted / tau[sample]
        u[sample] = 0.4 * u[sample] + 0.6 * (gradient if libauc else np.clip(gradient, -5, 5))
        tau[sample] = np.clip(tau[sample] - 0.05 * u[sample], 0.1, 0.5)
    return loss, (s, largest, tau, u)


@pytest.mark.parametrize('kind', STEPS)
def test_one_step_agrees_with_loops(float64, kind):
    state, index, images, texts = random_problem(temperature=0.2)
    loss, new_state = STEPS[kind]()(state, index, images, texts)
    x, y = (np.array(v) / np.linalg.norm(v, axis=1, keepdims=True) for v in (images, texts))
    image_loss, image_side = side_oracle(state.image, index, x, y, kind == 'libauc')
    text_loss, text_side = side_oracle(state.text, index, y, x, kind == 'libauc')
    # The original adds 1e-10 to s.
    np.testing.assert_allclose(loss, image_loss + text_loss, rtol=1e-8)
    for got, want in zip(new_state, (image_side, text_side), strict=True):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8)


def objective(images, texts, image_tau, text_tau, with_itself):
    """mean_i tau_i log E exp(D_ij/tau_i) of images plus the same of texts."""
    x, y = (v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (images, texts))
    b = x.shape[0]
    kept = jnp.ones((b, b), bool) if with_itself else ~jnp.eye(b, dtype=bool)
    total = 0.0
    for s, tau in ((x @ y.T, image_tau), (y @ x.T, text_tau)):
        gaps = s - jnp.diagonal(s)[:, None]
        mean = jnp.sum(jnp.where(kept, jnp.exp(gaps / tau[:, None]), 0), axis=1) / (b - 1)
        total += jnp.mean(tau * jnp.log(mean))
    return total


@pytest.mark.parametrize('kind', STEPS)
def test_at_gamma_one_the_gradients_are_those_of_the_robust_loss_of_the_batch(float64, kind):
    state, index, images, texts = random_problem(1)
    step = STEPS[kind](gamma=1.0, beta=1.0)
    taus = [side.temperature[index] for side in state]
    gradients, new_state = jax.jit(
        jax.grad(lambda x, y: step(state, index, x, y), argnums=(0, 1), has_aux=True)
    )(images, texts)

    def whole(x, y, image_tau, text_tau):
        return objective(x, y, image_tau, text_tau, kind == 'original')

    want = jax.jit(jax.grad(whole, argnums=(0, 1, 2, 3)))(images, texts, *taus)
    scale = 1.0 if kind == 'original' else 1.5  # LibAUC: (b - 1)/2
    for got, expected in zip(gradients, want[:2], strict=True):
        np.testing.assert_allclose(got, scale * expected, rtol=1e-7, atol=1e-10)
    for side, expected in zip(new_state, want[2:], strict=True):
        np.testing.assert_allclose(side.momentum[index], 4 * expected + 0.4, rtol=1e-7)
    check_grads(jax.jit(whole), (images, texts, *taus), order=1)


@pytest.mark.parametrize('kind', STEPS)
def test_exchanging_images_and_texts_exchanges_their_states(float64, kind):
    state, index, images, texts = random_problem(2)
    step = STEPS[kind]()
    loss, new_state = step(state, index, images, texts)
    swapped, swapped_state = step(BimodalState(state.text, state.image), index, texts, images)
    np.testing.assert_allclose(swapped, loss, rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10),
        BimodalState(swapped_state.text, swapped_state.image),
        new_state,
    )


@pytest.mark.parametrize('kind', STEPS)
def test_order_in_the_batch_and_numbering_of_the_samples_do_not_matter(float64, kind):
    state, index, images, texts = random_problem(3)
    step = STEPS[kind]()
    loss, new_state = step(state, index, images, texts)
    order, renumber = jnp.array([2, 0, 3, 1]), jnp.array([3, 6, 0, 2, 5, 1, 4])
    moved = jax.tree.map(lambda x: x[jnp.argsort(renumber)], state)
    got, got_state = step(moved, renumber[index][order], images[order], texts[order])
    np.testing.assert_allclose(got, loss, rtol=1e-10)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[renumber], b, rtol=1e-10), got_state, new_state
    )


@pytest.mark.parametrize('kind', STEPS)
@pytest.mark.parametrize('outside', [-1, 7])
def test_an_index_outside_makes_the_loss_nan_and_corrupts_no_sample(float64, kind, outside):
    state, index, images, texts = random_problem(4)
    step = STEPS[kind]()
    _, want = step(state, index, images, texts)
    loss, got = step(state, index.at[0].set(outside), images, texts)
    assert np.isnan(loss)
    jax.tree.map(
        lambda old, new, expected: np.testing.assert_array_equal(
            new, expected.at[index[0]].set(old[index[0]])
        ),
        state,
        got,
        want,
    )


@pytest.mark.parametrize('kind', STEPS)
def test_nothing_is_differentiated_but_the_features(float64, kind):
    state, index, images, texts = random_problem(5)
    step = STEPS[kind]()
    gradient = jax.jit(jax.grad(lambda state: step(state, index, images, texts)[0]))(state)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, 0), gradient)


def test_the_first_epoch_rule_needs_a_batch_never_seen(float64):
    state, *batch = random_problem(6)

    @jax.jit
    def step(state, first_epoch, gamma):
        return gcl_bimodal(state, *batch, first_epoch=first_epoch, gamma=gamma)

    fresh = BimodalState.init(7, 0.3)
    once = [side.inner_mean.at[batch[0][0]].set(0.5) for side in fresh]
    partly = BimodalState(*(s._replace(inner_mean=m) for s, m in zip(fresh, once, strict=True)))
    for start, gamma in ((fresh, 1.0), (state, 0.3), (partly, 0.3)):
        got, want = step(start, jnp.array(True), 0.3), step(start, jnp.array(False), gamma)
        jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize('kind', STEPS)
def test_values_gradients_and_state_are_finite_float32_at_temperature_0_005(kind):
    step = STEPS[kind](tau_min=0.005)
    loss = jax.jit(jax.value_and_grad(lambda z, *a: step(*a, z, z[::-1]), has_aux=True))
    z = jnp.asarray(np.random.default_rng(7).normal(size=(4, 3)).astype(np.float32))
    for case in (z, z.at[1].set(0), jnp.zeros((4, 3)), jnp.ones((4, 3)), z.astype(jnp.bfloat16)):
        state = BimodalState.init(6, 0.005)
        for _ in range(2):
            (value, state), gradient = loss(case, state, jnp.arange(4))
            assert value.dtype == jnp.float32
            assert np.isfinite(value)
            assert np.all(np.isfinite(gradient.astype(jnp.float32)))
            for leaf in jax.tree.leaves(state):
                assert leaf.dtype == jnp.float32
                assert np.all(np.isfinite(leaf))


@pytest.mark.parametrize('kind', STEPS)
def test_a_running_mean_that_vanished_leaves_everything_finite(kind):
    # All negatives far below the largest exponent ever seen: exp(-400) is 0 in float32.
    state = BimodalState.init(4, 0.1)
    far = state.image._replace(largest_exponent=jnp.full(4, 400.0))
    value, new_state = STEPS[kind]()(BimodalState(far, far), jnp.arange(4), jnp.eye(4), jnp.eye(4))
    assert value == 0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(new_state))
    floor = {'original': 0.0, 'libauc': 1e-20}[kind]
    np.testing.assert_allclose(new_state.image.inner_mean, floor)
    if kind == 'original':  # log 0 is clipped to -5
        np.testing.assert_allclose(new_state.image.momentum, 0.6 * -5, rtol=1e-6)


def test_the_original_adds_1e_10_to_the_mean():
    # Only the pair itself, at gap 0, is near the largest exponent: s = gamma 1e-10 (1 + ...)/3.
    state = BimodalState.init(4, 0.1)
    far = state.image._replace(largest_exponent=jnp.full(4, np.log(1e10)))
    loss, _ = rgcl_step()(BimodalState(far, far), jnp.arange(4), jnp.eye(4), jnp.eye(4))
    other = 1e-10 * np.exp(-10)
    inner_mean = 0.7 * (1e-10 + 3 * other) / 3
    np.testing.assert_allclose(loss, -2 * other / (inner_mean + 1e-10), rtol=1e-4)


def test_a_batch_of_one_costs_nothing_and_changes_nothing():
    state, z = BimodalState.init(3, 0.1), jnp.ones((1, 2))
    for variant in (
        rgcl_bimodal,
        lambda *args: gcl_bimodal(*args, first_epoch=jnp.array(True)),
    ):
        value, new_state = variant(state, jnp.array([1]), z, z)
        assert value == 0
        jax.tree.map(np.testing.assert_array_equal, new_state, state)
