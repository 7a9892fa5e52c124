import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from jaxsep.losses import contrastive, paired
from jaxsep.ops.geometry import l2_normalize

nt_xent = jax.jit(contrastive.nt_xent)
clip_info_nce = jax.jit(paired.clip_info_nce)
queue_info_nce = jax.jit(paired.queue_info_nce)
nt_xent_multi_positive = jax.jit(contrastive.nt_xent_multi_positive)
supcon = jax.jit(contrastive.supcon, static_argnames=('anchors', 'reduction'))
contrastive_out = jax.jit(contrastive.contrastive_out)
contrastive_in = jax.jit(contrastive.contrastive_in)


def golden_case(case, arrays):
    """The loss as a function of the arrays that the case has gradients of."""
    a = {name.split('/')[1]: value for name, value in arrays.items() if name.split('/')[0] == case}
    scalars = {k: float(v) for k, v in a.items() if v.ndim == 0}
    temperature = scalars.get('tau', scalars.get('temperature'))
    labels = jnp.asarray(a['labels'].astype(np.int32)) if 'labels' in a else None
    if case.startswith('nt_xent_tau'):
        names = ('z1', 'z2')
        loss = functools.partial(contrastive.nt_xent, temperature=temperature)
    elif case == 'nt_xent_multipos_logsum':
        names = ('z1', 'z2')
        ids = jnp.tile(labels, 2)

        def loss(z1, z2):
            return contrastive.nt_xent_multi_positive(jnp.concatenate([z1, z2]), ids, temperature)
    elif case == 'clip_infonce':
        names = ('image', 'text')
        loss = functools.partial(paired.clip_info_nce, temperature=temperature)
    elif case == 'moco_queue':
        names = ('query',)

        def loss(query):
            key, queue = jnp.asarray(a['key']), jnp.asarray(a['queue'].T)
            return paired.queue_info_nce(query, key, queue, temperature)
    elif case.startswith('supcon_singleton'):
        names = ('z',)
        reduction = case.removeprefix('supcon_singleton_')

        def loss(z):
            return contrastive.supcon(
                z[:, None], labels, temperature, temperature, reduction=reduction
            )
    else:
        names = ('features',)
        base, anchors = scalars['base_temperature'], 'one' if case == 'supcon_one' else 'all'

        def loss(features):
            return contrastive.supcon(features, labels, temperature, base, anchors=anchors)

    gradients = [a['grad'] if 'grad' in a else a[f'grad_{name}'] for name in names]
    return loss, [jnp.asarray(a[name]) for name in names], a['loss'], gradients


CASES = [
    'nt_xent_tau0.5',
    'nt_xent_tau0.1',
    'nt_xent_multipos_logsum',
    'clip_infonce',
    'moco_queue',
    'supcon_all',
    'supcon_tau_eq_base',
    'supcon_one',
    'supcon_nolabels',
    'supcon_singleton_mean',
    'supcon_singleton_avg_nonzero',
]


@pytest.mark.parametrize('case', CASES)
def test_agrees_with_the_original_in_value_and_gradient(golden, case):
    loss, inputs, want, want_gradients = golden_case(case, golden('shared_ssl_losses'))
    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(len(inputs)))))(*inputs)
    # Exponents up to 1/0.07 in float32: the card's tolerance for those cases is 1e-4.
    np.testing.assert_allclose(value, want, rtol=2e-5)
    for gradient, want_gradient in zip(gradients, want_gradients, strict=True):
        np.testing.assert_allclose(gradient, want_gradient, rtol=1e-4, atol=1e-5)


def random_problem(seed, n=5, m=8):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, (n, m))
    kind[0] = 0
    kind[1, :2], kind[1, 2:] = 1, 0
    kind[2] = 2
    return rng.normal(size=(n, m)) * 3, kind == 1, kind == 2


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_both_primitives_agree_with_loops(float64, seed):
    logits, positive, negative = random_problem(seed)
    outside, inside = np.zeros(5), np.zeros(5)
    for i in range(5):
        kept = [j for j in range(8) if positive[i, j] or negative[i, j]]
        total = sum(np.exp(logits[i, j]) for j in kept)
        own = [np.exp(logits[i, j]) for j in range(8) if positive[i, j]]
        if own:
            outside[i] = -np.mean([np.log(e / total) for e in own])
            inside[i] = -np.log(sum(own) / total)
    problem = [jnp.asarray(x) for x in (logits, positive, negative)]
    np.testing.assert_allclose(contrastive_out(*problem), outside, rtol=1e-12)
    np.testing.assert_allclose(contrastive_in(*problem), inside, rtol=1e-12, atol=1e-15)


