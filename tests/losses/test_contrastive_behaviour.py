import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses import contrastive_behaviour as behaviour
from jaxsep.losses.contrastive import cosine_similarities

info_nce = jax.jit(behaviour.info_nce_per_anchor)
similarity_gradient = jax.jit(behaviour.similarity_gradient)
relative_penalty = jax.jit(behaviour.relative_penalty)
penalty_entropy = jax.jit(behaviour.penalty_entropy)
simple_contrastive = jax.jit(behaviour.simple_contrastive)
hard_mask = jax.jit(behaviour.hard_negative_mask, static_argnums=1)
hard_contrastive = jax.jit(behaviour.hard_contrastive, static_argnums=2)
hard_simple = jax.jit(behaviour.hard_simple, static_argnums=2)
cosines = jax.jit(cosine_similarities)


def group(arrays, case):
    return {key.split('/')[1]: v for key, v in arrays.items() if key.split('/')[0] == case}


def cases_named(arrays, prefix):
    return sorted({key.split('/')[0] for key in arrays if key.startswith(prefix)})


def similarities_of(case):
    return cosines(jnp.asarray(case['f']), jnp.asarray(case['g']))


def tolerance_of(name):
    # Exponents up to 1/0.07 = 14 in float32.
    return dict(rtol=1e-4, atol=1e-6) if '0.07' in name else dict(rtol=1e-5, atol=1e-6)


def test_softmax_loss_gradient_penalty_and_entropy_agree_with_the_paper(golden):
    arrays = golden('contrastive_behaviour')
    names = cases_named(arrays, 'nce_')
    assert len(names) == 3
    for name in names:
        case, close = group(arrays, name), tolerance_of(name)
        temperature = float(case['tau'])
        similarities = similarities_of(case)
        np.testing.assert_allclose(similarities, case['sim'], rtol=1e-5, atol=1e-6)
        losses = info_nce(similarities, temperature)
        np.testing.assert_allclose(losses, case['loss_per_anchor'], **close)
        np.testing.assert_allclose(losses.mean(), case['loss'], **close)
        gradient = similarity_gradient(similarities, temperature)
        # The stored gradient is that of the per-anchor losses, not of their mean.
        np.testing.assert_allclose(gradient, case['dL_dS'], **close)
        probabilities = jnp.where(jnp.eye(16, dtype=bool), 1.0, 0.0) + temperature * gradient
        np.testing.assert_allclose(probabilities, case['P'], **close)
        penalty = relative_penalty(similarities, temperature)
        np.testing.assert_allclose(penalty, case['rel_penalty'], **close)
        entropy = penalty_entropy(similarities, temperature)
        np.testing.assert_allclose(entropy, case['entropy'], **close)


def test_hard_contrastive_and_its_threshold_agree_with_the_paper(golden):
    arrays = golden('contrastive_behaviour')
    names = cases_named(arrays, 'hard_')
    assert len(names) == 6
    for name in names:
        case, close = group(arrays, name), tolerance_of(name)
        temperature, num_hard = float(case['tau']), int(case['K'])
        similarities = similarities_of(case)
        losses = hard_contrastive(similarities, temperature, num_hard)
        np.testing.assert_allclose(losses, case['loss_per_anchor'], **close)
        np.testing.assert_allclose(losses.mean(), case['loss'], **close)
        mask = hard_mask(similarities, num_hard)
        smallest = jnp.min(jnp.where(mask, similarities, jnp.inf), axis=1)
        np.testing.assert_allclose(smallest, case['threshold'], rtol=1e-5, atol=1e-6)
        penalty = relative_penalty(similarities, temperature, mask)
        np.testing.assert_allclose(penalty, case['rel_penalty'], **close)


