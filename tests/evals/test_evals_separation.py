import numpy as np
import pytest

from jaxsep.evals.separation import evaluate
from jaxsep.metrics.separation import sdr


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(5, 2, 40)).astype(np.float32)
    estimates = sources + 0.1 * rng.normal(size=sources.shape).astype(np.float32)
    return {
        'true_waveform': sources,
        'mixture': sources.sum(axis=1),
        'waveform': estimates,
        'others': sources[:, ::-1],
        'true_classes': np.array([[0, 2], [2, 0], [0, 2], [2, 0], [0, 2]], np.int32),
    }


def test_medians_by_position_are_averaged(table):
    found = evaluate({'test': table})
    each = sdr(table['true_waveform'], table['waveform'])
    assert found['sdr'] == pytest.approx(np.mean(np.median(each, axis=0)))
    assert 17 < found['si_sdr'] < 23 and 17 < found['sdri'] < 25


def test_medians_by_class_are_averaged_and_named(table):
    found = evaluate({'test': table}, label='true_classes')
    gain = sdr(table['true_waveform'], table['waveform']) - sdr(
        table['true_waveform'], np.repeat(table['mixture'][:, None], 2, axis=1)
    )
    by_class = {k: np.median(gain[table['true_classes'] == k]) for k in (0, 2)}
    assert found['sdri_class_0'] == pytest.approx(by_class[0])
    assert found['sdri_class_2'] == pytest.approx(by_class[2])
    assert found['sdri'] == pytest.approx(np.mean(list(by_class.values())))


def test_the_mixture_itself_gains_nothing_and_the_wrong_source_loses(table):
    table['mixed'] = np.repeat(table['mixture'][:, None], 2, axis=1)
    found = evaluate({'test': table}, outputs=('waveform', 'mixed', 'others'))
    assert found['mixed_sdri'] == pytest.approx(0) and found['mixed_si_sdri'] == pytest.approx(0)
    assert found['others_sdri'] < 0 < found['sdri']


def test_silent_targets_and_sources_of_no_class_do_not_count(table):
    clean = evaluate({'test': {k: v[:4] for k, v in table.items()}}, label='true_classes')
    table['true_waveform'][4, 0] = 0
    table['true_classes'][4, 1] = -1
    assert evaluate({'test': table}, label='true_classes') == clean


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'waveform': np.zeros((5, 1, 40))}, "output 'waveform': expected shape"),
        ({'mixture': np.zeros((5, 39))}, 'expected .b, n, t. and .b, t.'),
        ({'true_classes': np.zeros((5, 1), int)}, "column 'true_classes': expected shape"),
        ({'true_waveform': np.zeros((5, 2, 40))}, 'every target is silent'),
    ],
)
def test_bad_columns_are_named(table, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate({'test': table | change}, label='true_classes')
