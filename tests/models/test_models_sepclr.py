import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.models.encoders import Mlp, init_model
from jaxsep.models.sepclr import Branch, CommonAndSalient


def both(features):
    return CommonAndSalient(*(Branch(Mlp((6, 5)), features, hidden=7) for _ in range(2)))


def test_features_and_outputs_have_the_width_asked_for_or_the_encoders():
    x = jnp.ones((4, 3))
    for features, width in ((0, 5), (2, 2)):
        shapes = jax.eval_shape(
            lambda x, f=features: both(f).init_with_output(jax.random.key(0), x), x
        )
        assert [y.shape for pair in shapes[0] for y in pair] == [(4, width)] * 4


def test_the_two_branches_share_no_parameter():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    model = both(2)
    params, extra = init_model(model, jax.random.key(0), x)
    assert set(params) == {'common', 'salient'}

    @jax.jit
    def gradients(params):
        def common(params):
            (_, c), _ = model.apply({'params': params, **extra}, x)
            return jnp.sum(c * c)

        return jax.grad(common)(params)

    found = gradients(params)
    assert not any(np.any(g) for g in jax.tree.leaves(found['salient']))
    assert any(np.any(g) for g in jax.tree.leaves(found['common']))
