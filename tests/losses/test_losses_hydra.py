import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays

from jaxsep.losses import hydra

FORMS = [(s, r) for s in hydra.SIMILARITIES for r in hydra.REDUCTIONS]
GOLDEN = {
    'v1_renorm_poolmean': ('subspace', 'pooled'),
    'v2_gate2_poolmean': ('gated', 'pooled'),
    'v3_gate2_rowmean': ('gated', 'row'),
}
SIMILARITY = {'subspace': hydra.subspace_cosines, 'gated': hydra.gated_cosines}


def losses(z, keys, gate, labels, partners, temperature):
    """The four forms of the loss, in the order of FORMS."""
    return jnp.stack(
        [
            hydra.hydra(z, keys, labels, partners, gate, temperature, similarity=s, reduction=r)
            for s, r in FORMS
        ]
    )


@jax.jit
def step(*x):
    """Values and gradients in z, keys and gate of all forms, and both similarities."""
    similarities = {name: f(*x[:3]) for name, f in SIMILARITY.items()}
    return losses(*x), jax.jacrev(losses, (0, 1, 2))(*x), similarities


def rows(seed=0, b=10, d=8, k=4):
    rng = np.random.default_rng(seed)
    z, keys = rng.normal(size=(2, b, d))
    gate = 1 / (1 + np.exp(-2 * rng.normal(size=(b, d))))
    labels, partners = rng.integers(0, k, (2, b))
    return z, keys, gate, labels, partners


def in_float32(seed=0, **shape):
    *floats, labels, partners = rows(seed, **shape)
    return *np.float32(floats), labels.astype(np.int32), partners.astype(np.int32)


@pytest.mark.parametrize('case', GOLDEN)
def test_agrees_with_the_original_in_value_and_gradient(golden, case):
    a = {k.split('/')[1]: v for k, v in golden('hydra').items() if k.startswith(f'loss_{case}/')}
    values, gradients, similarities = step(
        *(a[name] for name in ('z', 'k', 'gate', 'y1', 'posy')), np.float32(a['tau'])
    )
    which, (similarity, _) = FORMS.index(GOLDEN[case]), GOLDEN[case]
    # The original's row form divides by the count plus 1e-6.
    np.testing.assert_allclose(values[which], a['loss'], rtol=2e-5)
    for got, name in zip(gradients, ('grad_z', 'grad_k', 'grad_gate'), strict=True):
        np.testing.assert_allclose(got[which], a[name], rtol=2e-5, atol=1e-5)
    want = a['cos'] if similarity == 'subspace' else a['logits'] * a['tau']
    np.testing.assert_allclose(similarities[similarity], want, rtol=2e-5, atol=1e-6)


def test_gate_statistics_agree_with_the_original(golden):
    a = golden('hydra')
    found = jax.jit(hydra.gate_statistics)(jnp.asarray(a['gate_stats/gate']))
    np.testing.assert_allclose(found.activation, a['gate_stats/activation'], rtol=2e-5)
    np.testing.assert_allclose(found.entropy, a['gate_stats/entropy'], rtol=2e-5)


def oracle(z, keys, gate, labels, partners, temperature, similarity, reduction):
    """Pair by pair, every gated key formed, the row mean taken out as in the original."""
    costs, means = [], []
    for b in range(len(z)):
        logits = []
        for key in keys:
            if similarity == 'subspace':
                x, y = z[b] * gate[b], key * gate[b]
                logits.append(x @ y / np.linalg.norm(x) / np.linalg.norm(y) / temperature)
            else:
                x, y = z[b] / np.linalg.norm(z[b]), key / np.linalg.norm(key)
                logits.append(np.sum(x * gate[b] ** 2 * y) / temperature)
        logits = np.array(logits) - np.mean(logits)
        negative = sum(
            np.exp(s) for s, y in zip(logits, labels, strict=True)
            if y not in (labels[b], partners[b])
        )  # fmt: skip
        own = [
            np.log(np.exp(s) + negative) - s
            for s, y in zip(logits, labels, strict=True) if y == partners[b]
        ]  # fmt: skip
        costs += own
        means.append(np.mean(own) if own else 0.0)
    return np.mean(costs) if reduction == 'pooled' else np.mean(means)


def test_all_forms_agree_with_loops_and_have_exact_gradients(float64):
    for seed in range(3):
        z, keys, gate, labels, partners = rows(seed)
        partners[:2] = 7  # a class that is not in the batch
        floats, others = (z, keys, gate), (labels, partners, np.float64(0.2))
        values, gradients, _ = step(*floats, *others)
        want = [oracle(z, keys, gate, labels, partners, 0.2, *form) for form in FORMS]
        np.testing.assert_allclose(values, want, rtol=1e-10)
        ways = [x[::-1] * 1e-5 for x in floats]
        ahead, behind = (
            step(*(x + sign * w for x, w in zip(floats, ways, strict=True)), *others)
            for sign in (1, -1)
        )
        slopes = sum(np.sum(g * w[None], (1, 2)) for g, w in zip(gradients, ways, strict=True))
        np.testing.assert_allclose(slopes, (ahead[0] - behind[0]) / 2, rtol=1e-6)


