import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads
from scipy.spatial.distance import pdist, squareform

from jaxsep.losses import sepclr
from jaxsep.losses.sphere import uniformity
from jaxsep.ops.geometry import l2_normalize

TERMS = {
    'common_alignment': 'common_align',
    'common_uniformity': 'common_uniform',
    'salient_alignment': 'salient_align',
    'salient_uniformity': 'salient_uniform',
    'background': 'informationless',
    'joint': 'jem',
}


def whole(c1, c2, s1, s2, is_target, weights=(1.0, 10.0, 10.0), temperature=0.5, axis_name=None):
    """The loss and its parts, from rows and the three weights."""
    terms = sepclr.sepclr_terms(
        c1, c2, s1, s2, is_target, temperature=temperature, axis_name=axis_name
    )
    salient, background, joint = weights
    value = sepclr.sepclr(
        terms, salient_weight=salient, background_weight=background, joint_weight=joint
    )
    return value, terms


compiled = jax.jit(jax.value_and_grad(whole, argnums=(0, 1, 2, 3), has_aux=True))


def step(c1, c2, s1, s2, is_target, weights=(1.0, 10.0, 10.0), temperature=0.5):
    """Value and gradients of the whole loss; one program per shape and dtype."""
    return compiled(c1, c2, s1, s2, is_target, weights, temperature)


@jax.jit
def pieces(x, y, z, c, s, temperature):
    """Values and gradients of the parts that have a temperature, in one program."""
    align = functools.partial(sepclr.kernel_alignment, temperature=temperature)

    def joint(c, s):
        return sepclr.joint_entropy(l2_normalize(c), s, temperature=temperature)

    return {
        'align': jax.value_and_grad(align, argnums=(0, 1))(x, y),
        'uniform': jax.value_and_grad(lambda z: uniformity(z, 0.5 / temperature), (0,))(z),
        'kjem': jax.value_and_grad(joint, argnums=(0, 1))(c, s),
    }


@pytest.mark.parametrize('tau', ['0.5', '0.25'])
def test_the_parts_agree_with_the_original_in_value_and_gradient(golden, tau):
    data = golden('sepclr')
    names = {'align': 'xy', 'uniform': 'x', 'kjem': 'cs'}
    rows = [data[f'{case}_tau{tau}/{n}'] for case in names for n in names[case]]
    for case, (value, gradients) in pieces(*rows, float(tau)).items():
        np.testing.assert_allclose(value, data[f'{case}_tau{tau}/loss'], rtol=2e-5)
        for n, gradient in zip(names[case], gradients, strict=True):
            want = data[f'{case}_tau{tau}/grad_{n}']
            np.testing.assert_allclose(gradient, want, rtol=2e-5, atol=1e-5)


follow = jax.jit(jax.value_and_grad(sepclr.supervised_alignment))


