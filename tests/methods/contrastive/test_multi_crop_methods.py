"""Small crops and the warm-up of DINO's teacher: what the smoke configs leave out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.contrastive import dino, swav

OPTIONS = dict(
    augment=dict(noise=dict(std=(0.1, 0.1))),
    augment_small=dict(noise=dict(std=(0.2, 0.2))),
    num_small=2,
    encoder=dict(name='mlp', widths=(8,)),
    projection=(4,),
    num_prototypes=5,
)
BATCH = {'image': jax.random.uniform(jax.random.key(0), (8, 4, 4, 1)), 'index': jnp.arange(8)}


@pytest.mark.parametrize('method', [dino, swav], ids=['dino', 'swav'])
def test_small_crops_train_and_change_the_loss(method):
    values = {}
    for num_small in (0, 2):
        made = method.make(**{**OPTIONS, 'num_small': num_small})
        params, extra = jax.jit(made.init)(jax.random.key(1), BATCH)
        step = jax.jit(jax.value_and_grad(made.loss, has_aux=True))
        (value, _), grads = step(params, extra, BATCH, jax.random.key(2))
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
        values[num_small] = float(value)
    assert values[0] != values[2]


def test_the_temperature_of_the_teacher_rises_over_its_warm_up():
    made = dino.make(**OPTIONS, teacher_temperature=(0.04, 0.4), warmup_steps=10)
    params, extra = jax.jit(made.init)(jax.random.key(1), BATCH)
    loss = jax.jit(made.loss)
    values = {}
    for step in (0, 10, 20):
        late = made.refresh(params, extra, jnp.int32(step))
        values[step] = float(loss(params, late, BATCH, jax.random.key(2))[0])
    constant = dino.make(**OPTIONS, teacher_temperature=(0.4, 0.4))
    want = float(jax.jit(constant.loss)(params, extra, BATCH, jax.random.key(2))[0])
    np.testing.assert_allclose([values[10], values[20]], want, rtol=1e-5)
    assert values[0] != values[10]
