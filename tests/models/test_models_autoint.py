import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses.log_loss import log_loss
from jaxsep.models import autoint
from jaxsep.models.autoint import AutoInt, FieldTokens, InteractingLayer, Keep, set_token

RENAMED = {'query': 'query', 'key': 'key', 'value': 'value', 'res': 'residual'}
PAPER = {'query': 'W_Query', 'key': 'W_key', 'value': 'W_Value', 'residual': 'W_Res'}


def of_case(golden, prefix):
    """The arrays of one case, its prefix cut off."""
    return {k.removeprefix(prefix): v for k, v in golden('autoint').items() if k.startswith(prefix)}


def official_weights(data, prefix):
    """Weights of one interacting layer of the original, or their gradients."""
    found = {
        ours: {p: data[f'{prefix}{theirs}/{p}'] for p in ('kernel', 'bias')}
        for theirs, ours in RENAMED.items()
        if f'{prefix}{theirs}/kernel' in data
    }
    return found | {'gain': data[f'{prefix}ln/gamma'], 'offset': data[f'{prefix}ln/beta']}


@functools.partial(jax.jit, static_argnums=0)
def pull_back(layer, params, x, upstream):
    """Result and attention of a layer, and the gradients of <result, upstream>."""

    def product(params, x):
        y, attention = layer.apply({'params': params}, x)
        return jnp.sum(y * upstream), (y, attention)

    (_, found), gradients = jax.value_and_grad(product, argnums=(0, 1), has_aux=True)(params, x)
    return *found, gradients


# A float32 normalisation without its usual epsilon: rows of small variance lose a digit.
close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('case', ['res_2heads', 'nores_1head'])
def test_the_official_layer_agrees_with_the_original_in_value_and_gradient(golden, case):
    data = of_case(golden, f'official/{case}/')
    params = official_weights(data, 'w/')
    layer = InteractingLayer(
        params['gain'].size, int(data['num_heads']), residual=bool(data['has_residual'])
    )
    y, attention, (grads, grad_x) = pull_back(layer, params, data['x'], data['upstream'])
    close(y, data['out'])
    close(grad_x, data['grad_x'])
    jax.tree.map(close, grads, official_weights(data, 'grad_w/'))
    np.testing.assert_allclose(jnp.sum(attention, -1), 1, rtol=1e-6)


@pytest.mark.parametrize('case', ['paper_res', 'paper_scaled', 'paper_nores'])
def test_the_layer_of_the_paper_agrees_with_a_reimplementation(golden, case):
    data = of_case(golden, f'paper_form/{case}/')
    params = {k: {'kernel': data[f'w/{v}']} for k, v in PAPER.items() if f'w/{v}' in data}
    layer = InteractingLayer(
        data['x'].shape[-1],
        int(data['num_heads']),
        'paper',
        bool(data['use_res']),
        bool(data['scaling']),
    )
    y, attention, (_, grad_x) = pull_back(layer, params, data['x'], data['upstream'])
    close(y, data['out'])
    close(jnp.swapaxes(attention, 0, 1), data['attention'])
    close(grad_x, data['grad_x'])


def test_the_network_agrees_with_the_original_in_logits_loss_and_gradient(golden):
    data = of_case(golden, 'model/')
    fields, width = data['ids'].shape[1], data['table'].shape[1]
    blocks = [official_weights(data, f'w/block{i}/') for i in range(2)]
    data |= {k: jnp.asarray(v) for k, v in data.items()}
    upper = AutoInt(Given(), [b['gain'].size for b in blocks], int(data['num_heads']),
                    deep_widths=(data['mlp_b1'].size,))  # fmt: skip
    blocks = jax.tree.map(jnp.asarray, blocks)
    params = {f'interacting_{i}': block for i, block in enumerate(blocks)} | {
        'prediction': {'kernel': data['pred_w'], 'bias': data['pred_b'][None]},
        'deep': {
            'hidden_0': {'kernel': data['mlp_w1'], 'bias': data['mlp_b1'][0]},
            'prediction': {'kernel': data['mlp_w2'], 'bias': data['mlp_b2'][None]},
        },
    }
    shallow = upper.clone(deep_widths=())

    @jax.jit
    def step(table):
        def loss(table):
            tokens = table[data['ids']] * data['values'][..., None]
            outcome = upper.apply({'params': params}, None, tokens.reshape(-1, fields * width))
            alone = shallow.apply({'params': params}, None, tokens.reshape(-1, fields * width))
            value = log_loss(outcome.logit, data['labels'][:, 0].astype(int))
            return value, (outcome.logit, alone.logit)

        return jax.value_and_grad(loss, has_aux=True)(table)

    (value, (logit, alone)), gradient = step(data['table'])
    close(alone, data['logit_attention'][:, 0])
    close(logit, data['logit'][:, 0])
    close(value, data['logloss'])
    close(gradient, data['grad_table'])


class Given(FieldTokens):
    """Tokens that are handed in as numbers: four fields of five."""

    field_sizes: tuple = ()

    def __call__(self, categories, numbers=None, sets=()):
        return numbers.reshape(len(numbers), 4, 5)


def weights_of(rng, d, w, names=('query', 'key', 'value', 'residual')):
    return {n: {'kernel': rng.normal(size=(d, w)), 'bias': rng.normal(size=w)} for n in names}


def relu(x):
    return np.maximum(x, 0)