def test_supcon_agrees_with_loops(float64):
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(5, 3, 4)), rng.integers(0, 3, 5)
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    terms = []
    for i in range(5):
        for v in range(3):
            others = [(j, w) for j in range(5) for w in range(3) if (j, w) != (i, v)]
            dots = {o: unit[i, v] @ unit[o] / 0.2 for o in others}
            total = np.log(sum(np.exp(list(dots.values()))))
            terms.append(-np.mean([dots[o] - total for o in others if labels[o[0]] == labels[i]]))
    value = supcon(jnp.asarray(features), jnp.asarray(labels), 0.2, 0.1)
    np.testing.assert_allclose(value, 2 * np.mean(terms), rtol=1e-12)


def named_losses(temperature):
    ids = jnp.array([0, 0, 1, 1, 1, 2, 2, 3])
    return {
        'nt_xent': lambda z: nt_xent(z[:4], z[4:], temperature),
        'multi_positive': lambda z: nt_xent_multi_positive(z, ids, temperature),
        'clip': lambda z: clip_info_nce(z[:4], z[4:], temperature),
        'queue': lambda z: queue_info_nce(z[:2], z[2:4], z[4:], temperature),
        'supcon': lambda z: supcon(z.reshape(4, 2, -1), ids[:4], temperature),
        'supcon_nonzero': lambda z: supcon(z[:, None], ids, temperature, reduction='avg_nonzero'),
    }


def test_named_losses_have_exact_gradients(float64):
    rng = np.random.default_rng(4)
    z = jnp.asarray(rng.normal(size=(8, 3)))
    losses = named_losses(0.3)
    # Keys and queue are constants, which finite differences would move.
    losses['queue'] = lambda v: queue_info_nce(v[:2], z[2:4], z[4:], 0.3)
    check_grads(jax.jit(lambda v: [loss(v) for loss in losses.values()]), (z,), order=1)


def hard_inputs():
    z = jnp.asarray(np.random.default_rng(5).normal(size=(8, 3)).astype(np.float32))
    return {
        'random': z,
        'zeros': jnp.zeros((8, 3)),
        'one zero row': z.at[2].set(0.0),
        'all the same': jnp.ones((8, 3)),
        'opposite': jnp.concatenate([z[:4], -z[:4]]),
        'huge': z * 1e30,
        'half': z.astype(jnp.bfloat16),
    }


def test_named_losses_are_finite_float32_at_temperature_0_005():
    losses = named_losses(0.005)
    step = jax.jit(lambda z: {name: jax.value_and_grad(f)(z) for name, f in losses.items()})
    for case, z in hard_inputs().items():
        for name, (value, gradient) in step(z).items():
            assert value.dtype == jnp.float32, (name, case)
            assert np.isfinite(value), (name, case)
            assert np.all(np.isfinite(np.asarray(gradient, np.float32))), (name, case)


@pytest.mark.parametrize('primitive', [contrastive_out, contrastive_in])
def test_primitives_are_finite_at_huge_logits_and_zero_without_positives(primitive):
    logits = jnp.array([[1e4, -1e4, 1e4], [-1e4, 1e4, 1e4], [1e4, 1e4, -1e4], [1e4, 0.0, 1.0]])
    positive = jnp.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    negative = jnp.array([[0, 1, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0]], bool)
    total = jax.jit(jax.value_and_grad(lambda x: primitive(x, positive, negative).sum()))
    value, gradient = total(logits)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(primitive(logits, positive, negative)[2:], 0)
    np.testing.assert_array_equal(gradient[2:], 0)


@pytest.mark.parametrize('primitive', [contrastive_out, contrastive_in])
def test_one_positive_without_negatives_costs_nothing(primitive):
    logits, positive = jnp.array([[3.0, 5.0]]), jnp.array([[True, False]])
    value, gradient = jax.value_and_grad(lambda x: primitive(x, positive, ~positive & False)[0])(
        logits
    )
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_losses_are_zero_with_zero_gradient_without_positives():
    z, ids = hard_inputs()['random'], jnp.arange(8)
    losses = (
        lambda z: nt_xent_multi_positive(z, ids, 0.1),
        lambda z: supcon(z[:, None], None, 0.1),
        lambda z: supcon(z[:, None], ids, 0.1, reduction='avg_nonzero'),
        lambda z: nt_xent(z[:1], z[1:2], 0.1),
        lambda z: clip_info_nce(z[:1], z[1:2], 0.1),
        lambda z: queue_info_nce(z[:2], z[2:4], z[:0], 0.1),
    )
    for value, gradient in jax.jit(lambda z: [jax.value_and_grad(f)(z) for f in losses])(z):
        np.testing.assert_allclose(value, 0, atol=1e-6)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_an_empty_batch_gives_zero():
    nothing = jnp.zeros((0, 3))
    assert nt_xent(nothing, nothing) == 0
    assert clip_info_nce(nothing, nothing) == 0
    assert supcon(jnp.zeros((0, 2, 3))) == 0


