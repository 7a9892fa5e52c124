import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses.distillation import knowledge_distillation, squared_errors

step = jax.jit(
    jax.value_and_grad(knowledge_distillation, (0, 1)), static_argnames=('alpha', 'temperature')
)


@pytest.mark.parametrize('temperature, alpha', [(1.0, 0.5), (4.0, 0.3)])
def test_distillation_agrees_with_the_original_in_value_and_gradient(golden, temperature, alpha):
    a = golden('entropic_student')
    student, teacher = jnp.asarray(a['kd/student']), jnp.asarray(a['kd/teacher'])
    value, (grad, nothing) = step(
        student, teacher, a['kd/targets'].astype(np.int32), alpha=alpha, temperature=temperature
    )
    case = f'kd/T{temperature}_a{alpha}'
    np.testing.assert_allclose(value, a[f'{case}/loss'], rtol=1e-5)
    np.testing.assert_allclose(grad, a[f'{case}/grad'], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(nothing, 0)


def oracle(student, teacher, labels, alpha, temperature):
    total = 0.0
    for s, t, label in zip(student, teacher, labels, strict=True):
        p = np.exp(t / temperature) / np.exp(t / temperature).sum()
        q = np.exp(s / temperature) / np.exp(s / temperature).sum()
        own = -np.log(np.exp(s[label]) / np.exp(s).sum())
        total += alpha * own + (1 - alpha) * temperature**2 * (p * np.log(p / q)).sum()
    return total / len(student)


def test_distillation_agrees_with_loops_and_has_exact_gradients(float64):
    rng = np.random.default_rng(0)
    student, teacher = jnp.asarray(rng.normal(size=(2, 5, 4)))
    labels = jnp.asarray(rng.integers(0, 4, 5), jnp.int32)
    for alpha, temperature in ((0.3, 2.0), (1.0, 1.0), (0.0, 0.5)):
        given = dict(alpha=alpha, temperature=temperature)
        value, _ = step(student, teacher, labels, **given)
        want = oracle(np.asarray(student), np.asarray(teacher), labels, **given)
        np.testing.assert_allclose(value, want, rtol=1e-10)
    loss = jax.jit(lambda s: knowledge_distillation(s, teacher, labels, temperature=3.0))
    check_grads(loss, (student,), 1, ('rev',))


def test_distillation_is_zero_at_the_teacher_and_finite_far_from_it():
    logits, labels = 1e4 * jnp.eye(3), jnp.zeros(3, jnp.int32)
    value, (grad, _) = step(logits, logits, labels, alpha=0.0, temperature=1.0)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_allclose(grad, 0, atol=1e-7)
    value, (grad, _) = step(-logits, logits, labels, alpha=0.5, temperature=1.0)
    assert np.isfinite(value) and np.all(np.isfinite(grad))
    value, (grad, _) = step(
        jnp.zeros((0, 3)), jnp.zeros((0, 3)), labels[:0], alpha=0.5, temperature=1.0
    )
    assert value == 0 and grad.shape == (0, 3)


def test_distillation_is_the_same_on_eight_devices(same_on_eight_devices):
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(2, 16, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 16).astype(np.int32)

    def loss(student, labels, axis_name):
        near = jax.lax.stop_gradient(student) * 0.5
        return knowledge_distillation(student, near, labels, alpha=0.3, axis_name=axis_name)

    same_on_eight_devices(loss, student, labels)


def test_squared_errors_are_sums_over_depths_and_places_of_each_example():
    rng = np.random.default_rng(2)
    shapes = ((3, 2, 2, 4), (3, 5))
    student, teacher = (
        [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes] for _ in '12'
    )
    want = [
        sum(((s[i] - t[i]) ** 2).sum() for s, t in zip(student, teacher, strict=True))
        for i in range(3)
    ]
    np.testing.assert_allclose(squared_errors(student, teacher), want, rtol=1e-5)
    grads = jax.grad(lambda s, t: jnp.sum(squared_errors(s, t)), (0, 1))(student, teacher)
    np.testing.assert_allclose(grads[0][1], 2 * (student[1] - teacher[1]), rtol=1e-6)
    assert all(np.all(g == 0) for g in grads[1])
    np.testing.assert_array_equal(squared_errors(student, student), 0)
    assert squared_errors([jnp.zeros((0, 2))], [jnp.zeros((0, 2))]).shape == (0,)


def test_wrong_options_and_shapes_are_named():
    x, labels = jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32)
    with pytest.raises(ValueError, match='alpha: expected a share from 0 to 1, got 1.5'):
        knowledge_distillation(x, x, labels, alpha=1.5)
    with pytest.raises(ValueError, match='temperature must be positive, got 0'):
        knowledge_distillation(x, x, labels, temperature=0.0)
    for student, teacher in (([x], [x, x]), ([x], [x[:, :2]]), ([], [])):
        with pytest.raises(ValueError, match='student: expected maps of the shapes'):
            squared_errors(student, teacher)
