"""What the contract suite does not see of Hydra: the other gates, pairs and views, and the probe."""

import jax
import numpy as np
import pytest

from jaxsep.methods.contrastive import hydra

SMALL = dict(
    augment={}, num_classes=3, encoder={'name': 'mlp', 'widths': (4,)}, hidden=4, features=4,
    gate_embedding=4, gate_hidden=4,
)  # fmt: skip


def batch(labels):
    images = np.random.default_rng(0).uniform(size=(len(labels), 3, 3, 1)).astype(np.float32)
    return {'image': images, 'label': np.asarray(labels, np.int32)}


@pytest.mark.parametrize(
    'options',
    [
        {'gate': 'open', 'pairs': 'identical'},
        {'gate': 'product', 'pairs': 'distinct', 'similarity': 'gated'},
        {'num_views': 2, 'reduction': 'row'},
    ],
)
def test_every_variant_keeps_the_form_of_its_state(options):
    method, rows, key = hydra.make(**SMALL, **options), batch([0, 1, 2, 0]), jax.random.key(0)
    params, extra = jax.eval_shape(method.init, key, rows)
    value, (after, _) = jax.eval_shape(method.loss, params, extra, rows, key)
    assert value.shape == () and after == extra
    assert ('gate' in params) == (options.get('gate') != 'open')
    named = jax.eval_shape(method.outputs, params, extra, rows)
    assert named['projection'].shape == (4, 4) and named['logits'].shape == (4, 3)


def test_the_classifier_alongside_sends_no_gradient_back():
    # A batch of one class has no negatives: nothing but the classifier has a loss.
    method, rows = hydra.make(**SMALL), batch([1] * 6)

    @jax.jit
    def gradients(key, rows):
        params, extra = method.init(key, rows)
        return jax.grad(method.loss, has_aux=True)(params, extra, rows, key)

    found, (_, metrics) = gradients(jax.random.key(0), rows)
    assert metrics['contrast'] == 0 and metrics['probe'] > 0
    assert np.any(found['probe']['kernel'])
    assert not any(np.any(g) for g in jax.tree.leaves((found['model'], found['gate'])))


@pytest.mark.parametrize(
    ('name', 'value'),
    [('gate', 'closed'), ('pairs', 'any'), ('similarity', 'dot'), ('reduction', 'sum'),
     ('num_views', 3)],
)  # fmt: skip
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f'{name}: expected one of .*, got {value!r}'):
        hydra.make(**SMALL, **{name: value})
