import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from jaxsep.losses.compatibility import higher_order_compatibility
from jaxsep.ops.simplex import simplex_vertices


@functools.partial(jax.jit, static_argnames='mask')
def step(new, old, labels, scale, mask='zero'):
    """Value and gradients in both features."""

    def loss(new, old):
        return higher_order_compatibility(new, old, labels, scale=scale, mask=mask)

    return jax.value_and_grad(loss, argnums=(0, 1))(new, old)


@pytest.mark.parametrize('case', ['hoc_a', 'hoc_b'])
def test_value_and_gradient_agree_with_the_original(golden, case):
    data = {k.removeprefix(f'{case}/'): v for k, v in golden('dsimplex').items()}
    scale = json.loads(str(data['meta']))['mu']
    labels = data['labels'].astype(np.int32)
    value, (gradient, into_old) = step(data['feat_new'], data['feat_old'], labels, scale)
    np.testing.assert_allclose(value, data['loss'], rtol=1e-5)
    np.testing.assert_allclose(gradient, data['grad_new'], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(into_old, 0)


def test_the_whole_objective_agrees_with_the_original(golden):
    data = {k.removeprefix('objective/'): v for k, v in golden('dsimplex').items()}
    labels, weight = data['labels'].astype(np.int32), 0.1

    @jax.jit
    def objective(new):
        logits = new @ jnp.asarray(data['fixed_weights']).T
        ce = optax.softmax_cross_entropy_with_integer_labels(logits, 7 - labels).mean()
        hoc = higher_order_compatibility(new, jnp.asarray(data['feat_old']), jnp.asarray(labels))
        return weight * ce + (1 - weight) * hoc, (logits, ce, hoc)

    (value, (logits, ce, hoc)), gradient = jax.value_and_grad(objective, has_aux=True)(
        jnp.asarray(data['feat_new'])
    )
    for ours, theirs in ((value, 'loss'), (logits, 'logits'), (ce, 'ce'), (hoc, 'hoc')):
        np.testing.assert_allclose(ours, data[theirs], rtol=1e-5)
    np.testing.assert_allclose(gradient, data['grad_new'], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('k', [2, 3, 10, 32])
def test_vertices_agree_with_the_original_and_are_a_simplex(golden, k):
    vertices = np.asarray(simplex_vertices(k))
    np.testing.assert_allclose(vertices, golden('dsimplex')[f'dsimplex_{k}/weights'], atol=1e-6)
    gram = vertices @ vertices.T
    np.testing.assert_allclose(gram, np.where(np.eye(k), 1, -1 / (k - 1)), atol=1e-6)
    np.testing.assert_allclose(vertices.sum(0), 0, atol=1e-6)


def rows(seed, b=7, d=4):
    rng = np.random.default_rng(seed)
    new, old = rng.normal(size=(2, b, d))
    return new, old, np.array([0, 0, 1, 2, 1, 0, 3][:b], np.int32)


def oracle(new, old, labels, scale, mask):
    total = 0.0
    for n in range(len(new)):
        cosines = [old[n] @ u / np.linalg.norm(old[n]) / np.linalg.norm(u) for u in new]
        others = [np.exp(scale * c) for c, y in zip(cosines, labels, strict=True) if y != labels[n]]
        if mask == 'zero':
            others += [1.0] * int((labels == labels[n]).sum())
        total += -scale * cosines[n] + (np.log(sum(others)) if others else 0.0)
    return total / len(new)


@pytest.mark.parametrize('mask', ['zero', 'exclude'])
def test_agrees_with_loops_in_float64_and_has_exact_gradients(float64, mask):
    new, old, labels = rows(0)
    value, _ = step(new, old, labels, 6.0, mask)
    np.testing.assert_allclose(value, oracle(new, old, labels, 6.0, mask), rtol=1e-11)
    check_grads(lambda new: step(new, old, labels, 6.0, mask)[0], (new,), order=1, modes=('fwd',))


def test_without_another_class_excluding_leaves_only_the_own_pair():
    new, old, _ = rows(1)
    same = np.zeros(7, np.int32)
    value, (gradient, _) = step(
        new.astype(np.float32), old.astype(np.float32), same, 10.0, 'exclude'
    )
    np.testing.assert_allclose(value, oracle(new, old, same, 10.0, 'exclude'), rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_the_roles_of_old_and_new_are_not_symmetric():
    new, old, labels = (x.astype(np.float32) if x.dtype == float else x for x in rows(2))
    assert abs(step(new, old, labels, 10.0)[0] - step(old, new, labels, 10.0)[0]) > 1e-3


def test_zero_vectors_extreme_scales_and_half_precision_stay_finite():
    new, old, labels = (x.astype(np.float32) if x.dtype == float else x for x in rows(3))
    for mask in ('zero', 'exclude'):
        for a, b in ((0 * new, old), (new, 0 * old), (1e4 * new, 1e-20 * old)):
            for scale in (10.0, 1e4):
                value, gradients = step(a, b, labels, scale, mask)
                assert all(np.isfinite(x).all() for x in (value, *gradients))
    value, _ = step(new.astype(jnp.bfloat16), old.astype(jnp.bfloat16), labels, 10.0)
    assert value.dtype == jnp.float32
    assert higher_order_compatibility(jnp.ones((0, 3)), jnp.ones((0, 3)), jnp.zeros(0, int)) == 0


@pytest.mark.parametrize('mask', ['zero', 'exclude'])
def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices, mask):
    rng = np.random.default_rng(4)
    new, old = rng.normal(size=(2, 16, 3)).astype(np.float32)
    labels = rng.integers(4, size=16).astype(np.int32)
    loss = functools.partial(higher_order_compatibility, mask=mask)
    same_on_eight_devices(loss, new, old, labels)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="mask: expected one of .* got 'none'"):
        higher_order_compatibility(
            jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.zeros(1, int), mask='none'
        )
    with pytest.raises(ValueError, match='at least 2, got 1'):
        simplex_vertices(1)
