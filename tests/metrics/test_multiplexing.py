import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.metrics import multiplexing


def example(seed=0, b=20, f=3, m=7, d=4):
    rng = np.random.default_rng(seed)
    table, theta = rng.normal(size=(m, d)), rng.normal(size=(f, d))
    return table, theta, rng.integers(m, size=(b, f)), rng.integers(2, size=b)


def test_the_gradient_by_field_agrees_with_the_golden_numbers(golden, float64):
    data = {k.removeprefix('theory/'): v for k, v in golden('unified_embedding').items()}
    rows = data['bucket'].astype(np.int32)
    got = multiplexing.shared_table(
        *(jnp.asarray(data[n]) for n in ('table', 'theta')), rows, jnp.asarray(data['labels'])
    )
    for ours, theirs in (
        (got.logits, 'logits'), (got.loss, 'loss_sum'), (got.residual, 'residual'),
        (got.grad_theta, 'grad_theta'), (got.grad_by_field, 'grad_by_feature'),
        (jnp.sum(got.grad_by_field, axis=0), 'grad_table'),
    ):  # fmt: skip
        np.testing.assert_allclose(ours, data[theirs], rtol=1e-7, atol=1e-10, err_msg=theirs)


def test_the_parts_of_the_fields_are_the_gradient_that_differentiation_finds(float64):
    table, theta, rows, labels = example()

    def loss(table, theta):
        return multiplexing.shared_table(table, theta, rows, labels).loss

    arguments = jnp.asarray(table), jnp.asarray(theta)
    grad_table, grad_theta = jax.grad(loss, argnums=(0, 1))(*arguments)
    got = multiplexing.shared_table(*arguments, rows, labels)
    np.testing.assert_allclose(jnp.sum(got.grad_by_field, axis=0), grad_table, rtol=1e-10)
    np.testing.assert_allclose(got.grad_theta, grad_theta, rtol=1e-10)


def test_extreme_logits_and_no_examples_give_finite_parts():
    table, theta, rows, labels = example(1)
    got = multiplexing.shared_table(
        jnp.asarray(1e4 * table, jnp.float32), jnp.asarray(theta, jnp.float32), rows, labels
    )
    assert all(np.isfinite(x).all() for x in got)
    table, theta = jnp.ones((7, 4)), jnp.ones((3, 4))
    got = multiplexing.shared_table(table, theta, np.zeros((0, 3), int), np.zeros(0, int))
    assert got.loss == 0 and not np.any(got.grad_by_field) and not np.any(got.grad_theta)


def test_orthogonal_fields_do_not_interfere_and_equal_ones_do():
    table, _, rows, labels = example(2)
    table = jnp.asarray(table, jnp.float32)
    apart, same = jnp.eye(4)[:3], jnp.ones((3, 4))
    for theta, orthogonal in ((apart, True), (same, False)):
        parts = multiplexing.shared_table(table, theta, rows, labels).grad_by_field
        got = multiplexing.interference(parts, theta)
        if orthogonal:
            np.testing.assert_allclose(got, 0, atol=1e-6)
            continue
        # All in one direction: the others' part is their plain sum.
        own = np.linalg.norm(np.asarray(parts).reshape(3, -1), axis=1)
        others = np.asarray(parts).sum(axis=0)[None] - np.asarray(parts)
        want = np.linalg.norm(others.reshape(3, -1), axis=1) / own
        np.testing.assert_allclose(got, want, rtol=1e-5)
    assert not np.any(multiplexing.interference(jnp.zeros((3, 7, 4)), same))


def test_angles_ignore_length_and_are_right_angles_for_a_zero():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 3))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    want = [np.degrees(np.arccos(unit[i] @ unit[j])) for i in range(5) for j in range(i + 1, 5)]
    lengths = rng.uniform(1e-3, 1e3, (5, 1))
    got = multiplexing.pairwise_angles(jnp.asarray(x * lengths, jnp.float32))
    np.testing.assert_allclose(got, want, rtol=1e-3)
    zero = jnp.zeros((1, 3)).astype(jnp.float32)
    assert multiplexing.pairwise_angles(jnp.concatenate([zero, jnp.ones((1, 3))])) == 90
    assert multiplexing.pairwise_angles(jnp.ones((2, 3))) < 0.1
    assert multiplexing.pairwise_angles(jnp.ones((1, 3))).shape == (0,)


def test_the_mean_squared_norm_is_that_of_the_rows():
    assert multiplexing.mean_squared_row_norm(jnp.array([[3.0, 4.0], [0.0, 1.0]])) == 13
    assert multiplexing.mean_squared_row_norm(jnp.zeros((0, 2))) == 0
