import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsep.losses import triplet

MINERS = ('all', 'semihard', 'hard')
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 0])
# Gradients in rows of length 1e-38 are beyond float32.
NUMBERS = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)
sampler = jax.jit(triplet.nearest_negative_sampler)


def losses(z, labels):
    """Every loss of this file at once: one program for each shape."""
    mined = [triplet.triplet_margin(z, labels, 0.2, miner=miner) for miner in MINERS]
    hard = [triplet.triplet_batch_hard(z, labels, margin) for margin in (0.2, None)]
    return jnp.stack([*mined, *hard, triplet.margin_loss(z, labels)])


@jax.jit
def values_and_gradients(z, labels):
    return losses(z, labels), jax.jacrev(losses)(z, labels)


def group(arrays_of_file, case):
    return {k.split('/')[1]: v for k, v in arrays_of_file.items() if k.split('/')[0] == case}


def test_triplets_agree_with_the_original_in_value_and_gradient(golden):
    stored = golden('shared_ssl_losses')
    labels = jnp.asarray(stored['triplet_batchhard_soft/labels'].astype(np.int32))
    z = jnp.asarray(stored['triplet_batchhard_soft/emb'])

    @jax.jit
    def triplets(z, margin):
        def loss(z):
            hard = [triplet.triplet_batch_hard(z, labels, m) for m in (margin, None)]
            return jnp.stack([triplet.triplet_margin(z, labels, margin), *hard])

        return loss(z), jax.jacrev(loss)(z)

    for margin in (0.2, 0.05):
        names = f'triplet_all_m{margin}', f'triplet_batchhard_m{margin}', 'triplet_batchhard_soft'
        for case, *got in zip(names, *triplets(z, margin), strict=True):
            np.testing.assert_array_equal(z, stored[f'{case}/emb'])
            np.testing.assert_allclose(got[0], stored[f'{case}/loss'], rtol=2e-5)
            np.testing.assert_allclose(got[1], stored[f'{case}/grad'], rtol=1e-4, atol=1e-6)


def test_batch_hard_indices_agree_with_the_original(golden):
    case = group(golden('shared_ssl_losses'), 'triplet_batchhard_m0.2')
    distances, positive, negative = problem(case['emb'], case['labels'])
    mined = jax.jit(triplet.batch_hard_indices)(distances, positive, negative)
    for got, want in zip(mined, (case['positives'], case['negatives'], True), strict=True):
        np.testing.assert_array_equal(got, want)


def test_margin_loss_agrees_with_the_original_in_value_and_gradient(golden):
    @jax.jit
    def step(z, beta, labels, nu):
        def loss(z, beta):
            return triplet.margin_loss(z, labels, beta=beta, nu=nu, margin=0.2, cutoff=0.5)

        return jax.value_and_grad(loss, argnums=(0, 1))(z, beta)

    for name in ('margin_balanced', 'margin_unbalanced', 'margin_class_beta'):
        case = group(golden('dsl'), name)
        beta = jnp.broadcast_to(jnp.asarray(case['beta'], jnp.float32), 8)
        labels = jnp.asarray(case['labels'].astype(np.int32))
        value, (gradient, of_beta) = step(
            jnp.asarray(case['emb']), beta, labels, float(case.get('nu', 0.0))
        )
        np.testing.assert_allclose(value, case['loss'], rtol=2e-5)
        np.testing.assert_allclose(gradient, case['grad'], rtol=1e-4, atol=1e-6)
        of_beta = of_beta if case['beta'].ndim else of_beta.sum(keepdims=True)
        np.testing.assert_allclose(of_beta, case['grad_beta'], rtol=1e-4, atol=1e-6)


def problem(z, labels):
    z, labels = np.asarray(z, np.float64), np.asarray(labels)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    distances = np.linalg.norm(unit[:, None] - unit[None], axis=-1)
    same = labels[:, None] == labels[None]
    return [jnp.asarray(x) for x in (distances, same & ~np.eye(len(z), dtype=bool), ~same)]


def oracle(z, labels, margin=0.2, beta=1.2, cutoff=0.5):
    """The values of `losses` by loops in float64."""
    distances, positive, negative = (np.asarray(x) for x in problem(z, labels))
    everyone = range(len(z))
    violations = {miner: [] for miner in MINERS}
    hard, soft, triplets = [], [], []
    num_negatives = positive.sum() // len(z)
    for a in everyone:
        d = distances[a]
        own = [p for p in everyone if positive[a, p]]
        others = [n for n in everyone if negative[a, n]]
        for p in own:
            for n in others:
                violation = d[p] - d[n] + margin
                if violation > 0:
                    violations['all'].append(violation)
                    violations['hard' if d[n] <= d[p] else 'semihard'].append(violation)
        if own and others:
            gap = max(d[own]) - min(d[others])
            hard.append(max(0, gap + margin))
            soft.append(np.log1p(np.exp(gap)))
        far = sorted((n for n in others if d[n] >= cutoff), key=lambda n: d[n])
        near = sorted((n for n in others if d[n] < cutoff), key=lambda n: -d[n])
        for p, n in zip(own, sorted((far + near)[:num_negatives]), strict=False):
            triplets.append((max(0, d[p] - beta + margin), max(0, beta - d[n] + margin)))
    active = sum(near > 0 or far > 0 for near, far in triplets)
    means = [np.mean(x) if x else 0 for x in (*violations.values(), hard, soft)]
    return [*means, sum(map(sum, triplets)) / max(active, 1)]


