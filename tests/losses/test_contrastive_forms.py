"""Every form of the contrastive losses is the same loss: full, in blocks, on eight devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads

from jaxsep.losses import contrastive, paired, sphere
from jaxsep.ops.geometry import l2_normalize

B, D = 16, 4
IDS = jnp.asarray([0, 1, 2, 2, 3, 3, 3, 0, 5, 6, 7, 7, 7, 7, 8, 9], jnp.int32)


def stacked(x, y):
    return jnp.stack([x, y], axis=1)


def unit(loss):
    return lambda x, y, **form: loss(l2_normalize(x), **form)


# name -> loss(x, y, ids, **form) on rows x, y [b d] and ids [b]
LOSSES = {
    'nt_xent': lambda x, y, ids, **form: contrastive.nt_xent(x, y, 0.2, **form),
    'decoupled': lambda x, y, ids, **form: contrastive.decoupled_nt_xent(x, y, 0.2, **form),
    'multi_positive': lambda x, y, ids, **form: contrastive.nt_xent_multi_positive(x + y, ids, 0.2, **form),
    'supcon': lambda x, y, ids, **form: contrastive.supcon(stacked(x, y), ids, 0.2, 0.1, **form),
    'supcon_one': lambda x, y, ids, **form: contrastive.supcon(stacked(x, y), ids, 0.2, anchors='one', **form),
    'supcon_views': lambda x, y, ids, **form: contrastive.supcon(stacked(x, y), None, 0.2, **form),
    'supcon_nonzero': lambda x, y, ids, **form: contrastive.supcon((x - y)[:, None], ids, 0.2, reduction='avg_nonzero', **form),
    'clip': lambda x, y, ids, **form: paired.clip_info_nce(x, y, 0.2, **form),
    'mocov3': lambda x, y, ids, **form: paired.mocov3(x, y, 0.2, **form),
    'siglip': lambda x, y, ids, **form: paired.siglip(x, y, 5.0, -2.0, **form),
    'uniformity': lambda x, y, ids, **form: sphere.uniformity(l2_normalize(x + y), **form),
}  # fmt: skip
QUEUE = jnp.asarray(np.random.default_rng(9).normal(size=(5, D)), jnp.float32)
LOSSES['queue'] = lambda x, y, ids, **form: paired.queue_info_nce(x, y, QUEUE, 0.2, **form)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    return *(jnp.asarray(rng.normal(size=(B, D)), jnp.float32) for _ in range(2)), IDS


def value_and_grads(**form):
    """All losses and their gradients in one program."""

    def every(x, y, ids):
        return {
            name: jax.value_and_grad(functools.partial(loss, **form), argnums=(0, 1))(x, y, ids)
            for name, loss in LOSSES.items()
        }

    return jax.jit(every)


full = value_and_grads()


@pytest.mark.parametrize('chunk_size', [6])
def test_blocks_give_the_value_and_gradient_of_the_full_matrix(chunk_size):
    x, y, ids = problem()
    x, y = x.at[3].set(0.0), y.at[5].set(y[6])
    want = full(x, y, ids)
    for name, (value, grads) in value_and_grads(chunk_size=chunk_size)(x, y, ids).items():
        np.testing.assert_allclose(value, want[name][0], rtol=1e-5, err_msg=name)
        for grad, wanted in zip(grads, want[name][1], strict=True):
            np.testing.assert_allclose(grad, wanted, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize('chunk_size', [None, 6])
def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices, chunk_size):
    shared = {} if chunk_size is None else {'supcon', 'supcon_views', 'mocov3', 'queue'}

    def every(x, y, ids, axis_name):
        form = dict(axis_name=axis_name, chunk_size=chunk_size)
        values = [f(x, y, ids, **form) for name, f in LOSSES.items() if name not in shared]
        values.append(sphere.alignment(x, y, axis_name=axis_name))
        return jnp.stack(values) @ (1.0 + jnp.arange(len(values)))

    same_on_eight_devices(every, *problem(1))


def test_gradients_are_exact(float64):
    x, y = (jnp.asarray(np.random.default_rng(2).normal(size=(4, 3))) for _ in range(2))
    y = y + 0.5

    def values(x, y):
        return (
            contrastive.decoupled_nt_xent(x, y, 0.3),
            paired.siglip(x, y, 3.0, -1.0),
            contrastive.supcon(stacked(x, y), jnp.array([0, 1, 0, 2]), 0.3, chunk_size=3),
            contrastive.decoupled_nt_xent(x, y, 0.3, chunk_size=3),
        )

    check_grads(jax.jit(values), (x, y), order=1, modes=['rev'])


def test_decoupled_and_siglip_and_mocov3_agree_with_loops(float64, golden):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    z, terms = np.concatenate([a, b]), []
    for i in range(10):
        negatives = sum(np.exp(z[i] @ z[j] / 0.2) for j in range(10) if j % 5 != i % 5)
        terms.append(np.log(negatives) - z[i] @ z[(i + 5) % 10] / 0.2)
    pairs = []
    for i in range(5):
        for j in range(5):
            logit = (7 * a[i] @ b[j] - 3) * (1 if i == j else -1)
            pairs.append(np.log1p(np.exp(-logit)))
    keys = []
    for i in range(5):
        total = sum(np.exp(a[i] @ b[j] / 0.2) for j in range(5))
        keys.append(2 * 0.2 * (np.log(total) - a[i] @ b[i] / 0.2))

    @jax.jit
    def values(x, y):
        decoupled = contrastive.decoupled_nt_xent(x, y, 0.2)
        return decoupled, paired.siglip(x, y, 7.0, -3.0), paired.mocov3(x, y, 0.2)

    expected = np.mean(terms), sum(pairs) / 5, np.mean(keys)
    np.testing.assert_allclose(values(x, y), expected, rtol=1e-9)


def test_mocov3_agrees_with_the_original_in_value_and_gradient(golden):
    a = {
        k.split('/')[1]: v
        for k, v in golden('shared_ssl_losses').items()
        if k.startswith('mocov3/')
    }
    loss = jax.jit(jax.value_and_grad(paired.mocov3, argnums=(0, 1)))
    value, (grad, of_key) = loss(a['query'], a['key'], float(a['tau']))
    np.testing.assert_allclose(value, a['loss'], rtol=2e-5)
    np.testing.assert_allclose(grad, a['grad_query'], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(of_key, 0)


def test_decoupled_loss_is_smaller_since_its_denominator_is():
    x, y, ids = problem(4)
    values = {name: value for name, (value, _) in full(x, y, ids).items()}
    assert values['decoupled'] < values['nt_xent']


def test_no_negatives_give_zero():
    @jax.jit
    def values(one):
        return [
            loss
            for chunk_size in (None, 1)
            for loss in (
                contrastive.decoupled_nt_xent(one, -one, 0.1, chunk_size=chunk_size),
                paired.clip_info_nce(one, -one, chunk_size=chunk_size),
                contrastive.supcon(stacked(one, one)[:, :1], chunk_size=chunk_size),
            )
        ]

    np.testing.assert_allclose(values(jnp.ones((1, 3))), 0, atol=1e-5)


BOTH_FORMS = {
    temperature: jax.jit(
        lambda x, y, ids, t=temperature: {
            f'{name} {chunk}': jax.value_and_grad(loss, argnums=(0, 1))(x, y, ids, t, chunk)
            for name, loss in {
                'nt_xent': lambda x, y, ids, t, c: contrastive.nt_xent(x, y, t, chunk_size=c),
                'decoupled': lambda x, y, ids, t, c: contrastive.decoupled_nt_xent(x, y, t, chunk_size=c),
                'multi': lambda x, y, ids, t, c: contrastive.nt_xent_multi_positive(x, ids, t, chunk_size=c),
                'supcon': lambda x, y, ids, t, c: contrastive.supcon(stacked(x, y), ids, t, chunk_size=c),
                'clip': lambda x, y, ids, t, c: paired.clip_info_nce(x, y, t, chunk_size=c),
                'siglip': lambda x, y, ids, t, c: paired.siglip(x, y, 1 / t, -10.0, chunk_size=c),
                'queue': lambda x, y, ids, t, c: paired.queue_info_nce(x, y, y[::-1], t, chunk_size=c),
            }.items()
            for chunk in (None, 3)
        }
    )
    for temperature in (0.005, 0.5)
}  # fmt: skip
NUMBERS = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e30]), st.floats(-1e3, 1e3, width=32))


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    hnp.arrays(np.float32, (2, 7, 3), elements=NUMBERS),
    hnp.arrays(np.int32, 7, elements=st.integers(0, 3)),
    st.sampled_from([0.005, 0.5]),
)  # fmt: skip
def test_any_values_and_groups_are_finite_and_equal_in_both_forms(rows, ids, temperature):
    found = BOTH_FORMS[temperature](*jnp.asarray(rows), jnp.asarray(ids))
    noise = 1e-5 / temperature  # of probabilities, from the rounding of logits up to 1/temperature
    for form, (value, grads) in found.items():
        name = form.split()[0]
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads), form
        # Logits of up to 200 carry an error of 1e-5 in float32.
        np.testing.assert_allclose(
            value, found[f'{name} None'][0], rtol=1e-4, atol=1e-3, err_msg=name
        )
        for grad, want in zip(grads, found[f'{name} None'][1], strict=True):
            scale = max(np.abs(np.asarray(g)).max() for g in found[f'{name} None'][1])
            np.testing.assert_allclose(grad, want, atol=1e-3 * scale + noise, err_msg=name)


def test_the_losses_of_two_sets_are_finite_float32_at_the_edge():
    z = jnp.asarray(np.random.default_rng(5).normal(size=(8, 3)), jnp.float32)
    cases = [z, z.at[2].set(0.0), jnp.ones_like(z), jnp.concatenate([z[:4], -z[:4]]), z * 1e30]

    @jax.jit
    def values(z):
        losses = {
            'decoupled': lambda z: contrastive.decoupled_nt_xent(z[:4], z[4:], 0.005),
            'decoupled in blocks': lambda z: contrastive.decoupled_nt_xent(
                z[:4], z[4:], 0.005, chunk_size=3
            ),
            'mocov3': lambda z: paired.mocov3(z[:4], z[4:], 0.005),
            'siglip': lambda z: paired.siglip(z[:4], z[4:], 1e4, -1e4),
        }
        return {name: jax.value_and_grad(loss)(z) for name, loss in losses.items()}

    for case in [*cases, *(z.astype(jnp.bfloat16) for z in cases[:4])]:
        for name, (value, gradient) in values(case).items():
            assert value.dtype == jnp.float32 and np.isfinite(value), name
            assert np.isfinite(np.asarray(gradient, np.float32)).all(), name
