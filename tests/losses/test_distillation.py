import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from jaxsep.losses import distillation

COSINE = {'byol': distillation.byol, 'simsiam': distillation.simsiam}
cosine_steps = {
    name: jax.jit(jax.value_and_grad(loss, argnums=(0, 1))) for name, loss in COSINE.items()
}
dino = jax.jit(distillation.dino)
dino_step = jax.jit(jax.value_and_grad(distillation.dino, argnums=(0, 1, 2)))
update_center = jax.jit(distillation.update_center)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('name', COSINE)
def test_cosine_losses_agree_with_the_original_in_value_and_gradient(golden, name):
    a = golden('shared_ssl_losses')
    p, z = (jnp.asarray(a[f'{name}/{x}']) for x in 'pz')
    value, (gradient, nothing) = cosine_steps[name](p, z)
    np.testing.assert_allclose(value, a[f'{name}/loss'], rtol=2e-5)
    np.testing.assert_allclose(gradient, a[f'{name}/grad_p'], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(nothing, 0)


@pytest.mark.parametrize('case', ['dino_step0', 'dino_step1'])
def test_dino_agrees_with_the_original_in_value_gradient_and_center(golden, case):
    a = {k.split('/')[1]: v for k, v in golden('shared_ssl_losses').items() if k.startswith(case)}
    v, k = int(a['n_crops']), a['student'].shape[1]
    assert (a['student_temp'], a['teacher_temp'], a['center_momentum']) == (0.1, 0.04, 0.9)
    # The rows are those of the first crop, then those of the second, and so on.
    student, teacher = jnp.asarray(a['student'].reshape(v, -1, k)), a['teacher'].reshape(2, -1, k)
    center = jnp.asarray(a['center_before'][0], jnp.float32)
    value, (gradient, *nothing) = dino_step(student, jnp.asarray(teacher), center)
    np.testing.assert_allclose(value, a['loss'], rtol=2e-5)
    want = a['grad_student'].reshape(student.shape)
    np.testing.assert_allclose(gradient, want, rtol=1e-4, atol=1e-5)
    for zero in nothing:
        np.testing.assert_array_equal(zero, 0)
    moved = update_center(center, jnp.asarray(teacher))
    np.testing.assert_allclose(moved, a['center_after'][0], rtol=2e-5, atol=1e-6)


def test_cosine_losses_agree_with_loops_and_have_exact_gradients(float64):
    p, z = normal(0, 5, 3).astype(np.float64), normal(1, 5, 3).astype(np.float64)
    cosines = [p[i] @ z[i] / np.linalg.norm(p[i]) / np.linalg.norm(z[i]) for i in range(5)]
    want = {'byol': 2 - 2 * np.mean(cosines), 'simsiam': -np.mean(cosines)}
    for name, loss in COSINE.items():
        np.testing.assert_allclose(cosine_steps[name](p, z)[0], want[name], rtol=1e-12)
        held = jax.jit(functools.partial(loss, z=jnp.asarray(z)))
        check_grads(held, (jnp.asarray(p),), order=1, modes=('rev',))


def test_dino_agrees_with_loops_and_has_exact_gradients(float64):
    given = normal(2, 3, 4, 5), normal(3, 2, 4, 5), normal(4, 5)
    student, teacher, center = (x.astype(np.float64) for x in given)
    total, pairs = 0.0, 0
    for i in range(2):
        for v in range(3):
            if i == v:
                continue
            pairs += 1
            for b in range(4):
                q = np.exp((teacher[i, b] - center) / 0.07)
                log_p = student[v, b] / 0.2 - np.log(np.exp(student[v, b] / 0.2).sum())
                total -= np.sum(q / q.sum() * log_p) / 4
    loss = jax.jit(
        lambda s: distillation.dino(
            s,
            jnp.asarray(teacher),
            jnp.asarray(center),
            student_temperature=0.2,
            teacher_temperature=0.07,
        )
    )
    np.testing.assert_allclose(loss(student), total / pairs, rtol=1e-11)
    check_grads(loss, (jnp.asarray(student),), order=1, modes=('rev',))


def test_the_length_of_a_vector_does_not_matter_and_only_the_direction_counts():
    p, z = jnp.asarray(normal(5, 8, 4)), jnp.asarray(normal(6, 8, 4))
    for name, low, high in (('byol', 0, 4), ('simsiam', -1, 1)):
        loss = lambda p, z, name=name: cosine_steps[name](p, z)[0]  # noqa: E731
        np.testing.assert_allclose(loss(7 * p, 1e-3 * z), loss(p, z), rtol=1e-5)
        np.testing.assert_allclose(loss(p, 2 * p), low, atol=1e-6)
        np.testing.assert_allclose(loss(p, -p), high, rtol=1e-6)


def test_dino_does_not_see_a_constant_added_to_a_crops_logits():
    student, teacher, center = normal(7, 4, 8, 5), normal(8, 2, 8, 5), normal(9, 5)
    value = dino(student, teacher, center)
    constants = np.float32([3, -2, 5, 0])[:, None, None]
    np.testing.assert_allclose(dino(student + constants, teacher, center), value, rtol=1e-5)
    np.testing.assert_allclose(dino(student, teacher - 2, center), value, rtol=1e-4)
    # What all targets share is the center's to take away.
    shift = normal(10, 5)
    np.testing.assert_allclose(dino(student, teacher + shift, center + shift), value, rtol=1e-4)


def test_dino_of_two_crops_is_the_optax_cross_entropy_of_each_with_the_other():
    student, teacher, center = normal(11, 2, 8, 5), normal(12, 2, 8, 5), normal(13, 5)
    targets = jax.nn.softmax((teacher - center) / np.float32(0.04))
    entropy = optax.softmax_cross_entropy(student[::-1] / np.float32(0.1), targets)
    np.testing.assert_allclose(dino(student, teacher, center), entropy.mean(), rtol=1e-5)


def test_local_crops_are_compared_with_every_global_one_and_never_with_themselves():
    rows = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
    targets = jnp.exp(rows)[:, None]
    entropy = -jnp.sum(jnp.exp(rows)[:, None] * rows[None], axis=-1)  # of target i, view v
    local = jnp.zeros((1, 1, 3))
    views = jnp.concatenate([rows[:, None], local])
    got = jax.jit(distillation.cross_view_entropy)(targets, views)
    want = (entropy[0, 1] + entropy[1, 0] + 2 * jnp.log(3)) / 4
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_the_center_converges_to_the_mean_of_the_teacher():
    teacher, center = normal(14, 2, 8, 5), jnp.zeros(5)
    for _ in range(60):
        center = update_center(center, teacher, 0.8)
    np.testing.assert_allclose(center, teacher.mean((0, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', COSINE)
def test_cosine_losses_are_finite_with_finite_gradients_at_the_edges(name):
    p, z = jnp.asarray(normal(15, 8, 12)), jnp.asarray(normal(16, 8, 12))
    for case in (
        (jnp.zeros_like(p), z),
        (p, jnp.zeros_like(z)),
        (p.at[2].set(0.0), p),
        (p * 1e30, z * 1e-30),
        (jnp.ones_like(p), jnp.ones_like(p)),
        (p.astype(jnp.bfloat16), z.astype(jnp.bfloat16)),
    ):
        value, (gradient, _) = cosine_steps[name](*case)
        assert value.dtype == jnp.float32
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient.astype(jnp.float32)))


def test_dino_is_finite_with_a_finite_gradient_at_the_edges():
    student, teacher, center = (jnp.asarray(normal(s, 2, 8, 5)) for s in (17, 18, 19))
    center = center[0, 0]
    sharp = functools.partial(dino_step, student_temperature=0.005, teacher_temperature=0.005)
    for case in (
        (student * 1e4, teacher * 1e4, center),
        (jnp.zeros_like(student), jnp.zeros_like(teacher), center),
        (student, teacher, 1e4 * center),
        (student.astype(jnp.bfloat16), teacher.astype(jnp.bfloat16), center),
    ):
        value, (gradient, *_) = sharp(*case)
        assert value.dtype == jnp.float32
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient.astype(jnp.float32)))


