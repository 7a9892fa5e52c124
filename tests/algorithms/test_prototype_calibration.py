import json

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.algorithms.class_means import empty, means, update
from jaxsep.algorithms.prototype_calibration import calibrate, resemblance
from jaxsep.losses.contrastive import cosine_similarities
from jaxsep.metrics.incremental import harmonic_mean

compiled, cosines = jax.jit(calibrate), jax.jit(cosine_similarities)


@pytest.mark.parametrize('case', ['a', 'b'])
def test_prototypes_and_logits_after_every_session_agree_with_the_original(golden, case):
    data = {k.removeprefix(f'{case}/'): v for k, v in golden('teen').items() if k.startswith(case)}
    meta = json.loads(str(data['meta']))
    base, way = meta['base'], meta['way']
    prototypes = data['base_protos']
    for session in range(meta['sessions']):
        shots, labels = data['shots'][session], data['shot_labels'][session]
        state = jax.jit(update, static_argnames='normalize')(
            empty(base + (session + 1) * way, 6), shots, labels.astype(np.int32), normalize=False
        )
        new = compiled(
            means(state)[-way:], data['base_protos'],
            softmax_scale=meta['softmax_t'], shift=meta['shift_weight'],
        )  # fmt: skip
        prototypes = np.concatenate([prototypes, new])
        logits = meta['temperature'] * cosines(data['test_feat'], prototypes)
        np.testing.assert_allclose(
            logits, data[f'logits_session{session + 1}'], rtol=1e-4, atol=1e-4
        )
    np.testing.assert_allclose(prototypes, data['final_weights'], rtol=1e-5, atol=1e-6)


def test_harmonic_means_agree_with_the_original(golden):
    data = golden('teen')
    ours = [
        harmonic_mean(s, u)
        for s, u in zip(data['harmonic/seen'], data['harmonic/unseen'], strict=True)
    ]
    np.testing.assert_allclose(ours, data['harmonic/hmean'], atol=5e-4)  # three decimals there


def rows(seed, n, d=5):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_agrees_with_loops_in_float64_and_has_exact_gradients(float64):
    new, base = rows(0, 3).astype(float), rows(1, 4).astype(float)
    want = []
    for p in new:
        p = p / np.linalg.norm(p)
        units = [b / np.linalg.norm(b) for b in base]
        weights = np.exp([8.0 * (p @ b) for b in units])
        mixture = sum(w * b for w, b in zip(weights / weights.sum(), units, strict=True))
        want.append(0.7 * p + 0.3 * mixture / np.linalg.norm(mixture))
    shifted = jax.jit(lambda new, base: calibrate(new, base, softmax_scale=8.0, shift=0.3))
    np.testing.assert_allclose(shifted(new, base), want, rtol=1e-12)
    check_grads(shifted, (new, base), order=1, modes=('rev',))


def test_no_shift_keeps_the_direction_and_a_whole_shift_forgets_it():
    new, base = rows(2, 3), rows(3, 4)
    unit = new / np.linalg.norm(new, axis=1, keepdims=True)
    np.testing.assert_allclose(compiled(new, base, shift=0.0), unit, rtol=1e-5, atol=1e-6)
    one = compiled(new, base[:1], shift=1.0)  # a single base class is the whole mixture
    np.testing.assert_allclose(one, np.repeat(base[:1] / np.linalg.norm(base[:1]), 3, 0), rtol=1e-5)


def test_lengths_of_the_means_and_the_company_do_not_matter():
    new, base = rows(4, 3), rows(5, 4)
    stretched = compiled(new * np.float32([[2], [9], [0.1]]), base * np.float32(7.0))
    np.testing.assert_allclose(stretched, compiled(new, base), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        compiled(new[:1], base), compiled(new, base)[:1], rtol=1e-5, atol=1e-6
    )


def test_resemblance_sums_to_one_and_extreme_scales_stay_finite():
    new, base = rows(6, 3), rows(7, 4)
    for scale in (0.0, 16.0, 1e4):
        weights = jax.jit(resemblance)(new, base, scale)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
        assert np.isfinite(compiled(new, base, softmax_scale=scale)).all()
    zero = compiled(np.zeros((3, 5), np.float32), base)
    assert np.isfinite(zero).all()