def test_all_losses_agree_with_loops_and_have_exact_gradients(float64):
    for seed, spread in ((0, 1.0), (1, 1.0), (2, 0.2)):
        z = np.random.default_rng(seed).normal(size=(10, 4)) * spread + (seed == 2)
        value = values_and_gradients(jnp.asarray(z), jnp.asarray(LABELS))[0]
        # The one constant that loops leave out: 1e-8 inside the root of margin_loss.
        np.testing.assert_allclose(value, oracle(z, LABELS), rtol=1e-7, atol=1e-12)
        jacobian, way = values_and_gradients(jnp.asarray(z), jnp.asarray(LABELS))[1], z[::-1] * 1e-6
        ahead, behind = (
            values_and_gradients(jnp.asarray(z + sign * way), jnp.asarray(LABELS))[0]
            for sign in (1, -1)
        )
        slopes = np.sum(np.asarray(jacobian) * way, axis=(1, 2))
        np.testing.assert_allclose(slopes, (ahead - behind) / 2, rtol=1e-5, atol=1e-13)


def hard_inputs():
    z = jnp.asarray(np.random.default_rng(5).normal(size=(10, 4)).astype(np.float32))
    return {
        'random': z,
        'zeros': 0 * z,
        'one zero row': z.at[2].set(0.0),
        'all the same': jnp.ones_like(z),
        'duplicates': jnp.concatenate([z[:5], z[:5]]),
        'opposite': jnp.concatenate([z[:5], -z[:5]]),
        'huge': z * 1e30,
        'half': z.astype(jnp.bfloat16).astype(jnp.float32),
    }


@pytest.mark.parametrize(
    'labels', [LABELS, np.arange(10), np.zeros(10, int)], ids=['some', 'none', 'only']
)
def test_finite_at_degenerate_rows_and_zero_without_positives_or_negatives(labels):
    for case, z in hard_inputs().items():
        value, gradient = values_and_gradients(z, jnp.asarray(labels))
        assert np.all(np.isfinite(value)), case
        assert np.all(np.isfinite(gradient)), case
        if labels is not LABELS:
            np.testing.assert_array_equal(value, 0)
            np.testing.assert_array_equal(gradient, 0)


def test_half_precision_is_computed_in_float32():
    half, labels = hard_inputs()['half'], jnp.asarray(LABELS)
    kinds = jax.eval_shape(values_and_gradients, half.astype(jnp.bfloat16), labels)
    assert [kind.dtype for kind in kinds] == [jnp.float32, jnp.bfloat16]
    step = jax.jit(jax.value_and_grad(lambda z: triplet.triplet_batch_hard(z, labels, 0.2)))
    value, gradient = step(half.astype(jnp.bfloat16))
    np.testing.assert_allclose(value, values_and_gradients(half, labels)[0][3], rtol=1e-6)
    assert np.all(np.isfinite(gradient.astype(jnp.float32)))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    arrays(np.float32, (10, 4), elements=NUMBERS),
    arrays(np.int64, 10, elements=st.integers(0, 3)),
)
def test_any_rows_and_labels_give_finite_losses_that_order_and_names_do_not_change(z, labels):
    value, gradient = values_and_gradients(jnp.asarray(z), jnp.asarray(labels))
    assert np.all(np.isfinite(value))
    assert np.all(value >= 0)
    assert np.all(np.isfinite(gradient))
    renamed = values_and_gradients(jnp.asarray(z), jnp.asarray((labels * 7 + 1) % 11))[0]
    np.testing.assert_array_equal(value, renamed)
    assert value[0] <= 2.2 + 1e-5
    assert value[2] >= 0.2 - 1e-5 or value[2] == 0


def test_scale_and_order_of_the_rows_do_not_matter():
    z, order = hard_inputs()['random'], np.random.default_rng(0).permutation(10)
    value = values_and_gradients(z, jnp.asarray(LABELS))[0]
    scaled = values_and_gradients(
        (z * jnp.arange(1.0, 11.0)[:, None])[order], jnp.asarray(LABELS[order])
    )[0]
    # margin_loss pairs positives and negatives in index order: it may change with the order.
    np.testing.assert_allclose(scaled[:-1], value[:-1], rtol=1e-5)