def views(seed=6, b=6, d=4):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=(b, d)).astype(np.float32)) for _ in range(2))


def test_multi_positive_with_unique_ids_is_nt_xent():
    z1, z2 = views()
    ids = jnp.tile(jnp.arange(6), 2)
    both = jnp.concatenate([z1, z2])
    np.testing.assert_allclose(
        nt_xent_multi_positive(both, ids, 0.2),
        nt_xent(z1, z2, 0.2),
        rtol=1e-6,
    )


def test_supcon_without_labels_on_two_views_is_nt_xent():
    z1, z2 = views()
    np.testing.assert_allclose(
        supcon(jnp.stack([z1, z2], axis=1), None, 0.2, 0.2),
        nt_xent(z1, z2, 0.2),
        rtol=1e-6,
    )


def test_averaging_inside_the_logarithm_never_costs_more():
    for seed in range(3):
        logits, positive, negative = (jnp.asarray(x) for x in random_problem(seed))
        logits = logits.astype(jnp.float32)
        count = jnp.maximum(positive.sum(axis=1), 1)
        inside = contrastive_in(logits, positive, negative) + jnp.log(count)
        outside = contrastive_out(logits, positive, negative)
        assert jnp.all(jnp.where(positive.any(axis=1), inside <= outside + 1e-5, True))


def test_pairs_in_neither_mask_do_not_matter():
    logits, positive, negative = (jnp.asarray(x) for x in random_problem(7))
    moved = jnp.where(positive | negative, logits, 1e6)
    for primitive in (contrastive_out, contrastive_in):
        np.testing.assert_array_equal(
            primitive(logits, positive, negative), primitive(moved, positive, negative)
        )


def test_order_scale_and_rotation_do_not_change_nt_xent():
    z1, z2 = views()
    order = jnp.array([3, 0, 5, 1, 4, 2])
    rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (4, 4)))[0]
    scale = jnp.arange(1.0, 7.0)[:, None]
    value = nt_xent(z1, z2, 0.1)
    for other in (
        nt_xent(z1[order], z2[order], 0.1),
        nt_xent(z1 * scale, z2, 0.1),
        nt_xent(z1 @ rotation, z2 @ rotation, 0.1),
        nt_xent(z2, z1, 0.1),
    ):
        np.testing.assert_allclose(other, value, rtol=1e-4)


def test_clip_and_queue_are_optax_cross_entropies():
    a, b = views()
    logits = l2_normalize(a) @ l2_normalize(b).T / 0.1
    entropy = jax.jit(optax.softmax_cross_entropy_with_integer_labels)
    matching = jnp.arange(6)
    both = 0.5 * (entropy(logits, matching).mean() + entropy(logits.T, matching).mean())
    np.testing.assert_allclose(clip_info_nce(a, b, 0.1), both, rtol=1e-5)
    # With the other keys as its queue, MoCo is one direction of CLIP.
    for i in range(2):
        others = jnp.delete(b, i, axis=0)
        np.testing.assert_allclose(
            queue_info_nce(a[i : i + 1], b[i : i + 1], others, 0.1),
            entropy(logits[i], i),
            rtol=1e-4,
        )


def test_keys_and_queue_get_no_gradient():
    q, k = views()
    gradients = jax.jit(jax.grad(queue_info_nce, argnums=(1, 2)))(q, k, k[::-1], 0.2)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_a_traced_temperature_gives_the_same_value_and_a_gradient():
    z1, z2 = views()
    value, slope = jax.jit(jax.value_and_grad(nt_xent, argnums=2))(z1, z2, jnp.float32(0.2))
    np.testing.assert_allclose(value, nt_xent(z1, z2, 0.2), rtol=1e-6)
    step = 1e-2
    numeric = (nt_xent(z1, z2, 0.2 + step) - nt_xent(z1, z2, 0.2 - step)) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=2e-2)


def test_wrong_options_are_named():
    z1, z2 = views()
    with pytest.raises(ValueError, match='anchors.*two'):
        contrastive.supcon(z1[:, None], anchors='two')
    with pytest.raises(ValueError, match='reduction.*sum'):
        contrastive.supcon(z1[:, None], reduction='sum')
    for wrong in (0, -0.1):
        with pytest.raises(ValueError, match=f'temperature must be positive, got {wrong}'):
            contrastive.nt_xent(z1, z2, wrong)
