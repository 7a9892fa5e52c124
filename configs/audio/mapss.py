"""MAPSS on spoken prompts with leakage or noise at known levels.

Command: python -m jaxsep.main --config=configs/audio/mapss.py:small --workdir=runs/mapss
Metric: ps_noise_above_leakage_10dB, PS under noise above PS under leakage of the same SI-SDR, 10 dB
Measured: ps_noise_above_leakage_10dB 0.191 +- 0.020, 0 s a run, seeds 0, 1, 2

Nothing is fitted, which takes the 0 s; scoring takes half a minute. The evaluation gives test/ps, test/pm
and both for each condition. full takes every frame, all kinds of distortions and 100 pairs; the paper's
listening data are not free, nor are its encoders here.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'audio/mapss'
    config.make = dict(every=4, encoder='raw', alpha=1.0, cutoff=0.99, delta=0.05)
    config.data = dict(
        name='voice_leakage', levels=(30.0, 20.0, 10.0, 0.0), num_pairs=5, seconds=1.5, seed=0
    )
    config.batch_size = 8
    config.eval_batch_size = 9  # all conditions of a pair: its references are distorted once
    config.evals = dict(mapss=dict(label='condition'))
    if arg == 'smoke':
        config.make.every = 8
        config.make.kinds = ('comb', 'tremolo', 'clipping')
        config.data.sources, config.data.levels = 'computed', (10.0,)
        config.data.num_pairs = 3
        config.data.seconds = 0.5
    elif arg == 'full':
        config.make.every = 1
        config.make.kinds = (
            'notch', 'comb', 'tremolo', 'noise', 'harmonic', 'reverb', 'noisegate',
            'pitch_shift', 'lowpass', 'highpass', 'echo', 'clipping', 'vibrato',
        )  # fmt: skip
        config.data.num_pairs = 100
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
