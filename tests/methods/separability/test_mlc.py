"""The two stages of MLC: what passes between them, and what each head learns from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.separability.mlc import make

BATCH = {
    'image': jnp.asarray(np.random.default_rng(0).integers(0, 255, (8, 4, 4, 1)), jnp.uint8),
    'index': jnp.arange(8, dtype=jnp.int32),
}
OPTIONS = {'encoder': {'name': 'pixels'}, 'size': 4}


def gradients(**options):
    method = make(**OPTIONS, **options)

    @jax.jit
    def first_step(key):
        params, extra = method.begin(*method.init(key, BATCH))
        (_, (_, metrics)), grads = jax.value_and_grad(method.loss, has_aux=True)(
            params, extra, BATCH, key
        )
        return params, extra, grads, metrics

    return method, *first_step(jax.random.key(0))


def moved(tree):
    return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(tree)) > 1e-7


def test_clusters_begin_as_copies_of_features_and_both_heads_learn():
    method, params, extra, grads, metrics = gradients(stage='cluster')
    found = method.outputs(params, extra, BATCH)
    np.testing.assert_array_equal(found['embedding'], found['cluster_embedding'])
    np.testing.assert_allclose(jnp.linalg.norm(found['embedding'], axis=1), 1.0, rtol=1e-5)
    assert moved(grads['feature_head']) and moved(grads['cluster_head'])
    assert 1 / 8 < metrics['own_affinity'] < 1
    assert metrics['rate'] > 0


def test_initialisation_leaves_the_cluster_head_alone():
    _, params, _, grads, _ = gradients(augment={'noise': {}})
    assert moved(grads['feature_head']) and not moved(grads['cluster_head'])
    assert moved(jax.tree.map(jnp.subtract, params['feature_head'], params['cluster_head'])), (
        'the heads start apart'
    )


def test_affinity_from_features_does_not_use_the_cluster_head():
    _, params, _, grads, _ = gradients(stage='cluster', affinity_from='features', copy_head=False)
    assert not moved(grads['cluster_head'])
    assert moved(jax.tree.map(jnp.subtract, params['feature_head'], params['cluster_head']))


def test_wrong_stages_and_heads_are_named():
    with pytest.raises(ValueError, match="stage: expected one of .* got 'train'"):
        make(stage='train')
    with pytest.raises(ValueError, match="affinity_from: expected one of .* got 'both'"):
        make(affinity_from='both')