def similarities_of(z, keys, gate):
    nothing = np.zeros(10, np.int32)
    return step(z, keys, gate, nothing, nothing, np.float32(1))[2]


def test_an_open_gate_makes_both_similarities_the_cosine():
    z, keys, gate, *_ = in_float32(1)
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (z, keys))
    for found in similarities_of(z, keys, np.ones_like(gate)).values():
        np.testing.assert_allclose(found, x @ y.T, rtol=1e-5, atol=1e-6)


def test_the_cosine_in_a_subspace_ignores_closed_dimensions_and_every_scale():
    z, keys, gate, *_ = in_float32(2)
    gate[:, 5:] = 0.0
    want = similarities_of(z, keys, gate)['subspace']
    moved = np.where(np.arange(8) < 5, z, np.float32(9.0))
    other = similarities_of(moved, keys, gate)['subspace']
    np.testing.assert_allclose(other, want, rtol=1e-4, atol=1e-6)
    # Scales whose squares leave float32.
    other = similarities_of(
        z * np.float32(1e25), keys * np.float32(1e-25), gate * np.float32(1e-25)
    )['subspace']
    np.testing.assert_allclose(other, want, rtol=1e-4, atol=1e-6)
    assert np.abs(want).max() <= 1 + 1e-6


def test_the_weighted_cosine_shrinks_with_the_square_of_the_gate():
    z, keys, gate, *_ = in_float32(3)
    half, whole = (similarities_of(z, keys, g)['gated'] for g in (gate / 2, gate))
    np.testing.assert_allclose(half, whole / 4, rtol=1e-5)


def test_own_class_is_neither_positive_nor_negative_unless_it_is_the_partner():
    labels, partners = jnp.array([0, 1, 2]), jnp.array([1, 1, 5])
    positive, negative = hydra.pair_masks(labels, partners, labels)
    np.testing.assert_array_equal(positive, [[0, 1, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(negative, [[0, 0, 1], [1, 0, 1], [1, 1, 0]])


def test_one_positive_per_anchor_is_ordinary_cross_entropy():
    z, keys, gate, *_ = in_float32(5)
    labels, open_gate = np.arange(10, dtype=np.int32), np.ones_like(gate)
    logits = np.asarray(similarities_of(z, keys, open_gate)['gated'], np.float64) / 0.1
    want = np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))
    values, *_ = step(z, keys, open_gate, labels, labels, np.float32(0.1))
    np.testing.assert_allclose(values, [want] * 4, rtol=1e-5)


def test_the_order_of_rows_does_not_matter():
    x, cold = in_float32(6), np.float32(0.1)
    order = np.random.default_rng(0).permutation(10)
    moved = step(*(rows[order] for rows in x), cold)[0]
    np.testing.assert_allclose(moved, step(*x, cold)[0], rtol=1e-5)


def test_a_number_added_to_a_row_of_logits_cancels():
    rng = np.random.default_rng(0)
    logits = rng.integers(-8, 8, (4, 6)).astype(np.float32)
    kinds = rng.integers(0, 3, (4, 6))
    reduced = jax.jit(hydra.multi_positive_cross_entropy)
    want = reduced(logits, kinds == 1, kinds == 2)
    assert want > 0
    moved = logits + np.array([0, 64, -512, 1e4], np.float32)[:, None]
    np.testing.assert_allclose(reduced(moved, kinds == 1, kinds == 2), want, rtol=1e-6)


def test_without_positives_or_negatives_the_loss_and_its_gradients_are_zero():
    z, keys, gate, labels, _ = in_float32(7)
    nowhere = step(z, keys, gate, labels, np.full(10, 9, np.int32), np.float32(0.1))
    alone = step(z, keys, gate, labels * 0, labels * 0, np.float32(0.1))
    for values, gradients, _ in (nowhere, alone):
        assert not np.any(values)
        assert not any(np.any(g) for g in gradients)


def assert_finite(result):
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(result))


def test_finite_with_finite_gradient_at_the_edges():
    z, keys, gate, *classes = in_float32(8)
    cold = np.float32(0.005)
    far = np.geomspace(1e-30, 1, 8, dtype=np.float32)
    hole = z * (np.arange(10) > 0)[:, None]
    for case in (
        (0 * z, 0 * keys, gate),
        (hole, z, gate),
        (z, z, gate),
        (np.ones_like(z), np.ones_like(z), gate),
        (z, keys, 0 * gate),
        (z, keys, np.round(gate)),
        (z, keys, gate * 1e-20),
        (z * 1e30, keys * 1e-20, gate),
        (z * far, keys, gate * far[::-1]),
    ):
        assert_finite(step(*case, *classes, cold))
    assert_finite(step(z, keys, gate, *classes, np.float32(1e-4)))  # logits of 1e4
    half = [x.astype(jnp.bfloat16) for x in (z, keys, gate)]
    values, gradients, _ = step(*half, *classes, cold)
    assert values.dtype == jnp.float32 and gradients[0].dtype == jnp.bfloat16
    whole, *_ = step(*(x.astype(jnp.float32) for x in half), *classes, cold)
    np.testing.assert_allclose(values, whole, rtol=1e-5)