def test_nothing_to_compare_costs_nothing_and_moves_nothing():
    center, empty = jnp.ones(5), jnp.zeros((2, 0, 5))
    for student, teacher in ((empty, empty), (jnp.ones((1, 8, 5)),) * 2):
        value, (gradient, *_) = dino_step(student, teacher, center)
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
    np.testing.assert_array_equal(update_center(center, empty), center)
    for loss in COSINE.values():
        assert jax.jit(loss)(jnp.zeros((0, 3)), jnp.zeros((0, 3))) == 0


@pytest.mark.parametrize('name', COSINE)
def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices, name):
    p, z = (jnp.asarray(normal(seed, 16, 4)) for seed in (20, 21))
    same_on_eight_devices(COSINE[name], p, z)


def test_dino_and_its_center_are_those_of_one_device_on_eight(same_on_eight_devices):
    center = jnp.asarray(normal(22, 5))

    def both(student, teacher, axis_name):
        student, teacher = (jnp.swapaxes(x, 0, 1) for x in (student, teacher))
        moved = distillation.update_center(center, teacher, axis_name=axis_name)
        return distillation.dino(student, teacher, moved, axis_name=axis_name)

    student, teacher = normal(23, 16, 3, 5), normal(24, 16, 2, 5)
    same_on_eight_devices(both, jnp.asarray(student), jnp.asarray(teacher))


def test_wrong_options_are_named():
    views, center = jnp.zeros((2, 3, 4)), jnp.zeros(4)
    with pytest.raises(ValueError, match='teacher_temperature must be positive, got 0'):
        distillation.dino(views, views, center, teacher_temperature=0)
    with pytest.raises(ValueError, match='at least the 2 views of the targets, got 1'):
        distillation.dino(views[:1], views, center)


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(np.float32, (4, 8, 5), elements=hypothesis.strategies.floats(-1e4, 1e4, width=32))
)
def test_any_values_give_finite_losses_in_their_ranges(given):
    student, teacher = given[:2], given[2:]
    value, (gradient, *_) = dino_step(student, teacher, np.zeros(5, np.float32))
    assert np.isfinite(value) and value >= 0
    assert np.all(np.isfinite(gradient))
    value, (gradient, _) = cosine_steps['byol'](student[0], teacher[0])
    assert -1e-5 <= value <= 4 + 1e-5
    assert np.all(np.isfinite(gradient))


def test_large_logits_over_a_temperature_are_finite():
    rng = np.random.default_rng(3)
    student, teacher = (1e28 * (1 + 1e-6 * rng.normal(size=(2, 30, 4))) for _ in range(2))
    student, teacher = (jnp.asarray(x, jnp.float32) for x in (student, teacher))
    value, grads = dino_step(student, teacher, jnp.zeros(4))
    assert np.isfinite(value) and np.isfinite(grads[0]).all()
