"""PS and PM of any method's waveforms."""

import numpy as np
import pytest

from jaxsep.algorithms.mapss import mapss
from jaxsep.evals.mapss import evaluate
from jaxsep.metrics.separation import si_sdr

OPTIONS = {'every': 8, 'kinds': ('comb', 'tremolo', 'noisegate', 'clipping')}


def table():
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 16_000
    sound = np.sign(np.sin(2 * np.pi * np.array([[110], [190]]) * time))
    truth = np.stack([sound, sound[::-1]]) + 0.05 * rng.standard_normal((2, 2, 8000))
    gain = np.array([0.1, 0.7])[:, None, None]
    return {
        'true_waveform': truth.astype(np.float32),
        'waveform': (truth + gain * truth[:, ::-1]).astype(np.float32),
        'kind': np.array([0, 1], np.int32),
    }


@pytest.fixture(scope='module')
def computed():
    return evaluate({'test': table()}, label='kind', **OPTIONS)


def test_results_are_the_means_over_scored_frames(computed):
    rows = table()
    pairs = zip(rows['true_waveform'], rows['waveform'], strict=True)
    found = [mapss(*pair, **OPTIONS) for pair in pairs]
    for name in ('ps', 'pm', 'ps_bias', 'ps_prob', 'pm_bias', 'pm_prob'):
        values = np.concatenate([getattr(row, name).ravel() for row in found])
        np.testing.assert_allclose(computed[name], np.nanmean(values), rtol=1e-9)
    assert computed['frames'] == sum(row.scored.sum() for row in found)
    np.testing.assert_allclose(
        computed['si_sdr'], np.mean(si_sdr(rows['true_waveform'], rows['waveform']))
    )
    np.testing.assert_allclose(computed['ps_class_0'], np.nanmean(found[0].ps), rtol=1e-9)
    assert computed['ps_class_0'] > computed['ps_class_1']
    assert computed['si_sdr_class_0'] > computed['si_sdr_class_1'] + 10


def test_scores_that_the_table_has_are_averaged_by_frames():
    rows = table()
    rows['frames'] = np.array([[1, 1], [3, 0]], np.int32)
    for name in ('ps', 'pm', 'ps_bias', 'ps_prob', 'pm_bias', 'pm_prob'):
        rows[name] = np.array([[0.2, 0.4], [0.6, 9.0]], np.float32)
    found = evaluate({'test': rows}, label='kind')
    np.testing.assert_allclose(found['ps'], (0.2 + 0.4 + 3 * 0.6) / 5, rtol=1e-6)
    np.testing.assert_allclose(found['pm_class_1'], 0.6, rtol=1e-6)
    assert found['frames'] == 5
    rows['frames'] = 0 * rows['frames']
    with pytest.raises(ValueError, match='nothing to score'):
        evaluate({'test': rows})


def test_the_first_rows_only(computed):
    found = evaluate({'test': table()}, max_rows=1, **OPTIONS)
    assert found['ps'] == computed['ps_class_0']


def test_wrong_tables_and_options_are_named():
    rows = table()
    with pytest.raises(ValueError, match='max_rows: expected 0 or more'):
        evaluate({'test': rows}, max_rows=-1)
    with pytest.raises(ValueError, match="output 'waveform': expected"):
        evaluate({'test': rows | {'waveform': rows['waveform'][:, :1]}})
    with pytest.raises(ValueError, match="label 'true_waveform': expected a class"):
        evaluate({'test': rows}, label='true_waveform', **OPTIONS)
