import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.data.source import load, take_all
from jaxsep.evals.chamfer_recall import evaluate
from jaxsep.methods.retrieval.muvera import make

KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def digits():
    return take_all(load('patch_sets', num_queries=40, num_documents=300).splits['test'])


def outputs(options, batch):
    estimator = make(**options)
    return jax.device_get(estimator.outputs(estimator.fit(KEY, batch), batch))


def test_recall_grows_with_the_encoding_and_exceeds_mean_pooling(digits):
    found = []
    for repetitions, planes in ((1, 0), (2, 2), (20, 4)):
        options = dict(num_repetitions=repetitions, num_planes=planes, projection_dim=None)
        found.append(evaluate({'test': outputs({**options, 'keep_sets': True}, digits)}, ks=(10,)))
    recalls = [each['recall@10'] for each in found]
    assert recalls[0] + 0.1 < recalls[1] < recalls[2] - 0.1
    assert found[0]['correlation'] < found[1]['correlation'] < found[2]['correlation']


def test_one_repetition_without_planes_is_mean_pooling(digits):
    found = outputs(dict(num_repetitions=1, num_planes=0, projection_dim=None), digits)
    mask = digits['document_mask'][..., None]
    mean = np.sum(digits['document_vectors'] * mask, axis=1) / mask.sum(axis=1)
    np.testing.assert_allclose(found['embedding'], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found['query_embedding'], digits['query_vectors'].sum(axis=1), rtol=1e-5, atol=1e-5
    )


def test_what_is_fitted_can_be_kept_in_a_checkpoint_without_planes_too(digits):
    fitted = make(num_repetitions=1, num_planes=0, projection_dim=None).fit(KEY, digits)
    assert all(leaf.size > 0 for leaf in jax.tree.leaves(fitted))


def test_shapes_and_names_of_the_outputs(digits):
    few = {name: values[:8] for name, values in digits.items()}
    options = dict(num_repetitions=2, num_planes=3, projection_dim=4)
    assert outputs(options, few)['embedding'].shape == (8, 2 * 8 * 4)
    sketched = outputs({**options, 'final_dim': 10, 'projection': 'count_sketch'}, few)
    assert set(sketched) == {'embedding', 'query_embedding'}
    assert sketched['query_embedding'].shape == (8, 10)
    alone = {'document_vectors': few['document_vectors']}
    assert set(outputs({**options, 'keep_sets': True}, alone)) == {
        'embedding', 'document_vectors', 'document_mask',
    }  # fmt: skip


def test_normalized_sets_do_not_depend_on_the_length_of_vectors(digits):
    few = {name: values[:8] for name, values in digits.items()}
    longer = {**few, 'document_vectors': few['document_vectors'] * 3.0}
    options = dict(num_repetitions=2, num_planes=3, normalize=True)
    a, b = (outputs(options, batch)['embedding'] for batch in (few, longer))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_half_precision_gives_float32(digits):
    half = jnp.asarray(digits['document_vectors'][:4], jnp.bfloat16)
    found = outputs(dict(num_repetitions=1, num_planes=1), {'document_vectors': half})
    assert found['embedding'].dtype == np.float32


def test_wrong_arguments_and_columns_are_named():
    for options, message in (
        (dict(num_planes=31), 'num_planes'),
        (dict(num_repetitions=0), 'num_repetitions'),
        (dict(projection='none'), "projection: expected .* got 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options)
    with pytest.raises(ValueError, match=r"'document_vectors', got \['image'\]"):
        make().fit(KEY, {'image': jnp.ones((2, 2))})