def test_gates_that_are_open_or_closed_have_no_entropy_and_half_open_ones_the_most():
    gates = np.float32([np.eye(4), np.ones((4, 4)), np.zeros((4, 4)), np.full((4, 4), 0.5)])
    edges = np.float32([np.full((4, 4), 1e-38), np.full((4, 4), 1 - 6e-8)])
    gates = np.concatenate([gates, edges])

    @jax.jit
    @jax.vmap
    def statistics_and_slope(gate):
        slope = jax.grad(lambda gate: hydra.gate_statistics(gate).entropy)(gate)
        return hydra.gate_statistics(gate), slope

    found, slope = statistics_and_slope(gates)
    np.testing.assert_allclose(found.activation[:4], [1, 4, 0, 2])
    np.testing.assert_allclose(found.entropy[:4], [0, 0, 0, np.log(2)], rtol=1e-6)
    assert_finite((found, slope))


@jax.jit(static_argnames='axis_name')
def draw(labels, axis_name=None):
    """Partners of every kind, among five classes."""
    key = jax.random.key(0)
    return [
        hydra.partner_classes(key, labels, 5, pairs=pairs, axis_name=axis_name)
        for pairs in hydra.PAIRS
    ]


def test_arbitrary_partners_are_the_labels_in_another_order_and_distinct_ones_another_class():
    labels = np.random.default_rng(0).integers(0, 5, 200).astype(np.int32)
    arbitrary, distinct, identical = draw(labels)
    np.testing.assert_array_equal(np.sort(arbitrary), np.sort(labels))
    assert 0.5 < np.mean(arbitrary != labels) < 0.95  # 0.8 is expected
    assert np.all(distinct != labels)
    assert set(np.unique((distinct - labels) % 5)) == {1, 2, 3, 4}
    np.testing.assert_array_equal(identical, labels)


def test_partners_do_not_depend_on_the_number_of_devices():
    labels = np.arange(200, dtype=np.int32) % 5
    shards = jax.vmap(lambda shard: draw(shard, axis_name='devices'), axis_name='devices')
    for many, one in zip(shards(labels.reshape(8, 25)), draw(labels), strict=True):
        np.testing.assert_array_equal(many.ravel(), one)


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    def loss(z, keys, gate, labels, partners, axis_name):
        subspace, gated = (
            hydra.hydra(
                z, keys, labels, partners, gate, 0.2,
                similarity=similarity, reduction=reduction, axis_name=axis_name,
            )
            for similarity, reduction in (('subspace', 'pooled'), ('gated', 'row'))
        )  # fmt: skip
        statistics = hydra.gate_statistics(gate, axis_name=axis_name)
        return subspace + 2 * gated + statistics.entropy + 0.1 * statistics.activation

    same_on_eight_devices(loss, *map(jnp.asarray, in_float32(9, b=16, d=4)))


def test_wrong_arguments_are_named():
    z, keys, gate, labels, partners = map(jnp.asarray, in_float32())
    for argument in ('similarity', 'reduction'):
        with pytest.raises(ValueError, match=f"{argument}: expected one of .*, got 'sum'"):
            hydra.hydra(z, keys, labels, partners, gate, **{argument: 'sum'})
    with pytest.raises(ValueError, match='temperature must be positive'):
        hydra.hydra(z, keys, labels, partners, gate, 0.0)
    with pytest.raises(ValueError, match='pairs: expected one of'):
        hydra.partner_classes(jax.random.key(0), labels, 4, pairs='any')
    with pytest.raises(ValueError, match='num_classes: distinct pairs need at least 2'):
        hydra.partner_classes(jax.random.key(0), labels, 1, pairs='distinct')


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(
        np.float32, (2, 10, 8), elements=hypothesis.strategies.floats(-1e4, 1e4, width=32)
    ),
    arrays.arrays(np.float32, (10, 8), elements=hypothesis.strategies.floats(0, 1, width=32)),
    arrays.arrays(np.int64, (2, 10), elements=hypothesis.strategies.integers(0, 3)),
)
def test_any_rows_gates_and_classes_give_finite_losses_that_are_never_negative(z, gate, classes):
    result = step(*z, gate, *classes.astype(np.int32), np.float32(0.1))
    assert_finite(result)
    assert np.all(result[0] >= 0)
