import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep.losses.cross_encoder import sampled_softmax
from jaxsep.models.bert import Bert
from jaxsep.models.cross_encoder import CrossEncoder, at_marker, marked_pair

CLS, SEP, START, END, TITLE = 101, 102, 1, 2, 3
RNG = np.random.default_rng(0)
MARKERS = dict(start=START, end=END, title=TITLE)


def pairs(queries, items):
    """[CLS] [start] query [end] [SEP] item [title] [SEP] and padding."""
    rows = [
        [CLS, START, *q, END, SEP, *i, TITLE, SEP, 0, 0]
        for q, i in zip(queries, items, strict=True)
    ]
    return jnp.array(rows, jnp.int32)


def make(head, num_types=2):
    encoder = Bert(
        num_tokens=103, width=8, depth=1, num_heads=2, max_length=16, num_types=num_types
    )
    return CrossEncoder(encoder, head=head, **MARKERS)


def test_the_score_is_the_product_of_what_stands_at_the_markers():
    tokens = np.array([[CLS, START, 9, END, SEP, 8, TITLE], [START, CLS, END, 9, SEP, TITLE, 8]])
    stream = RNG.normal(size=(2, 7, 5)).astype(np.float32)
    found = marked_pair(jnp.asarray(stream), jnp.asarray(tokens), **MARKERS)
    for row, (start, end, title) in enumerate([(1, 3, 6), (0, 2, 5)]):
        query = (stream[row, start].astype(np.float64) + stream[row, end]) / 2
        np.testing.assert_allclose(found.query[row], query, rtol=1e-6)
        np.testing.assert_array_equal(found.item[row], stream[row, title])
        np.testing.assert_allclose(found.score[row], query @ stream[row, title], rtol=1e-5)


def test_a_missing_marker_gives_0_with_zero_gradient():
    stream = jnp.asarray(RNG.normal(size=(1, 4, 3)), jnp.float32)
    tokens = jnp.array([[CLS, START, 9, END]])
    score = lambda x: jnp.sum(marked_pair(x, tokens, **MARKERS).score)  # noqa: E731
    value, gradient = jax.value_and_grad(score)(stream)
    assert value == 0 and not np.any(gradient)
    assert not np.any(at_marker(stream, tokens, 77))


@pytest.mark.parametrize('head', ['markers', 'linear'])
def test_padding_changes_no_score_and_the_side_of_a_token_does(head):
    model = make(head)
    tokens = pairs([[10, 11]], [[12, 13]])
    params = model.init(jax.random.key(0), tokens)
    apply = jax.jit(model.apply)
    score = apply(params, tokens)
    np.testing.assert_allclose(apply(params, tokens[:, :-2]), score, rtol=1e-5, atol=1e-6)
    swapped = apply(params, pairs([[12, 13]], [[10, 11]]))
    assert abs(float(swapped[0] - score[0])) > 1e-6


def test_tokens_behind_the_first_separator_are_of_the_second_type():
    tokens = pairs([[10, 11]], [[12, 13]])
    model = make('linear')
    variables = model.init(jax.random.key(0), tokens)
    encoder = {'params': variables['params']['encoder']}
    types = jnp.array([[0] * 6 + [1] * 4 + [0] * 2])
    stream = model.encoder.apply(encoder, tokens, types)
    head = variables['params']['score']
    expected = stream[:, 0] @ head['kernel'] + head['bias'][None, :]
    np.testing.assert_allclose(model.apply(variables, tokens), expected[:, 0], rtol=1e-5)


def test_it_learns_which_items_belong_to_a_query():
    model = make('markers')
    words = np.arange(20, 28)
    right = pairs(words[:, None], words[:, None])
    wrong = jnp.stack([pairs(words[:, None], np.roll(words, k)[:, None]) for k in range(1, 8)], 1)
    params = model.init(jax.random.key(0), right)
    optimizer = optax.adam(1e-2)

    def loss(params):
        negatives = model.apply(params, wrong.reshape(-1, wrong.shape[2])).reshape(8, 7)
        return sampled_softmax(model.apply(params, right), negatives)

    @jax.jit
    def learn(params):
        def step(state, _):
            params, memory = state
            value, gradient = jax.value_and_grad(loss)(params)
            updates, memory = optimizer.update(gradient, memory)
            return (optax.apply_updates(params, updates), memory), value

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=60)[1]

    values = learn(params)
    assert values[0] > 1.5 and values[-1] < 0.5 * values[0]


def test_an_unknown_head_is_named():
    with pytest.raises(ValueError, match="head: expected 'markers' or 'linear', got 'mean'"):
        make('mean').init(jax.random.key(0), pairs([[10]], [[11]]))
