import numpy as np
import pytest

from jaxsep.metrics.bjontegaard import FITS, bd_quality, bd_rate

RATES, QUALITIES = [0.1, 0.2, 0.45, 0.9, 2.0], [30.0, 33.2, 36.1, 38.4, 40.0]


@pytest.mark.parametrize('fit', FITS)
def test_deltas_are_those_of_the_original(golden, fit):
    a = golden('entropy_models')
    curves = [a[f'bd/{what}_{who}'] for who in ('anchor', 'test') for what in ('rate', 'dist')]
    np.testing.assert_allclose(bd_rate(*curves, fit=fit), a[f'bd/rate_{fit}'], rtol=1e-9)
    np.testing.assert_allclose(bd_quality(*curves, fit=fit), a[f'bd/psnr_{fit}'], rtol=1e-9)


@pytest.mark.parametrize('fit', FITS)
def test_a_curve_at_twice_the_rate_costs_100_percent_and_order_does_not_matter(fit):
    double = [2 * r for r in RATES]
    assert bd_rate(RATES, QUALITIES, double, QUALITIES, fit=fit) == pytest.approx(100)
    assert bd_rate(RATES[::-1], QUALITIES[::-1], double, QUALITIES, fit=fit) == pytest.approx(100)
    assert bd_rate(double, QUALITIES, RATES, QUALITIES, fit=fit) == pytest.approx(-50)
    better = [q + 1.5 for q in QUALITIES]
    assert bd_quality(RATES, QUALITIES, RATES, better, fit=fit) == pytest.approx(1.5)
    assert bd_rate(RATES, QUALITIES, RATES, QUALITIES, fit=fit) == pytest.approx(0)


@pytest.mark.parametrize('fit', FITS)
def test_where_log_rate_is_linear_in_quality_the_integral_is_known(fit):
    # log10 of the rates: q / 10 and q / 20, compared over 10..40.
    a, b = np.array([0.0, 12.0, 25.0, 40.0]), np.array([10.0, 20.0, 35.0, 50.0])
    want = np.mean([-10 / 20, -40 / 20])
    found = bd_rate(10 ** (a / 10), a, 10 ** (b / 20), b, fit=fit)
    np.testing.assert_allclose(found, 100 * (10**want - 1), rtol=1e-9)


def test_two_points_are_a_line():
    assert bd_rate([1, 4], [0, 1], [2, 8], [0, 1]) == pytest.approx(100)


@pytest.mark.parametrize(
    'curves, fit, message',
    [
        ((RATES, QUALITIES, RATES, QUALITIES), 'spline', "fit: expected one of .*, got 'spline'"),
        ((RATES, QUALITIES, [0, *RATES[1:]], QUALITIES), 'pchip', 'test_rate: expected positive'),
        ((RATES[:3], QUALITIES[:3], RATES, QUALITIES), 'akima', 'anchor: .* at least 4 points for akima'),
        ((RATES, QUALITIES, RATES, QUALITIES[:-1]), 'pchip', 'test: expected rates and qualities'),
        ((RATES, [30, 30, 36, 38, 40], RATES, QUALITIES), 'pchip', 'anchor_quality: expected different'),
        ((RATES, [30, 36, 33, 38, 40], RATES, QUALITIES), 'pchip', 'anchor_rate: expected rates that rise'),
        ((RATES, QUALITIES, RATES, [q + 20 for q in QUALITIES]), 'pchip', 'share no interval of quality'),
    ],
)  # fmt: skip
def test_curves_that_cannot_be_compared_are_named(curves, fit, message):
    with pytest.raises(ValueError, match=message):
        bd_rate(*curves, fit=fit)
