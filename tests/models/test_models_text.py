"""The text encoder: padding, order, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.models.encoders import make_encoder
from jaxsep.models.text import TextEncoder, masked_mean

MODEL = TextEncoder(num_tokens=11, width=8, depth=2, num_heads=2)
TOKENS = jnp.array([[3, 5, 2, 0, 0], [7, 1, 4, 9, 10], [0, 0, 0, 0, 0]], jnp.int32)


def draw(model, tokens):
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)['params']
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype), shapes)


@pytest.fixture(scope='module')
def params():
    """Random numbers everywhere, so that no bias hides a mistake by being 0."""
    return draw(MODEL, TOKENS)


def encode(params, tokens):
    return jax.jit(MODEL.apply)({'params': params}, tokens)


def oracle(params, ids):
    """One sentence in float64, place by place, the padding never looked at."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    ids = [i for i in ids if i]
    x = np.stack([p['tokens']['embedding'][i] + p['positions'][t] for t, i in enumerate(ids)])

    def norm(x, q):
        centred = x - x.mean(-1, keepdims=True)
        return (
            centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * q['scale'] + q['bias']
        )

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    for depth in range(MODEL.depth):
        block = p[f'TextBlock_{depth}']
        h, a = norm(x, block['LayerNorm_0']), block['MultiHeadDotProductAttention_0']
        added = np.zeros_like(x) + a['out']['bias']
        for head in range(MODEL.num_heads):
            q, k, v = (
                h @ a[n]['kernel'][:, head] + a[n]['bias'][head] for n in ('query', 'key', 'value')
            )
            weights = np.exp(q @ k.T / np.sqrt(q.shape[-1]))
            added += weights / weights.sum(-1, keepdims=True) @ v @ a['out']['kernel'][head]
        x = x + added
        h = norm(x, block['LayerNorm_1'])
        h = gelu(h @ block['Dense_0']['kernel'] + block['Dense_0']['bias'])
        x = x + h @ block['Dense_1']['kernel'] + block['Dense_1']['bias']
    return norm(x, p['LayerNorm_0']).mean(0)


def test_rows_agree_with_the_equations_on_the_words_alone(params):
    found = encode(params, TOKENS)
    assert found.shape == (3, 8) and found.dtype == jnp.float32
    for row, ids in zip(found[:2], np.asarray(TOKENS[:2]), strict=True):
        np.testing.assert_allclose(row, oracle(params, ids), rtol=1e-4, atol=1e-5)


def test_a_row_of_padding_is_zero_with_finite_gradients(params):
    np.testing.assert_array_equal(encode(params, TOKENS)[2], 0)
    grads = jax.grad(lambda p: jnp.sum(encode(p, TOKENS[2:]) ** 2 + encode(p, TOKENS[2:])))(params)
    for leaf in jax.tree.leaves(grads):
        np.testing.assert_array_equal(leaf, 0)


def test_padding_has_no_gradient_and_words_have(params):
    grads = jax.grad(lambda p: jnp.sum(encode(p, TOKENS)[:, 0]))(params)
    rows = np.abs(grads['tokens']['embedding']).sum(1)
    seen = np.unique(TOKENS)
    assert (rows[seen[1:]] > 0).all()
    np.testing.assert_array_equal(np.delete(rows, seen[1:]), 0)


def test_order_counts_through_the_positions_only(params):
    shuffled = TOKENS[1:2, jnp.array([4, 2, 0, 1, 3])]
    assert np.abs(encode(params, shuffled) - encode(params, TOKENS[1:2])).max() > 0.01
    still = {**params, 'positions': jnp.zeros_like(params['positions'])}
    np.testing.assert_allclose(
        encode(still, shuffled), encode(still, TOKENS[1:2]), rtol=1e-4, atol=1e-5
    )


def test_gradients_in_float64(float64):
    model = TextEncoder(num_tokens=5, width=4, depth=1, num_heads=2)
    tokens = jnp.array([[3, 1, 0], [2, 2, 4]], jnp.int32)
    params = jax.tree.map(lambda x: x.astype(jnp.float64), draw(model, tokens))
    loss = jax.jit(lambda p: jnp.sum(jnp.sin(model.apply({'params': p}, tokens))))
    assert loss(params).dtype == jnp.float64
    check_grads(loss, (params,), 1, ['rev'])


def test_the_mean_ignores_what_is_masked_even_where_it_is_not_finite():
    x = jnp.array([[[1.0], [3.0], [jnp.nan]], [[jnp.inf], [jnp.nan], [5.0]]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(masked_mean(x, mask), [[2.0], [0.0]])


def test_an_id_beyond_the_table_gives_nan_and_no_other_word(params):
    assert np.isnan(encode(params, TOKENS.at[0, 0].set(11))[0]).all()


def test_a_config_can_name_it_and_wrong_heads_are_refused_at_once():
    assert make_encoder(name='text', num_tokens=11, width=8, num_heads=2).width == 8
    with pytest.raises(ValueError, match='num_heads: expected a divisor of width 8, got 3'):
        make_encoder(name='text', num_tokens=11, width=8, num_heads=3)
    with pytest.raises(ValueError, match='encoder: .*num_tokens'):
        make_encoder(name='text')
