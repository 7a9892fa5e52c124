import itertools

import jax
import numpy as np
import pytest

from jaxsep.methods.tabular import autoint

SIZES = (4, 3)
RNG = np.random.default_rng(0)
BATCH = {
    'categories': np.stack([RNG.integers(0, size, 8) for size in SIZES], 1).astype(np.int32),
    'numbers': RNG.normal(size=(8, 2)).astype(np.float32),
    'genres': np.array([[1, 3], [2, 0], [0, 0], [1, 2]] * 2, np.int32),
    'label': np.arange(8, dtype=np.int32) % 2,
}
SETS = {'genres': 4}
FIELDS = 5


def run(*batches, keys=(1,), **options):
    """Parameters, losses of the first batch (one for each key), and outputs of every batch."""
    given = dict(field_sizes=SIZES, sets=SETS, embedding_size=4, widths=(6, 4)) | options
    method = autoint.make(**given)

    @jax.jit
    def all_of_it(batches):
        params, extra = method.init(jax.random.key(0), batches[0])
        # Vectors of the usual length 0.01 would hide what the fields have to do with one another.
        params['tokens']['table'] = 100 * params['tokens']['table']
        losses = [method.loss(params, extra, batches[0], jax.random.key(k))[0] for k in keys]
        return params, losses, [method.outputs(params, extra, batch) for batch in batches]

    return jax.device_get(all_of_it(batches))


def log_loss(logits, epsilon=1e-7):
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    right = np.where(BATCH['label'] == 1, p, 1 - p)
    return -np.log(right + epsilon).mean()


def tokens_of(params, batch=BATCH):
    """The tokens [b, 5, 4] of a batch, value by value."""
    table, tokens = np.asarray(params['tokens']['table'], np.float64), []
    for categories, numbers, genres in zip(
        batch['categories'], batch['numbers'], batch['genres'], strict=True
    ):
        there = [7 + g for g in genres if g]
        mean = table[there].mean(0) if there else np.zeros(4)
        tokens.append(
            [table[categories[0]], table[4 + categories[1]],
             table[11] * numbers[0], table[12] * numbers[1], mean]
        )  # fmt: skip
    return np.array(tokens)


def changed(**columns):
    return BATCH | {name: np.asarray(values, np.int32) for name, values in columns.items()}


def test_attention_of_a_field_sums_to_one_and_the_loss_is_that_of_the_logits():
    beyond = BATCH['categories'].copy()
    beyond[0], beyond[1] = (9, 9), (-1, -5)
    nearest = beyond.copy()
    nearest[0], nearest[1] = (3, 2), (0, 0)
    params, losses, outputs = run(
        BATCH,
        changed(categories=beyond),
        changed(categories=nearest),
        changed(genres=BATCH['genres'][:, ::-1]),
        keys=(1, 2),
        explain=True,
    )
    first = outputs[0]
    assert set(first) == {'logits', 'embedding', 'attention'}
    assert first['logits'].shape == (8,) and first['embedding'].shape == (8, FIELDS * 4)
    assert first['attention'].shape == (8, 2, 2, FIELDS, FIELDS)
    np.testing.assert_allclose(first['attention'].sum(-1), 1, rtol=1e-5)
    assert first['attention'].min() >= 0 and np.ptp(first['attention']) > 1e-3
    assert params['tokens']['table'].shape == (4 + 3 + 4 + 2, 4)
    # Without dropout the key changes nothing.
    np.testing.assert_allclose(losses, log_loss(first['logits']), rtol=1e-5)
    # A value out of range is its nearest; the order within a set does not matter.
    np.testing.assert_array_equal(outputs[1]['logits'], outputs[2]['logits'])
    np.testing.assert_allclose(outputs[3]['logits'], first['logits'], rtol=1e-5, atol=1e-6)