def test_simple_losses_agree_with_the_paper(golden):
    arrays = golden('contrastive_behaviour')
    hard, plain = cases_named(arrays, 'hardsimple_'), cases_named(arrays, 'simple_')
    assert (len(hard), len(plain)) == (12, 2)
    for name in hard + plain:
        case = group(arrays, name)
        similarities, weight = similarities_of(case), float(case['lam'])
        if name in hard:
            losses = hard_simple(similarities, weight, int(case['K']))
        else:
            losses = simple_contrastive(similarities, weight)
        np.testing.assert_allclose(losses, case['loss_per_anchor'], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(losses.mean(), case['loss'], rtol=1e-5)


def random_similarities(seed=0, n=4, m=7):
    return np.random.default_rng(seed).uniform(-1, 1, (n, m))


def test_everything_agrees_with_loops_on_a_rectangular_matrix(float64):
    s, temperature, weight, num_hard = random_similarities(), 0.3, 0.2, 2
    got_penalty = relative_penalty(jnp.asarray(s), temperature)
    got_gradient = similarity_gradient(jnp.asarray(s), temperature)
    separation = jax.jit(behaviour.local_separation, static_argnums=1)(jnp.asarray(s), 3)
    got = {
        'nce': info_nce(jnp.asarray(s), temperature),
        'simple': simple_contrastive(jnp.asarray(s), weight),
        'hard': hard_contrastive(jnp.asarray(s), temperature, num_hard),
        'hard simple': hard_simple(jnp.asarray(s), weight, num_hard),
        'entropy': penalty_entropy(jnp.asarray(s), temperature),
        'positive': separation.positive,
        'negative': separation.negative,
    }
    got = {name: np.asarray(values) for name, values in got.items()}
    got_penalty, got_gradient = np.asarray(got_penalty), np.asarray(got_gradient)
    for i in range(4):
        negatives = [j for j in range(7) if j != i]
        hardest = sorted(negatives, key=lambda j: -s[i, j])[:num_hard]
        e = np.exp(s[i] / temperature)
        r = {j: e[j] / sum(e[k] for k in negatives) for j in negatives}
        want = {
            'nce': -np.log(e[i] / e.sum()),
            'simple': -s[i, i] + weight * sum(s[i, j] for j in negatives),
            'hard': -np.log(e[i] / (e[i] + sum(e[j] for j in hardest))),
            'hard simple': -s[i, i] + weight * sum(s[i, j] for j in hardest),
            'entropy': -sum(r[j] * np.log(r[j]) for j in negatives),
            'positive': s[i, i],
            'negative': np.mean(sorted(s[i, j] for j in negatives)[-3:]),
        }
        for name, value in want.items():
            np.testing.assert_allclose(got[name][i], value, rtol=1e-10, err_msg=name)
        assert got_penalty[i, i] == 0
        for j in negatives:
            np.testing.assert_allclose(got_penalty[i, j], r[j], rtol=1e-10)
            np.testing.assert_allclose(got_gradient[i, j], e[j] / e.sum() / temperature)


def test_what_the_negative_mask_leaves_out_might_as_well_not_be_there():
    s = jnp.asarray(random_similarities(10, 3, 8).astype(np.float32))
    kept = jnp.array([0, 1, 2, 4, 7])
    mask = jnp.isin(jnp.arange(8), kept)
    mask = jnp.broadcast_to(mask, s.shape)
    for loss in (
        lambda s, mask: behaviour.info_nce_per_anchor(s, 0.2, mask),
        lambda s, mask: behaviour.simple_contrastive(s, 0.5, mask),
        lambda s, mask: behaviour.hard_contrastive(s, 0.2, 2, mask),
        lambda s, mask: behaviour.hard_simple(s, 0.5, 2, mask),
        lambda s, mask: behaviour.local_separation(s, 3, mask).negative,
    ):
        np.testing.assert_allclose(loss(s, mask), loss(s[:, kept], None), rtol=1e-6)
        gradient = jax.grad(lambda s, loss=loss: loss(s, mask).sum())(s)
        np.testing.assert_array_equal(gradient[:, jnp.array([3, 5, 6])], 0)
        assert np.all(np.isfinite(loss(s, jnp.zeros_like(mask))))


@pytest.mark.parametrize('temperature', [0.05, 0.5, 5.0])
def test_similarity_gradient_is_the_gradient_and_its_rows_sum_to_zero(float64, temperature):
    s = jnp.asarray(random_similarities(1))
    gradient = similarity_gradient(s, temperature)
    automatic = jax.jit(jax.grad(lambda s: info_nce(s, temperature).sum()))(s)
    np.testing.assert_allclose(gradient, automatic, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-12)


def test_gradients_are_exact(float64):
    s = jnp.asarray(random_similarities(2))

    @jax.jit
    def losses(s):
        return (
            behaviour.info_nce_per_anchor(s, 0.2),
            behaviour.hard_contrastive(s, 0.2, 2),
            behaviour.hard_simple(s, 0.5, 2),
            behaviour.penalty_entropy(s, 0.2),
        )

    check_grads(losses, (s,), order=1)


def test_high_temperature_is_the_simple_loss_after_rescaling(float64):
    s = jnp.asarray(random_similarities(3, 5, 5))
    temperature, n = 1e5, 5
    rescaled = temperature * (info_nce(s, temperature) - np.log(n))
    simple = simple_contrastive(s, 1 / (n - 1))
    np.testing.assert_allclose(rescaled * n / (n - 1), simple, rtol=1e-4)


def test_low_temperature_sees_only_the_nearest_negative(float64):
    s = jnp.asarray(random_similarities(4, 5, 6))
    temperature = 1e-3
    others = jnp.where(behaviour.positive_mask(s), -jnp.inf, s)
    want = jnp.maximum(others.max(axis=1) - jnp.diagonal(s), 0.0)
    np.testing.assert_allclose(temperature * info_nce(s, temperature), want, atol=2e-3)
    nearest = jax.nn.one_hot(others.argmax(axis=1), 6)
    np.testing.assert_allclose(relative_penalty(s, temperature), nearest, atol=1e-2)


def test_entropy_of_the_penalty_strictly_increases_with_temperature_up_to_log_n():
    s = jnp.asarray(random_similarities(5, 6, 6).astype(np.float32))
    entropies = [penalty_entropy(s, t) for t in (0.05, 0.1, 0.2, 0.5, 1.0, 5.0)]
    for colder, warmer in zip(entropies[:-1], entropies[1:], strict=True):
        assert jnp.all(colder < warmer)
    np.testing.assert_allclose(penalty_entropy(s, 1e4), np.log(5), rtol=1e-5)


def test_keeping_all_negatives_changes_nothing_and_fewer_costs_less():
    s = jnp.asarray(random_similarities(6, 5, 8).astype(np.float32))
    losses = [hard_contrastive(s, 0.3, k) for k in (1, 3, 7, 100)]
    np.testing.assert_allclose(losses[2], info_nce(s, 0.3), rtol=1e-6)
    np.testing.assert_array_equal(losses[3], losses[2])
    assert jnp.all(losses[0] < losses[1])
    assert jnp.all(losses[1] < losses[2])
    np.testing.assert_allclose(hard_simple(s, 0.1, 100), simple_contrastive(s, 0.1), rtol=1e-6)


def test_ties_at_the_threshold_are_all_kept_and_positives_never():
    s = jnp.array([[9.0, 0.5, 0.5, 0.5, 0.1], [0.3, 9.0, 0.2, 0.9, 0.2]])
    want = [[0, 1, 1, 1, 0], [1, 0, 0, 1, 0]]
    np.testing.assert_array_equal(hard_mask(s, 2), want)
    np.testing.assert_array_equal(hard_mask(jnp.ones((2, 3)), 1), [[0, 1, 1], [1, 0, 1]])


def test_the_choice_of_hard_negatives_is_not_differentiated():
    s = jnp.asarray(random_similarities(7, 3, 6).astype(np.float32))
    gradient = jax.jit(jax.grad(lambda s: hard_simple(s, 0.25, 2).sum()))(s)
    want = np.where(behaviour.positive_mask(s), -1.0, 0.25 * np.asarray(hard_mask(s, 2)))
    np.testing.assert_allclose(gradient, want)


def test_hard_counts_of_the_paper():
    for alpha, num_hard in ((0.0819, 335), (0.0315, 129), (0.034, 139), (1e-9, 1), (1.0, 4095)):
        assert behaviour.num_hard_negatives(alpha, 4095) == num_hard


def test_order_of_the_anchors_does_not_matter():
    s = jnp.asarray(random_similarities(8, 5, 5).astype(np.float32))
    order = jnp.array([2, 0, 4, 1, 3])
    moved = s[order][:, order]
    for loss in (
        functools.partial(info_nce, temperature=0.2),
        functools.partial(penalty_entropy, temperature=0.2),
        lambda s: hard_contrastive(s, 0.2, 2),
    ):
        np.testing.assert_allclose(loss(moved), loss(s)[order], rtol=1e-5)


def test_without_negatives_everything_is_zero_with_zero_gradient():
    alone = jnp.array([[0.7]])
    losses = (
        lambda s: behaviour.info_nce_per_anchor(s, 0.1).sum(),
        lambda s: behaviour.hard_contrastive(s, 0.1, 3).sum(),
        lambda s: behaviour.penalty_entropy(s, 0.1).sum(),
        lambda s: behaviour.relative_penalty(s, 0.1).sum(),
        lambda s: behaviour.local_separation(s).negative.sum(),
    )
    for value, gradient in jax.jit(lambda s: [jax.value_and_grad(f)(s) for f in losses])(alone):
        assert (value, gradient) == (0, 0)
    np.testing.assert_allclose(simple_contrastive(alone, 0.5), [-0.7])


@pytest.mark.parametrize('kind', ['huge', 'half'])
def test_values_and_gradients_are_finite_float32(kind):
    s = jnp.asarray(random_similarities(9, 4, 6))
    s = (1e4 * s).astype(jnp.float32) if kind == 'huge' else s.astype(jnp.bfloat16)
    temperature = 1.0 if kind == 'huge' else 0.005

    def total(s):
        return (
            info_nce(s, temperature)
            + hard_contrastive(s, temperature, 2)
            + hard_simple(s, 0.5, 2)
            + penalty_entropy(s, temperature)
        ).sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(s)
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient.astype(jnp.float32)))
    assert np.all(np.isfinite(similarity_gradient(s, temperature)))


def test_wrong_arguments_are_named():
    s = jnp.zeros((3, 3))
    with pytest.raises(ValueError, match='num_hard must be at least 1, got 0'):
        behaviour.hard_negative_mask(s, 0)
    with pytest.raises(ValueError, match='alpha must be .* got 1.5'):
        behaviour.num_hard_negatives(1.5, 10)
    with pytest.raises(ValueError, match='num_negatives must be at least 1, got 0'):
        behaviour.local_separation(s, 0)
    with pytest.raises(ValueError, match='at least as many columns as rows'):
        behaviour.info_nce_per_anchor(jnp.zeros((3, 2)), 0.1)
