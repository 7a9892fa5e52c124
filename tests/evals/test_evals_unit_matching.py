"""What the evaluation of matched units reports, on made-up outputs."""

import numpy as np
import pytest

from jaxsep.evals.unit_matching import evaluate


def table(**changed):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 2, 2, 3)).astype(np.float32)
    b = a[..., ::-1].copy()
    columns = {
        'first': a,
        'matched': a,
        'semi_matched': a,
        'second': b,
        'nearest': b,
        'predicted/0.1': b,
        'nonzeros/0.1': np.tile([1, 2, 3], (6, 1)),
    }
    return {'test': {**columns, **changed}}


def test_the_same_units_match_entirely():
    found = evaluate(table())
    ones = ('matched_correlation', 'semi_correlation', 'share_high', 'nearest_r2', 'r2/0.1')
    np.testing.assert_allclose([found[name] for name in ones], 1.0, rtol=1e-6)
    assert found['share_low'] == 0 and found['nonzeros/0.1'] == 2 and found['live_units'] == 3


def test_correlations_are_numpys_over_places():
    rng = np.random.default_rng(1)
    other = table()['test']['first'] + rng.normal(size=(6, 2, 2, 3)).astype(np.float32)
    first = table()['test']['first'].reshape(-1, 3)
    each = [np.corrcoef(first[:, i], other.reshape(-1, 3)[:, i])[0, 1] for i in range(3)]
    found = evaluate(table(matched=-other, semi_matched=other, nearest=-other, second=first))
    np.testing.assert_allclose(found['matched_correlation'], -np.mean(each), rtol=1e-5)
    np.testing.assert_allclose(found['semi_correlation'], np.mean(each), rtol=1e-5)
    np.testing.assert_allclose(found['nearest_r2'], np.mean(np.square(each)), rtol=1e-5)
    assert found['share_low'] == 1.0 and found['share_high'] == 0.0


def test_the_mean_explains_nothing():
    b = table()['test']['second']
    told = np.broadcast_to(b.mean((0, 1, 2)), b.shape)
    assert abs(evaluate(table(**{'predicted/0.1': told}))['r2/0.1']) < 1e-6


def test_constant_units_take_no_part():
    a = table()['test']['first'].copy()
    a[..., 0] = 0.0
    found = evaluate(table(first=a, second=a, **{'predicted/0.1': a}))
    assert found['live_units'] == 2 and found['nonzeros/0.1'] == 2.5
    np.testing.assert_allclose([found['matched_correlation'], found['r2/0.1']], 1.0, rtol=1e-6)
    nothing = evaluate(table(first=0 * a, second=0 * a))
    assert nothing['matched_correlation'] == nothing['r2/0.1'] == 0.0


def test_missing_outputs_are_named():
    with pytest.raises(ValueError, match="no column 'first'"):
        evaluate({'test': {'label': np.zeros(3)}})