def oracle(params, x, num_heads):
    """The official layer, one example, head and field at a time."""
    q, k, v, r = (relu(x @ p['kernel'] + p['bias']) for p in list(params.values())[:4])
    out, c = np.zeros_like(q), q.shape[-1] // num_heads
    for b, i, h in np.ndindex(len(x), x.shape[1], num_heads):
        part = slice(h * c, (h + 1) * c)
        scores = np.array([q[b, i, part] @ k[b, j, part] for j in range(x.shape[1])]) / np.sqrt(c)
        a = np.exp(scores - scores.max())
        out[b, i, part] = (a / a.sum()) @ v[b, :, part]
    y = relu(out + r)
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-8)
    return y * params['gain'] + params['offset']


def test_the_official_layer_agrees_with_loops_and_has_exact_gradients(float64):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 4)), 6
    params = weights_of(rng, 4, w) | {'gain': rng.normal(size=w), 'offset': rng.normal(size=w)}
    layer = InteractingLayer(w, 3)
    apply = jax.jit(lambda params, x: layer.apply({'params': params}, x)[0])
    np.testing.assert_allclose(apply(params, x), oracle(params, x, 3), rtol=1e-10, atol=1e-10)
    check_grads(apply, (jax.tree.map(jnp.asarray, params), jnp.asarray(x)), 1, ('rev',), rtol=1e-4)


def test_order_of_fields_permutes_tokens_and_attention():
    rng = np.random.default_rng(1)
    x, order = rng.normal(size=(3, 5, 4)).astype(np.float32), np.array([3, 0, 4, 2, 1])
    layer = InteractingLayer(4, 2)
    params = layer.init(jax.random.key(0), x)['params']
    upstream = np.ones_like(x)
    y, attention, _ = pull_back(layer, params, x, upstream)
    y_of, attention_of, _ = pull_back(layer, params, x[:, order], upstream)
    np.testing.assert_allclose(y_of, y[:, order], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        attention_of, attention[:, :, order][..., order], rtol=1e-4, atol=1e-5
    )


def test_tokens_of_zeros_equal_ones_and_large_ones_have_finite_gradients():
    rng = np.random.default_rng(2)
    layer = InteractingLayer(4, 2)
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    params = layer.init(jax.random.key(0), x)['params']
    for rows in (0 * x, np.ones_like(x), 1e4 * x, 1e-20 * x):
        for leaf in jax.tree.leaves(pull_back(layer, params, rows, np.ones_like(x))):
            assert np.all(np.isfinite(leaf))
    y, _, (_, grad) = pull_back(layer, params, 0 * x, rng.normal(size=x.shape).astype(np.float32))
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(grad, 0)


def test_a_set_is_the_mean_of_its_values_and_an_empty_one_is_zero_with_zero_gradient():
    vectors = np.random.default_rng(3).normal(size=(3, 4, 2)).astype(np.float32)
    kept = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    product = jax.jit(jax.value_and_grad(lambda x: jnp.sum(set_token(x, kept)[:, 0])))
    found = set_token(vectors, kept)
    np.testing.assert_allclose(found[0], vectors[0, :2].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found[2], vectors[2].mean(0), rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_array_equal(product(vectors)[1][1], 0)


def test_tokens_are_rows_of_the_table_in_the_order_categories_numbers_sets():
    tokens = FieldTokens((3, 2), (4,), 2)
    ids, numbers = np.array([[2, 1], [7, -1]]), np.array([[0.5], [-2.0]], np.float32)
    sets = [np.array([[1, 3, 0], [0, 0, 0]])]
    table = np.arange(20, dtype=np.float32).reshape(10, 2)
    made = tokens.apply({'params': {'table': table}}, ids, numbers, sets)
    np.testing.assert_allclose(
        made[0], [table[2], table[4], 0.5 * table[9], (table[6] + table[8]) / 2]
    )
    np.testing.assert_allclose(made[1], [table[2], table[3], -2 * table[9], [0, 0]])
    shape = jax.eval_shape(tokens.init, jax.random.key(0), ids, numbers, sets)
    assert shape['params']['table'].shape == (10, 2)


def test_dropout_keeps_the_mean_and_gives_both_branches_the_same_tokens():
    keys = jax.random.split(jax.random.key(0), 4096)
    ones = jnp.ones((4096, 3))
    kept = autoint.drop(keys, ones, 0.8, 0)
    np.testing.assert_allclose(kept.mean(0), 1, atol=0.03)
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1) / np.float32(0.8)}
    assert np.any(kept != autoint.drop(keys, ones, 0.8, 1))
    # Without layers both branches see the tokens: of opposite weights nothing is left.
    model = AutoInt(FieldTokens((3, 3)), (), deep_widths=(8,), keep=Keep(1.0, 0.5, 1.0))
    ids = np.zeros((64, 2), np.int32)
    params = dict(model.init(jax.random.key(0), ids)['params'])
    params['tokens'] = {'table': jnp.ones((6, 16))}
    params['prediction'] = {'kernel': -jnp.ones((32, 1)), 'bias': jnp.zeros(1)}
    params['deep'] = {
        'hidden_0': {'kernel': jnp.ones((32, 8)) / 8, 'bias': jnp.zeros(8)},
        'prediction': {'kernel': jnp.ones((8, 1)), 'bias': jnp.zeros(1)},
    }
    outcome = model.apply({'params': params}, ids, keys=keys[:64])
    np.testing.assert_allclose(outcome.logit, 0, atol=1e-4)
    assert len(np.unique(outcome.features)) == 2


def test_a_head_number_that_does_not_divide_the_width_is_refused():
    x = jnp.ones((1, 2, 6))
    with pytest.raises(ValueError, match='num_heads: expected a divisor of the width 6, got 4'):
        autoint.attend(x, x, x, 4)
