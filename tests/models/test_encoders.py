"""Small encoders, residual networks, and how they are put together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models import encoders

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ('options', 'shape', 'features'),
    [
        ({'name': 'conv', 'widths': (4, 8), 'features': 0}, (2, 8, 8, 1), 8),
        ({'name': 'conv', 'widths': (4, 8), 'features': 5}, (2, 8, 8, 1), 5),
        ({'name': 'mlp', 'widths': (8, 3)}, (2, 4, 4, 1), 3),
        ({'name': 'pixels'}, (2, 4, 4, 3), 48),
        ({'name': 'resnet18', 'width': 4, 'small_images': True}, (2, 8, 8, 3), 32),
        ({'name': 'resnet50', 'width': 4}, (2, 32, 32, 3), 128),
    ],
)
def test_encoders_give_one_row_per_image(options, shape, features):
    model = encoders.make_encoder(**options)
    x = jnp.ones(shape)
    found = jax.eval_shape(lambda: model.init_with_output(KEY, x, train=True)[0])
    assert found.shape == (2, features)


def test_resnets_have_as_many_parameters_as_published():
    """11.69 and 25.56 million with the 1000-way classifier of He et al. (torchvision's count)."""
    for name, classifier, published in [
        ('resnet18', 512 * 1000 + 1000, 11_689_512),
        ('resnet50', 2048 * 1000 + 1000, 25_557_032),
    ]:
        model = encoders.make_encoder(name=name)
        shapes = jax.eval_shape(lambda m=model: m.init(KEY, jnp.ones((1, 64, 64, 3)), True))
        count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes['params']))
        assert count + classifier == published


def test_a_residual_block_starts_as_the_identity():
    from functools import partial

    import flax.linen as nn

    from jaxsep.models.resnet import Block

    block = Block(4, 1, False, partial(nn.BatchNorm, True))
    x = jnp.abs(jax.random.normal(KEY, (2, 4, 4, 4)))
    found, _ = block.init_with_output(KEY, x)
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_training_changes_batch_statistics_and_evaluation_does_not_use_the_batch():
    model = encoders.Projected(encoders.Mlp((4, 3)), encoders.Mlp((2,)))
    x = jax.random.normal(KEY, (6, 5))
    params, extra = encoders.init_model(model, KEY, x)
    _, changed = encoders.apply_train(model, params, extra, x)
    assert jax.tree.structure(changed) == jax.tree.structure(extra)
    assert not np.allclose(jax.tree.leaves(changed)[0], jax.tree.leaves(extra)[0])
    whole, _ = model.apply({'params': params, **changed}, x)
    one, _ = model.apply({'params': params, **changed}, x[:1])
    np.testing.assert_allclose(whole[:1], one, rtol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'name': 'vgg'}, 'encoder.name: expected one of'),
        ({'name': 'mlp', 'width': 3}, 'encoder: .*width'),
    ],
)
def test_wrong_encoders_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        encoders.make_encoder(**options)
