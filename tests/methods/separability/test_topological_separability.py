"""The watched classifier on what it can read: images, vectors, tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep.data.text import tokenize
from jaxsep.methods.separability.topological_separability import make

ENCODER = {'name': 'text', 'num_tokens': 60, 'width': 8, 'depth': 1, 'num_heads': 2}


@pytest.fixture(scope='module')
def sentences():
    """Two kinds of sentence, told apart by one word among common ones, and an empty one."""
    rng = np.random.default_rng(0)
    common, tone = 'the a film story , is very'.split(), (['dull', 'bad'], ['great', 'warm'])
    labels = np.arange(24) % 2
    texts = [
        ' '.join(
            rng.permutation([tone[y][rng.integers(2)], *rng.choice(common, rng.integers(1, 6))])
        )
        for y in labels
    ]
    tokens = tokenize([*texts[:-1], ''], num_tokens=60, max_length=7)
    return {'tokens': jnp.asarray(tokens), 'label': jnp.asarray(labels, jnp.int32),
            'index': jnp.arange(24, dtype=jnp.int32)}  # fmt: skip


def train(method, batch, steps):
    params, extra = jax.jit(method.init)(jax.random.key(0), batch)
    optimizer = optax.adam(1e-2)
    state = optimizer.init(params)

    @jax.jit
    def step(params, extra, state):
        grad = jax.value_and_grad(method.loss, has_aux=True)
        (value, (extra, _)), grads = grad(params, extra, batch, jax.random.key(0))
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), extra, state, value

    losses = []
    for _ in range(steps):
        params, extra, state, value = step(params, extra, state)
        losses.append(float(value))
    return params, extra, losses


@pytest.mark.parametrize('widths', [(), (6,)])
def test_it_learns_from_tokens_and_its_outputs_are_finite_unit_rows(sentences, widths):
    method = make(num_classes=2, input='tokens', encoder=ENCODER, widths=widths)
    params, extra, losses = train(method, sentences, 30)
    assert losses[0] > 0.5 and losses[-1] < 0.5 * losses[0]
    assert not jax.tree.leaves(extra)
    found = method.outputs(params, extra, sentences)
    assert found['embedding'].shape == (24, widths[-1] if widths else 8)
    assert all(np.isfinite(x).all() for x in found.values())
    accuracy = np.mean(np.argmax(found['logits'], axis=1)[:-1] == sentences['label'][:-1])
    assert accuracy > 0.9
    norms = np.linalg.norm(found['embedding'], axis=1)
    np.testing.assert_allclose(norms[norms > 0], 1, rtol=1e-5)


def test_the_loss_is_the_cross_entropy_of_its_logits(sentences):
    method = make(num_classes=2, input='tokens', encoder=ENCODER, widths=())
    params, extra = jax.jit(method.init)(jax.random.key(3), sentences)
    logits = np.asarray(method.outputs(params, extra, sentences)['logits'], np.float64)
    expected = np.mean([
        np.log(np.exp(row).sum()) - row[y]
        for row, y in zip(logits, np.asarray(sentences['label']), strict=True)
    ])  # fmt: skip
    value, (_, metrics) = method.loss(params, extra, sentences, jax.random.key(0))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    right = np.argmax(logits, axis=1) == np.asarray(sentences['label'])
    np.testing.assert_allclose(metrics['accuracy'], right.mean(), rtol=1e-6)


def test_images_read_by_a_convolution_keep_their_batch_statistics():
    batch = {'image': jax.random.uniform(jax.random.key(0), (8, 4, 4, 1)),
             'label': jnp.arange(8, dtype=jnp.int32) % 2}  # fmt: skip
    encoder = {'name': 'conv', 'widths': (4,), 'features': 5}
    method = make(num_classes=2, encoder=encoder, widths=())
    params, extra = jax.jit(method.init)(jax.random.key(0), batch)
    _, (changed, _) = jax.jit(method.loss)(params, extra, batch, jax.random.key(0))
    assert jax.tree.structure(changed) == jax.tree.structure(extra)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (changed, extra)), strict=True))
    assert method.outputs(params, changed, batch)['embedding'].shape == (8, 5)


def test_vectors_are_read_where_there_is_no_image_unless_a_column_is_named():
    x = jax.random.normal(jax.random.key(0), (4, 3))
    batch = {'features': x, 'other': x[:, :2], 'label': jnp.zeros(4, jnp.int32)}
    for name, wide in ((None, 3), ('other', 2)):
        params, _ = make(num_classes=2, input=name, widths=(5,)).init(jax.random.key(0), batch)
        assert params['Dense_0']['kernel'].shape == (wide, 5)


def test_a_column_that_is_not_there_is_named(sentences):
    method = make(num_classes=2, input='words', encoder=ENCODER)
    with pytest.raises(ValueError, match=r"input: .*'tokens'.* got 'words'"):
        method.init(jax.random.key(0), sentences)
