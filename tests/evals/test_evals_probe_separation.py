"""Four probes on target rows: right where the factors were put, chance elsewhere."""

import numpy as np
import pytest

from jaxsep.evals import linear_probe, probe_separation


def tables(seed=0):
    """Factor a is in c and b in s; background rows would contradict both."""
    rng = np.random.default_rng(seed)

    def split(n):
        a, b, target = rng.integers(2, size=(3, n))
        wrong = np.where(target > 0, 0, 1)  # flips the factors of the background
        noise = lambda: 0.1 * rng.normal(size=(n, 3))  # noqa: E731
        return {
            'common_embedding': (np.eye(3)[a ^ wrong] + noise()).astype(np.float32),
            'salient_embedding': (np.eye(3)[b ^ wrong] + noise()).astype(np.float32),
            'common': a,
            'salient': b,
            'target': target,
        }

    return {'train': split(300), 'test': split(200)}


def test_each_factor_is_found_where_it_is_and_the_separation_is_their_sum():
    got = probe_separation.evaluate(tables())
    assert got['common_from_common'] == got['salient_from_salient'] == 1
    assert abs(got['salient_from_common'] - 0.5) < 0.2
    assert abs(got['common_from_salient'] - 0.5) < 0.2
    wrong = got['salient_from_common'] + got['common_from_salient']
    assert got['separation'] == pytest.approx(2 - wrong)


def test_the_outputs_exchanged_exchange_the_accuracies():
    got = probe_separation.evaluate(tables())
    exchanged = probe_separation.evaluate(
        tables(), common_output='salient_embedding', salient_output='common_embedding'
    )
    assert exchanged['separation'] == pytest.approx(-got['separation'])
    assert exchanged['common_from_salient'] == got['common_from_common']


def test_without_a_target_column_all_rows_count_as_in_the_linear_probe():
    data = tables(1)
    got = probe_separation.evaluate(data, target='', balanced=True)
    for factor in ('common', 'salient'):
        for output in ('common', 'salient'):
            one = linear_probe.evaluate(data, label=factor, output=f'{output}_embedding')
            want = one['linear_probe_balanced_accuracy']
            assert got[f'{factor}_from_{output}'] == pytest.approx(want)
    assert got['common_from_common'] < 0.8  # the background contradicts


def test_a_split_without_targets_is_named():
    data = tables()
    data['test']['target'] = np.zeros(200, int)
    with pytest.raises(ValueError, match="target: column 'target' of split 'test' marks no row"):
        probe_separation.evaluate(data)
