import numpy as np
import pytest

from jaxsep.metrics.separation import (
    Delays,
    bss_eval,
    energy_ratio,
    sdr,
    sdr_improvement,
    segmental_snr,
    si_sdr,
)


@pytest.mark.parametrize(('name', 'length'), [('mir_eval_L512', 512), ('fast_L32', 32), ('si', 1)])
def test_bss_eval_is_that_of_mir_eval_and_fast_bss_eval(golden, name, length):
    g = golden('shared_audio')
    found = bss_eval(g['bss/ref'], g['bss/est'], filter_length=length)
    for criterion in ('sdr', 'sir', 'sar'):
        np.testing.assert_allclose(
            getattr(found, criterion), g[f'bss/{name}/{criterion}'], rtol=0, atol=1e-6
        )
    np.testing.assert_array_equal(found.permutation, g[f'bss/{name}/perm'])


def test_projection_is_least_squares_on_the_delayed_signals():
    rng = np.random.default_rng(0)
    x, y, length = rng.normal(size=(2, 20)), rng.normal(size=20), 4
    columns = []
    for signal in x:
        for delay in range(length):
            columns.append(np.pad(signal, (delay, length - 1 - delay)))
    basis = np.stack(columns, axis=1)
    target = np.pad(y, (0, length - 1))
    want = basis @ np.linalg.lstsq(basis, target, rcond=None)[0]
    np.testing.assert_allclose(Delays(x, length).project(y), want, atol=1e-10)


def test_filtered_reference_is_no_distortion_within_the_filter_and_one_beyond():
    rng = np.random.default_rng(1)
    references = rng.normal(size=(2, 400))
    delayed = np.pad(references, ((0, 0), (3, 0)))[:, :400]
    assert (bss_eval(references, delayed, filter_length=8).sdr > 15).all()  # all but the end
    assert (bss_eval(references, delayed, filter_length=2).sdr < 0).all()


def test_interference_and_artifacts_are_told_apart():
    rng = np.random.default_rng(2)
    references, noise = rng.normal(size=(2, 2, 500))
    leaking = references + 0.1 * references[::-1]
    noisy = references + 0.1 * noise
    a, b = (bss_eval(references, x, filter_length=1) for x in (leaking, noisy))
    np.testing.assert_allclose(a.sir, 20, atol=1.0)
    np.testing.assert_allclose(b.sar, 20, atol=1.0)
    assert (a.sar > 100).all() and (b.sir > 30).all()


def test_permutation_is_found_and_can_be_forbidden():
    rng = np.random.default_rng(3)
    references = rng.normal(size=(3, 300))
    estimates = (references + 0.1 * rng.normal(size=references.shape))[[2, 0, 1]]
    found = bss_eval(references, estimates, filter_length=2)
    assert found.permutation.tolist() == [1, 2, 0] and (found.sdr > 15).all()
    fixed = bss_eval(references, estimates, filter_length=2, permute=False)
    assert fixed.permutation.tolist() == [0, 1, 2] and (fixed.sdr < 0).all()


def test_one_source_has_no_interference():
    rng = np.random.default_rng(4)
    references = rng.normal(size=(1, 100))
    estimates = references + 0.1 * rng.normal(size=(1, 100))
    found = bss_eval(references, estimates, filter_length=3)
    assert found.sir[0] > 200 and found.sdr[0] == pytest.approx(found.sar[0])


def test_plain_sdr_is_that_of_the_released_code(golden):
    g = golden('shared_audio')
    ref, est, mix = g['plain/ref'], g['plain/est'], g['plain/mix']
    np.testing.assert_allclose(sdr(ref, est), g['plain/sdr'], atol=1e-9)
    np.testing.assert_allclose(sdr_improvement(ref, est, mix), g['plain/sdri'], atol=1e-9)
    np.testing.assert_allclose(sdr(0 * ref, est), g['plain/sdr_silent_ref'], atol=1e-9)
    np.testing.assert_allclose(sdr(ref, ref), g['plain/sdr_perfect'], atol=1e-9)


def test_si_sdr_is_bss_eval_of_one_source_without_delay():
    rng = np.random.default_rng(5)
    references = rng.normal(size=(4, 50))
    estimates = 2 * references + rng.normal(size=(4, 50))
    want = [
        bss_eval(r[None], e[None], filter_length=1).sdr[0]
        for r, e in zip(references, estimates, strict=True)
    ]
    np.testing.assert_allclose(si_sdr(references, estimates), want, rtol=1e-9)
    np.testing.assert_allclose(si_sdr(references, -3 * estimates), want, rtol=1e-9)


def test_silence_is_finite():
    silent, loud = np.zeros((2, 10)), np.ones((2, 10))
    for s in (silent, loud):
        for e in (silent, loud):
            assert np.isfinite(sdr(s, e)).all() and np.isfinite(si_sdr(s, e)).all()
    assert (sdr(silent, silent) == 0).all()


def test_segmental_snr_is_that_of_pysepm(golden):
    g = golden('shared_audio')
    clean, proc, fs = g['ssnr/clean'], g['ssnr/proc'], int(g['ssnr/fs'])
    np.testing.assert_allclose(segmental_snr(clean, proc, fs), g['ssnr/value'], atol=1e-9)
    np.testing.assert_allclose(
        segmental_snr(clean, clean, fs), g['ssnr/value_identical'], atol=1e-9
    )


def test_segmental_snr_is_the_equation_frame_by_frame():
    rng = np.random.default_rng(6)
    s, rate = rng.normal(size=700), 4000
    e = s + 0.3 * rng.normal(size=700)
    size, hop, eps = 120, 30, np.finfo(float).eps
    values = []
    for begin in range(0, 700 - size + 1, hop):
        window = [0.5 * (1 - np.cos(2 * np.pi * k / (size + 1))) for k in range(1, size + 1)]
        a, b = s[begin : begin + size] * window, (s - e)[begin : begin + size] * window
        values.append(np.clip(10 * np.log10(a @ a / (b @ b + eps) + eps), -10, 35))
    np.testing.assert_allclose(segmental_snr(s, e, rate), np.mean(values[:-1]), rtol=1e-10)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x: bss_eval(x, x[:, :-1]), 'estimates: expected'),
        (lambda x: bss_eval(x, x, filter_length=0), 'filter_length: expected at least 1'),
        (lambda x: bss_eval(x * [[0], [1]], x), 'references: expected no silent signal'),
        (lambda x: bss_eval(x, x * [[0], [1]]), 'estimates: expected no silent signal'),
        (lambda x: sdr(x, x[:, 1:]), 'estimates: expected samples'),
        (lambda x: si_sdr(x, x[:1]), 'estimates: expected samples'),
        (lambda x: segmental_snr(x[0], x[0, 1:], 8000), 'estimate: expected'),
        (lambda x: segmental_snr(x[0], x[0], 8000), 'reference: expected two frames of 240'),
    ],
)
def test_bad_arguments_are_named(call, message):
    signals = np.random.default_rng(7).normal(size=(2, 60))
    with pytest.raises(ValueError, match=message):
        call(signals)


def test_the_energy_ratio_of_single_precision_is_a_finite_float():
    signal = np.full(4, 1e30, np.float32)
    found = energy_ratio(signal, np.float32(1e-25) * signal)
    assert isinstance(found, float)
    np.testing.assert_allclose(found, 500.0, rtol=1e-5)