def test_semihard_and_hard_triplets_are_those_of_the_masks():
    z = hard_inputs()['random']
    distances, positive, negative = problem(z, LABELS)
    mask = np.asarray(triplet.semihard_mask(distances, positive, negative, 0.2))
    violation = np.asarray(distances[:, :, None] - distances[:, None, :] + 0.2)
    value = values_and_gradients(z, jnp.asarray(LABELS))[0]
    assert mask.sum() > 3
    np.testing.assert_allclose(value[1], violation[mask].mean(), rtol=1e-5)
    every = np.asarray(positive)[:, :, None] & np.asarray(negative)[:, None, :] & (violation > 0)
    np.testing.assert_allclose(value[2], violation[every & ~mask].mean(), rtol=1e-5)
    assert not np.any(mask & ~every)


def test_all_triplets_need_memory_for_pairs_only():
    n = 512

    def loss(z, labels):
        return triplet.triplet_margin(z, labels)

    shapes = jax.ShapeDtypeStruct((n, 8), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)
    memory = jax.jit(jax.value_and_grad(loss)).lower(*shapes).compile().memory_analysis()
    # All triplets in float32 are 537 MB; 40 arrays of pairs are 42 MB.
    assert memory.temp_size_in_bytes < 40 * n * n * 4


def test_margin_loss_of_groups_is_the_mean_of_the_losses_of_each():
    z, labels = hard_inputs()['random'], jnp.asarray(LABELS)
    groups = np.array([2, 2, 0, 2, 2, 2, 0, 0, -1, 0])
    grouped = jax.jit(jax.value_and_grad(lambda z, g: triplet.margin_loss(z, labels, groups=g)))
    value, gradient = grouped(z, jnp.asarray(groups))
    each = [oracle(z[groups == g], LABELS[groups == g])[-1] for g in (0, 2)]
    assert min(each) > 0
    np.testing.assert_allclose(value, np.mean(each), rtol=1e-5)
    np.testing.assert_array_equal(gradient[8], 0)
    np.testing.assert_array_equal(grouped(z.at[8].set(3.0), jnp.asarray(groups))[0], value)
    assert grouped(z, jnp.full(10, -1))[0] == 0


def test_the_sampler_takes_the_nearest_negatives_beyond_the_cutoff_then_those_closest_to_it():
    distances = jnp.array([[0.0, 0.9, 0.1, 0.4, 1.5, 0.6, 0.7]])
    negative = jnp.array([[0, 0, 1, 1, 1, 1, 1]], bool)
    positive = jnp.array([[0, 1, 0, 0, 0, 0, 0]], bool)
    chosen = {2: [5, 6], 4: [3, 4, 5, 6], 5: [2, 3, 4, 5, 6]}
    for count, want in chosen.items():
        positives, negatives, valid = sampler(distances, positive, negative, count)
        np.testing.assert_array_equal(negatives[0, : len(want)], want)
        assert positives[0, 0] == 1
        np.testing.assert_array_equal(valid[0], np.arange(7) < 1)


def test_a_balanced_batch_uses_every_positive_once_per_anchor():
    labels = np.repeat(np.arange(3), 4)
    z = np.random.default_rng(7).normal(size=(12, 5))
    distances, positive, negative = problem(z, labels)
    positives, negatives, valid = sampler(distances, positive, negative, 3)
    np.testing.assert_array_equal(valid.sum(axis=1), 3)
    for a in range(12):
        assert set(np.asarray(positives[a, :3])) == set(np.flatnonzero(positive[a]))
        assert np.all(np.asarray(negative)[a, np.asarray(negatives[a, :3])])


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    z = jax.random.normal(jax.random.key(0), (16, 4))
    labels = jnp.arange(16) * 7 % 5

    def total(z, labels, axis_name):
        mined = triplet.triplet_margin(z, labels, 0.2, miner='semihard', axis_name=axis_name)
        hard = triplet.triplet_batch_hard(z, labels, 0.2, axis_name=axis_name)
        groups = jnp.where(z[:, 0] > -1.0, labels % 2, -1)
        sampled = triplet.margin_loss(z, labels, groups=groups, nu=0.1, axis_name=axis_name)
        return mined + 2 * hard + 3 * sampled

    same_on_eight_devices(total, z, labels)


def test_wrong_options_are_named():
    z, labels = jnp.ones((4, 2)), jnp.arange(4)
    with pytest.raises(ValueError, match='miner.*easy'):
        triplet.triplet_margin(z, labels, miner='easy')
    with pytest.raises(ValueError, match='margin must be positive, got 0'):
        triplet.triplet_margin(z, labels, 0)
