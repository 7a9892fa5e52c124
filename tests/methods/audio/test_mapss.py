"""MAPSS as a method of the tree: scores of rows, from inside a compiled program."""

import jax
import numpy as np
import pytest

from jaxsep.algorithms.mapss import mapss
from jaxsep.methods.audio.mapss import make

OPTIONS = {'every': 8, 'kinds': ('comb', 'tremolo', 'noisegate', 'clipping')}


def batch():
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 16_000
    sound = np.sign(np.sin(2 * np.pi * np.array([[110], [190]]) * time))
    truth = np.stack([sound, sound[::-1], sound]) + 0.05 * rng.standard_normal((3, 2, 8000))
    truth[2, 1] = 0  # nothing to score
    gain = np.array([0.1, 0.7, 0.1])[:, None, None]
    return {
        'true_waveform': truth.astype(np.float32),
        'waveform': (truth + gain * truth[:, ::-1]).astype(np.float32),
        'index': np.arange(3, dtype=np.int32),
    }


def test_rows_have_the_means_of_their_frames():
    method, rows = make(**OPTIONS), batch()
    fitted = method.fit(jax.random.key(0), rows)
    found = jax.jit(method.outputs)(fitted, rows)
    for i in range(2):
        expected = mapss(
            rows['true_waveform'][i], rows['waveform'][i], float64=False, **OPTIONS
        )  # fmt: skip
        np.testing.assert_array_equal(found['frames'][i], expected.scored.sum(axis=0))
        for name in ('ps', 'pm', 'ps_bias', 'ps_prob', 'pm_bias', 'pm_prob'):
            mean = np.nanmean(getattr(expected, name), axis=0)
            np.testing.assert_allclose(found[name][i], mean, atol=1e-3, err_msg=name)
    assert not any(np.any(np.asarray(value[2])) for value in found.values())
    assert np.all(found['ps'][0] > found['ps'][1])


def test_arguments_of_the_callback_are_so_small_that_one_core_does_not_wait_for_ever():
    program = jax.make_jaxpr(make(**OPTIONS).outputs)(None, batch())
    call = next(x for x in program.eqns if x.primitive.name == 'pure_callback')
    assert len(call.invars) > 1 and max(x.aval.size * 4 for x in call.invars) < 100_000


@pytest.mark.parametrize(
    ('options', 'name'),
    [
        ({'every': 0}, 'every'),
        ({'kinds': ('flanger',)}, 'kinds'),
        ({'encoder': 'wav2vec2'}, 'encoder'),
        ({'alpha': -1.0}, 'alpha'),
        ({'time': 0}, 'time'),
        ({'cutoff': 0.0}, 'cutoff'),
        ({'delta': 1.0}, 'delta'),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=f'^{name}: expected'):
        make(**options)


def test_rows_without_two_sources_are_refused_when_fitting():
    rows = {name: value[:, :1] if value.ndim > 1 else value for name, value in batch().items()}
    with pytest.raises(ValueError, match='^references, outputs: expected the same'):
        make(**OPTIONS).fit(jax.random.key(0), rows)
