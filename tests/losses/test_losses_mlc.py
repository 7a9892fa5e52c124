"""Coding rates against the original code, a float64 oracle, and the laws of MCR^2."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses.coding_rate import coding_rate, compression, mlc_loss, tcr_loss, view_alignment
from jaxsep.ops.doubly_stochastic import absolute_cosines, sinkhorn_affinity
from jaxsep.ops.geometry import l2_normalize


@functools.partial(jax.jit, static_argnames=('precision', 'weight', 'frobenius'))
def parts(z, affinity, precision=0.1, weight=1.0, frobenius=0.0):
    """The loss with its gradients; rate and compression; minus the rate with its gradient."""
    loss = functools.partial(
        mlc_loss, squared_precision=precision, compression_weight=weight,
        frobenius_weight=frobenius, chunk_size=5,
    )  # fmt: skip
    value, grads = jax.value_and_grad(loss, (0, 1))(z, affinity)
    rate, rate_grad = jax.value_and_grad(lambda z: tcr_loss(z[None], squared_precision=precision))(
        z
    )
    # One view of points off the sphere: their directions; hence the plain rate too.
    plain = jax.value_and_grad(lambda z: -coding_rate(z, squared_precision=precision))(z)
    compressed = compression(z, affinity, squared_precision=precision, chunk_size=None)
    return value, grads, compressed, plain, (rate, rate_grad)


def oracle(z, affinity, precision, weight):
    """Rate, compression and loss with loops, in float64."""
    n, d = z.shape

    def log_det(w, mass):
        m = np.eye(d) + d / (mass * precision) * z.T @ np.diag(w) @ z
        return np.linalg.slogdet(m)[1]

    rate = log_det(np.ones(n), n) / 2
    mass = affinity.sum(axis=0) + 1e-8
    compressed = sum(t * log_det(w, t) for t, w in zip(mass, affinity.T, strict=True)) / (2 * n)
    return rate, compressed, -rate + weight * compressed


def points(n=12, d=4, seed=0, dtype=np.float32):
    z = np.random.default_rng(seed).normal(size=(n, d))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    affinity = np.exp(3 * np.abs(z @ z.T))
    return z.astype(dtype), (affinity / affinity.sum(axis=1, keepdims=True)).astype(dtype)


@pytest.mark.parametrize('case', ['l1', 'l2'])
def test_agrees_with_the_original_in_value_and_gradient(golden, case):
    data = {k.split('/')[1]: v for k, v in golden('mlc').items() if k.startswith(f'mlc_{case}')}
    value, (grad_z, grad_affinity), compressed, (rate, grad_rate), _ = parts(
        data['Z'], data['Gamma'], float(data['eps_sq']), float(data['gamma'])
    )
    # Differences of log-determinants of about 5 in single precision.
    np.testing.assert_allclose(value, data['loss'], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(rate, -data['R'], rtol=1e-5)
    np.testing.assert_allclose(compressed, data['Rc'], rtol=1e-5)
    np.testing.assert_allclose(rate, data['tcr_loss'], rtol=1e-5)
    np.testing.assert_allclose(grad_rate, data['tcr_grad_Z'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grad_z, data['grad_Z'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grad_affinity, data['grad_Gamma'], rtol=1e-4, atol=1e-5)


def test_from_raw_heads_to_the_loss_it_agrees_with_the_original(golden):
    data = {k.split('/')[1]: v for k, v in golden('mlc').items() if k.startswith('full')}

    @jax.jit
    def whole(z, c):
        affinity = sinkhorn_affinity(
            absolute_cosines(c), temperature=float(data['eta']), half_steps=int(data['max_iter'])
        )
        return mlc_loss(
            l2_normalize(z), affinity, squared_precision=float(data['eps_sq']),
            frobenius_weight=float(data['frob_coef']),
        )  # fmt: skip

    value, grads = jax.value_and_grad(whole, (0, 1))(data['Z_raw'], data['C_raw'])
    np.testing.assert_allclose(value, data['loss'], rtol=1e-5, atol=2e-6)
    for gradient, name in zip(grads, ('grad_Z_raw', 'grad_C_raw'), strict=True):
        np.testing.assert_allclose(gradient, data[name], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures('float64')
def test_agrees_with_loops_and_finite_differences():
    z, affinity = points(7, 3, dtype=np.float64)
    value, _, compressed, (rate, _), _ = parts(z, affinity, 0.3, 0.7)
    expected = oracle(z, affinity, 0.3, 0.7)
    np.testing.assert_allclose([-rate, compressed, value], expected, rtol=1e-10)

    @jax.jit
    def losses(z, other, a):
        views = jnp.stack([z, other])
        loss = mlc_loss(z, a, squared_precision=0.3, frobenius_weight=0.1, chunk_size=3)
        return loss + tcr_loss(views, alignment_weight=3.0)

    check_grads(losses, (z, points(7, 3, 1, np.float64)[0], affinity), 1, ('rev',))


def test_loss_does_not_depend_on_the_order_of_points_nor_on_rotations():
    z, affinity = points()
    value, *_ = parts(z, affinity)
    order = np.random.default_rng(1).permutation(12)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0].astype(np.float32)
    same, *_ = parts(z[order] @ rotation, affinity[order][:, order])
    np.testing.assert_allclose(same, value, rtol=1e-4, atol=1e-5)


def test_orthogonal_lines_with_their_own_affinity_have_the_smallest_loss():
    lines = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    own = np.kron(np.eye(4), np.full((3, 3), 1 / 3)).astype(np.float32)
    other = own[np.arange(12) * 5 % 12]
    spread, affinity = points()
    best = parts(lines, own)[0]
    for z, a in [(lines, other), (lines, np.full_like(own, 1 / 12)), (spread, affinity)]:
        assert parts(z, a)[0] > best + 0.1


def test_uniform_affinity_compresses_as_much_as_it_expands():
    z, affinity = points()
    value, *_ = parts(z, np.full_like(affinity, 1 / 12))
    np.testing.assert_allclose(value, 0.0, atol=1e-5)


def test_frobenius_term_is_half_the_squared_norm():
    z, affinity = points()
    difference = parts(z, affinity, frobenius=0.05)[0] - parts(z, affinity)[0]
    np.testing.assert_allclose(difference, 0.025 * np.sum(affinity**2), rtol=1e-4)


def test_degenerate_points_and_affinities_stay_finite():
    z, affinity = points()
    zeros, empty = np.zeros_like(z), affinity.copy()
    empty[:, 0] = 0.0
    identity = np.eye(12, dtype=np.float32)
    coinciding = np.repeat(z[:1], 12, axis=0)
    for rows in (z, zeros, coinciding):
        for weights in (identity, empty, np.zeros_like(affinity)):
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(parts(rows, weights)))
    value, *_ = parts(zeros, affinity)
    assert value == 0


def test_no_points_give_zero():
    @jax.jit
    def losses(views):
        return mlc_loss(views[0], jnp.zeros((0, 0))), tcr_loss(views), view_alignment(views)

    assert losses(jnp.zeros((2, 0, 4))) == (0, 0, 0)


def test_alignment_is_1_for_equal_or_opposite_views_and_0_for_one_view():
    z, _ = points()
    views = jnp.stack([z, -z, z])
    np.testing.assert_allclose(view_alignment(views), 1.0, rtol=1e-6)
    assert view_alignment(views[:1]) == 0
    aligned = tcr_loss(views[::2], squared_precision=0.1, alignment_weight=20.0)
    np.testing.assert_allclose(aligned, parts(*points())[4][0] - 20.0, rtol=1e-5)


def test_wrong_precision_is_named():
    with pytest.raises(ValueError, match='squared_precision: expected a positive number, got 0'):
        coding_rate(jnp.ones((2, 2)), squared_precision=0.0)
