import numpy as np
import pytest

from jaxsep.evals import sparse_codes


def splits():
    rng = np.random.default_rng(0)
    codes = np.zeros((20, 8), np.float32)
    codes[np.arange(20), np.arange(20) % 4] = rng.uniform(1, 2, 20)
    codes[:10, 5] = 1
    x = rng.normal(size=(20, 3)).astype(np.float32)
    test = {
        'embedding': codes,
        'target': x,
        'reconstruction': x + np.float32(0.5),
        'squared_errors': np.stack([np.full(20, 3.0), np.full(20, 0.75)], 1).astype(np.float32),
        'coherence': np.full(20, 0.25, np.float32),
    }
    return {'test': test}


def test_measures_are_those_of_the_columns():
    got = sparse_codes.evaluate(splits(), steps=(1, 4))
    variance = splits()['test']['target'].astype(float).var()
    assert got['active'] == pytest.approx(1.5) and got['dead'] == pytest.approx(3 / 8)
    assert got['r2'] == pytest.approx(1 - 0.25 / variance, abs=1e-5)
    assert got['r2_1'] == pytest.approx(1 - 1 / variance, abs=1e-5)
    assert got['r2_4'] == pytest.approx(got['r2'], abs=1e-5)
    assert got['coherence'] == pytest.approx(0.25) and 'used_coherence' not in got
    assert 0.5 < got['kappa4'] < 1 and 0.5 < got['hoyer'] < 1


def test_a_wrong_number_of_steps_is_named():
    with pytest.raises(ValueError, match=r'steps: expected one per column of squared_errors \(2\)'):
        sparse_codes.evaluate(splits(), steps=(1, 2, 3))