def test_dropout_is_drawn_from_the_key():
    params, losses, (outputs,) = run(
        BATCH, keys=(1, 2, 1), widths=(4,), keep=(0.5,) * 3, deep_widths=(3,), batch_norm=True
    )
    assert losses[0] == losses[2] and losses[0] != losses[1]
    assert log_loss(outputs['logits']) not in losses
    assert set(params['deep']) == {'hidden_0', 'BatchNorm_0', 'prediction'}


def test_the_penalty_is_on_the_hidden_weights_of_the_deep_branch_only():
    params, losses, (outputs,) = run(BATCH, widths=(4,), residual=False, deep_widths=(8, 3), l2=0.5)
    hidden = [params['deep'][f'hidden_{i}']['kernel'] for i in range(2)]
    penalty = 0.25 * sum(np.square(np.asarray(w, np.float64)).sum() for w in hidden)
    np.testing.assert_allclose(losses, log_loss(outputs['logits']) + penalty, rtol=1e-5)
    assert set(params['interacting_0']) == {'query', 'key', 'value', 'gain', 'offset'}


def test_without_layers_it_is_logistic_regression_and_with_pairs_a_factorisation_machine():
    for pairs in (False, True):
        params, losses, (outputs,) = run(BATCH, widths=(), pairs=pairs)
        tokens = tokens_of(params)
        weights = np.asarray(params['prediction']['kernel'], np.float64)[:, 0]
        logits = tokens.reshape(8, -1) @ weights + params['prediction']['bias']
        for i, j in itertools.combinations(range(FIELDS), 2):
            logits = logits + pairs * np.sum(tokens[:, i] * tokens[:, j], axis=1)
        np.testing.assert_allclose(outputs['logits'], logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs['embedding'], tokens.reshape(8, -1), rtol=1e-5)
        np.testing.assert_allclose(losses, log_loss(logits), rtol=1e-4)
        assert set(params) == {'tokens', 'prediction'}


@pytest.mark.parametrize(
    'options, message',
    [
        ({'form': 'code'}, "form: expected one of .*, got 'code'"),
        ({'widths': (6, 5)}, r'widths: expected multiples of num_heads=2, got \(6, 5\)'),
        ({'widths': (0,)}, r'widths: expected multiples of num_heads=2, got \(0,\)'),
        ({'num_heads': 0}, 'num_heads: expected at least 1, got 0'),
        ({'keep': (0.5, 1.0)}, r'keep: expected three numbers .*, got \(0.5, 1.0\)'),
        ({'keep': (0.0, 1.0, 1.0)}, 'keep: expected three numbers above 0 and up to 1'),
        ({'embedding_size': 0}, 'embedding_size, deep_widths: expected widths, got 0'),
        ({'deep_widths': (4, 0)}, r'embedding_size, deep_widths: .* and \(4, 0\)'),
        ({'l2': -0.1}, 'l2: expected 0 or more, got -0.1'),
        ({'epsilon': 1.0}, 'epsilon: expected a number from 0 to below 1, got 1.0'),
        ({'field_sizes': (3, 0)}, r'field_sizes, sets: expected sizes of at least 1, got \(3, 0\)'),
        ({'widths': (), 'explain': True}, r'explain: expected interacting layers, got widths=\(\)'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        autoint.make(**options)


@pytest.mark.parametrize(
    'options, columns, message',
    [
        ({}, ('categories',), r"label: no column 'label'; there are \['categories'\]"),
        ({'label': 'income'}, BATCH, "label: no column 'income'; there are .*'label'"),
        ({}, ('label', 'numbers'), 'field_sizes: expected 2 categories, got none'),
        ({'field_sizes': (4,)}, BATCH, 'field_sizes: expected 1 categories, got 2'),
        ({'field_sizes': ()}, ('label', 'categories'), 'data: expected categories with their'),
        ({'sets': {'tags': 3}}, BATCH, "sets: no column 'tags'"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(options, columns, message):
    method = autoint.make(**dict(field_sizes=SIZES) | options)
    with pytest.raises(ValueError, match=message):
        method.init(jax.random.key(0), {name: BATCH[name] for name in columns})