@pytest.mark.parametrize(
    ('case', 'temperature'), [('sup_align', 0.025), ('discrete_sup_align', sepclr.EQUAL_LABELS)]
)
def test_supervised_alignment_agrees_with_the_original(golden, case, temperature):
    data = golden('sepclr')
    x, y = (data[f'{case}/{n}'] for n in 'xy')
    value, gradient = follow(x, y, np.ones(12, bool), temperature=temperature)
    np.testing.assert_allclose(value, data[f'{case}/loss'], rtol=2e-5)
    np.testing.assert_allclose(gradient, data[f'{case}/grad_x'], rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize('case', ['total_cifar', 'total_odir'])
def test_the_whole_loss_agrees_with_the_original_in_terms_and_gradients(golden, case):
    data = {k.removeprefix(f'{case}/'): v for k, v in golden('sepclr').items()}
    rows = [data[n] for n in ('c1', 'c2', 's1', 's2')]
    weights = tuple(float(data[n]) for n in ('salient_weight', 'reg_weight', 'jem_weight'))
    (value, terms), gradients = step(*rows, data['is_target'] == 1, weights)
    np.testing.assert_allclose(value, data['loss'], rtol=1e-4)
    for ours, theirs in TERMS.items():
        np.testing.assert_allclose(getattr(terms, ours), data[theirs], rtol=2e-5)
    for n, gradient in zip(('c1', 'c2', 's1', 's2'), gradients, strict=True):
        want = data[f'grad_{n}']
        np.testing.assert_allclose(gradient, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def example(seed=0, b=12, d=8, e=5):
    """Two views of c and s, and who is a target: every second row."""
    rng = np.random.default_rng(seed)
    c1, s1 = rng.normal(size=(b, d)), rng.normal(size=(b, e))
    c2, s2 = c1 + 0.3 * rng.normal(size=(b, d)), s1 + 0.3 * rng.normal(size=(b, e))
    return c1, c2, s1, s2, np.arange(b) % 2 == 1


def in_float32(rows):
    return tuple(x.astype(np.float32 if x.dtype == float else bool) for x in rows)


def oracle(c1, c2, s1, s2, is_target, weights, tau):
    """The card again, rows picked by their label, distances by scipy."""
    (target,), (ground,) = np.nonzero(is_target), np.nonzero(~is_target)
    total = 0.0
    c1, c2 = (c / np.linalg.norm(c, axis=1, keepdims=True) for c in (c1, c2))
    total += np.mean([np.sum((a - b) ** 2) for a, b in zip(c1, c2, strict=True)]) / (2 * tau)
    total += weights[0] * np.mean([np.sum((s1[i] - s2[i]) ** 2) for i in target]) / (2 * tau)
    for c, s in ((c1, s1), (c2, s2)):
        held = s.copy()
        held[ground] = 0.0
        for z, weight in ((c, 1.0), (held, weights[0])):  # 2 x the mean over the views
            total += weight * np.log(np.mean(np.exp(-pdist(z, 'sqeuclidean') / (2 * tau))))
        total += weights[1] * 0.5 * np.mean([np.sum(s[i] ** 2) for i in ground]) / (2 * tau)
        kernels = [np.exp(-squareform(pdist(z, 'sqeuclidean')) / (2 * tau)) for z in (c, held)]
        total += weights[2] * 0.5 * np.mean(np.log(np.mean(kernels[0] * kernels[1], axis=1)))
    return total


def test_agrees_with_scipy_and_has_exact_gradients(float64):
    *rows, is_target = example(1, 6, 3, 2)
    weights, tau = (3.0, 20.0, 7.0), 0.4
    rows = [jnp.asarray(x) for x in rows]
    loss = jax.jit(lambda *rows: whole(*rows, jnp.asarray(is_target), weights, tau)[0])
    want = oracle(*map(np.asarray, rows), is_target, weights, tau)
    np.testing.assert_allclose(loss(*rows), want, rtol=1e-11)
    check_grads(loss, rows, order=1, modes=('rev',))


def test_supervised_alignment_agrees_with_loops_over_the_pairs_of_the_mask(float64):
    rng = np.random.default_rng(2)
    x, y, mask = rng.normal(size=7), rng.random(7), np.arange(7) != 3
    pairs = [(i, j) for i in range(7) for j in range(i) if mask[i] and mask[j]]
    want = [np.exp(-((y[i] - y[j]) ** 2) / 0.1) * (x[i] - x[j]) ** 2 for i, j in pairs]
    x, y, mask = jnp.asarray(x), jnp.asarray(y), jnp.asarray(mask)
    loss = jax.jit(lambda x, y: sepclr.supervised_alignment(x, y, mask, temperature=0.05))
    np.testing.assert_allclose(loss(x, y), np.mean(want), rtol=1e-11)
    check_grads(loss, (x, y), order=1, modes=('rev',))


def test_joint_entropy_is_zero_for_one_point_and_minus_log_n_for_distant_ones():
    joint = jax.jit(sepclr.joint_entropy)
    far, same = 1e3 * np.eye(16, dtype=np.float32), np.ones((16, 4), np.float32)
    np.testing.assert_allclose(joint(0 * far, same), 0, atol=1e-6)
    np.testing.assert_allclose(joint(far, same), -np.log(16), rtol=1e-6)


def test_saying_a_second_thing_in_s_lowers_the_joint_term_and_repeating_c_does_not():
    """The law the method rests on: H(c, s) grows with what s adds to c, not with s alone."""
    first, second = np.arange(16) // 4, np.arange(16) % 4
    apart = lambda numbers: 1e2 * np.eye(4, dtype=np.float32)[numbers]  # noqa: E731
    joint = jax.jit(sepclr.joint_entropy)
    np.testing.assert_allclose(joint(apart(first), apart(first)), -np.log(4), rtol=1e-5)
    np.testing.assert_allclose(joint(apart(first), apart(second)), -np.log(16), rtol=1e-5)


def test_order_of_rows_and_of_views_does_not_matter():
    c1, c2, s1, s2, is_target = in_float32(example(3))
    (value, _), _ = step(c1, c2, s1, s2, is_target)
    order = np.random.default_rng(0).permutation(12)
    (permuted, _), _ = step(*(x[order] for x in (c1, c2, s1, s2, is_target)))
    (swapped, _), _ = step(c2, c1, s2, s1, is_target)
    np.testing.assert_allclose([permuted, swapped], [value] * 2, rtol=1e-5)


def test_salient_codes_of_the_background_are_only_drawn_to_zero():
    c1, c2, s1, s2, is_target = in_float32(example(4))
    (_, terms), (_, _, gradient, _) = step(c1, c2, s1, s2, is_target)
    moved = np.where(is_target[:, None], s1, 2 * s1)
    (_, after), _ = step(c1, c2, moved, s2, is_target)
    for name in TERMS:
        if name != 'background':
            np.testing.assert_allclose(getattr(after, name), getattr(terms, name), rtol=1e-6)
    # 10 * 0.5 * d/ds mean(s^2 / (2 * 0.5)) over six rows
    np.testing.assert_allclose(gradient[::2], 10 * s1[::2] / 6, rtol=1e-5)


def test_without_targets_or_background_their_terms_are_zero_with_zero_gradient():
    *rows, _ = in_float32(example(5))
    (_, terms), (_, _, gradient, _) = step(*rows, np.ones(12, bool))
    assert terms.background == 0 and np.any(gradient)
    (_, terms), (_, _, *gradients) = step(*rows, np.zeros(12, bool), (1.0, 0.0, 10.0))
    assert terms.salient_alignment == 0
    np.testing.assert_allclose(terms.salient_uniformity, 0, atol=1e-6)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_fewer_than_two_rows_of_an_attribute_give_zero_with_zero_gradient():
    x = np.arange(12, dtype=np.float32)
    for mask in (x < 0, x < 1):
        value, gradient = follow(x, x, mask, temperature=1.0)
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
    assert sepclr.joint_entropy(jnp.ones((0, 3)), jnp.ones((0, 2))) == 0


def all_finite(result):
    (value, terms), gradients = result
    leaves = jax.tree.leaves((value, terms, gradients))
    return all(np.all(np.isfinite(np.asarray(x, np.float32))) for x in leaves)


def test_finite_with_finite_gradient_where_rows_degenerate():
    c1, c2, s1, s2, is_target = in_float32(example(6))
    twice = lambda x: np.concatenate([x[:6], x[:6]])  # noqa: E731
    for rows in (
        [np.zeros_like(x) for x in (c1, c2, s1, s2)],
        [np.ones_like(x) for x in (c1, c2, s1, s2)],
        [twice(x) for x in (c1, c1, s1, s1)],
        [x * np.float32(1e2) for x in (c1, c2, s1, s2)],
        [x * np.float32(1e-20) for x in (c1, c2, s1, s2)],
    ):
        for temperature in (0.5, 0.005):
            for weights in ((1.0, 10.0, 10.0), (1000.0, 1000.0, 10.0)):
                assert all_finite(step(*rows, is_target, weights, temperature))


def test_half_precision_is_computed_in_float32():
    c1, c2, s1, s2, is_target = in_float32(example(7))
    half = [x.astype(jnp.bfloat16) for x in (c1, c2, s1, s2)]
    (value, _), gradients = step(*half, is_target)
    (want, _), _ = step(*(x.astype(np.float32) for x in half), is_target)
    assert value.dtype == jnp.float32 and gradients[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(value, want, rtol=1e-6)


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    *rows, is_target = in_float32(example(8, 16, 3, 2))
    is_target[:2] = True  # a device without background

    def loss(*rows, axis_name):
        *rows, is_target, attribute = rows
        value, _ = whole(*rows, is_target, axis_name=axis_name)
        return value + sepclr.supervised_alignment(
            rows[2][:, 0], attribute, is_target, axis_name=axis_name
        )

    same_on_eight_devices(loss, *rows, is_target, np.linspace(0.0, 0.3, 16, dtype=np.float32))


def rows_of(width):
    numbers = hypothesis.strategies.floats(-100, 100, width=32)
    return arrays.arrays(np.float32, (2, 12, width), elements=numbers)


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(rows_of(8), rows_of(5), arrays.arrays(bool, (12,)))
def test_any_rows_and_labels_give_finite_terms_within_their_bounds(c, s, is_target):
    (value, terms), gradients = step(*c, *s, is_target)
    assert all_finite(((value, terms), gradients))
    assert min(terms.common_alignment, terms.salient_alignment, terms.background) >= 0
    assert max(terms.common_uniformity, terms.salient_uniformity) <= 1e-5
    assert -np.log(12) - 1e-5 <= terms.joint <= 1e-5
