import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses.triplet import margin_loss
from jaxsep.methods.contrastive import dsl
from jaxsep.models.dsl import AttendedFeatures, RenewableLayer, make_map
from jaxsep.models.encoders import apply_train

BACKBONE = dict(name='conv', widths=(4, 8))


def batch():
    rng = np.random.default_rng(0)
    return {
        'image': jnp.asarray(rng.random((24, 6, 6, 1)), jnp.float32),
        'label': jnp.asarray(np.arange(24) % 3, jnp.int32),
        'index': jnp.arange(24, dtype=jnp.int32),
    }


@functools.cache
def started(num_learners=1):
    """A method, its state after one batch, and its compiled refresh; an epoch is one step."""
    method = dsl.make(
        num_samples=24,
        num_classes=3,
        steps_per_epoch=1,
        backbone=BACKBONE,
        dropout=0.0,
        embedding_size=24,
        num_learners=num_learners,
        max_learners=3,
        patience=1,
        finetune_epoch=9,
    )
    params, extra = jax.jit(method.init)(jax.random.key(0), batch())
    grad = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    (value, (extra, _)), grads = grad(params, extra, batch(), jax.random.key(1))
    return method, params, extra, jax.jit(method.refresh), (value, grads)


def stalled(extra, importance):
    """As if no epoch could be better any more, with these importances."""
    learners = extra['learners']._replace(best=jnp.float32(2), importance=importance)
    return {**extra, 'learners': learners}


HALF = jnp.where(jnp.arange(24) % 2 == 0, 1.0, 0.01)


def test_a_stalled_learner_divides_and_its_new_half_starts_anew():
    method, params, extra, refresh, _ = started()
    after = refresh(params, stalled(extra, HALF), jnp.int32(3))
    old, new = extra['learners'], after['learners']
    assert (old.number, new.number) == (1, 2)
    np.testing.assert_array_equal(new.of_dim, np.arange(24) % 2)
    kept = np.arange(24) % 2 == 0
    outputs = jax.jit(method.outputs)
    before, now = (outputs(params, e, batch())['embedding'] for e in (extra, after))
    # What is kept is the same direction, now a unit slice of its own.
    own = np.asarray(before)[:, kept]
    own = own / np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(now)[:, kept], own, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(now, axis=1), np.sqrt(2), rtol=1e-5)
    kernel = np.asarray(params['embedding']['kernel'] + new.offsets[0])
    np.testing.assert_array_equal(kernel[:, kept], params['embedding']['kernel'][:, kept])
    assert np.abs(kernel - params['embedding']['kernel'])[:, ~kept].min() > 0
    assert set(np.asarray(new.of_sample)) <= {-1, 0, 1}
    assert not new.together and new.explored
    np.testing.assert_array_equal(new.importance, 0)


@pytest.mark.parametrize('why', ['better', 'explored', 'finetuning', 'full'])
def test_a_learner_stays_whole(why):
    _, params, extra, refresh, _ = started()
    learners = stalled(extra, HALF)['learners']
    changed = {
        'better': dict(best=jnp.float32(-1)),
        'explored': dict(explored=jnp.bool_(True)),
        'finetuning': {},
        'full': dict(number=jnp.int32(3), of_dim=jnp.full(24, 2, jnp.int32)),
    }[why]
    learners = learners._replace(**changed)
    epoch = 9 if why == 'finetuning' else 3
    after = refresh(params, {**extra, 'learners': learners}, jnp.int32(epoch))['learners']
    assert after.number == learners.number
    np.testing.assert_array_equal(after.of_dim, learners.of_dim)
    np.testing.assert_array_equal(after.offsets[0], learners.offsets[0])
    assert after.explored == (why == 'explored')


def test_a_learner_trains_only_its_slice_on_only_its_cluster():
    method, params, extra, _, _ = started(2)
    learners = extra['learners']._replace(
        together=jnp.bool_(False),
        of_sample=jnp.where(jnp.arange(24) < 12, 0, -1),
        importance=jnp.zeros(24),
    )

    @jax.jit
    def gradient(params, images):
        def loss(params):
            changed = {**batch(), 'image': images}
            return method.loss(params, {**extra, 'learners': learners}, changed, jax.random.key(1))

        return jax.grad(loss, has_aux=True)(params)

    grads, (after, _) = gradient(params, batch()['image'])
    kernel = np.asarray(grads['embedding']['kernel'])
    assert np.abs(kernel[:, :12]).max() > 0
    np.testing.assert_array_equal(kernel[:, 12:], 0)
    importance = np.asarray(after['learners'].importance)
    np.testing.assert_array_equal(importance[12:], 0)
    assert np.abs(importance[:12]).max() > 0


def test_the_loss_and_its_gradient_are_those_of_the_composed_margin_loss():
    _, params, extra, _, (value, grads) = started()
    network, layer = AttendedFeatures(make_map(**BACKBONE)), RenewableLayer(24)

    def composed(params):
        (features, _), _ = apply_train(network, params['network'], {}, batch()['image'])
        offsets = extra['learners'].offsets
        rows = layer.apply({'params': params['embedding']}, features, *offsets)
        return margin_loss(rows, batch()['label'])

    want, want_grads = jax.jit(jax.value_and_grad(composed))(params)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    for got, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(want_grads), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_importances_of_a_slice_cancel():
    # To scale a slice that is normalised afterwards changes nothing: the importances of its
    # dimensions, each the change of the loss when that one is scaled, have the sum 0.
    importance = np.asarray(started()[2]['learners'].importance)
    np.testing.assert_allclose(importance.sum(), 0, atol=1e-6)
    assert np.abs(importance).max() > 1e-5


def test_the_state_remembers_features_and_labels_of_the_batch():
    _, _, extra, _, _ = started()
    np.testing.assert_array_equal(extra['learners'].labels, batch()['label'])
    assert np.abs(extra['learners'].features).max(axis=1).min() > 0


def test_too_many_learners_are_refused():
    with pytest.raises(ValueError, match='num_learners: expected 1 to 4'):
        dsl.make(num_samples=8, num_classes=2, steps_per_epoch=1, num_learners=5, max_learners=4)
