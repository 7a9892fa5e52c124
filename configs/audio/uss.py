"""Separate any of six kinds of sounds after hearing clips with one tag each.

Command: python -m jaxsep.main --config=configs/audio/uss.py:small --workdir=runs/uss
Metric: test/sdri, gain of SDR over the mixture in dB, mean over kinds of medians over unseen mixtures
Measured: test/sdri 6.057 +- 0.201, 91 s a run, seeds 0, 1, 2

smoke: four computed kinds, clips of 0.3 s. small: speech, music and drums as recorded, chirps, noise and
plucked strings as computed, half a second of sound somewhere in 1.5 s at 8 kHz. full: network,
segments, clips and optimizer of the paper, for one accelerator, on these sounds: AudioSet
is not in TFDS.
"""

from configs.defaults import get_defaults

KINDS = ('speech', 'music', 'drums', 'chirp', 'noise', 'pluck')


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'audio/uss'
    config.make = dict(
        stage='separator',
        tagger=dict(n_fft=256, hop=80, bands=32, widths=(8, 16, 32)),
        separator=dict(n_fft=256, hop=128, widths=(8, 16, 32), pools=((2, 4), (2, 2), (2, 2))),
        anchor_seconds=0.5,
        mining='anchor',
        query='tags',
        branches=((0,), (1, 2, 5), (3, 4)),
        threshold=0.2,
    )
    config.make.separator.momentum = 0.9
    config.data = dict(name='sound_events', kinds=KINDS, num_train=200, num_test=40, seed=0)
    config.batch_size = 8
    config.eval_batch_size = 32
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 3e-3
    config.optimizer.schedule = 'cosine'
    config.log_every = 20
    tagger_rate = 5e-3
    steps = dict(tagger=600, separator=400)
    if arg == 'smoke':
        config.make.tagger = dict(n_fft=64, hop=40, bands=8, widths=(8,))
        config.make.separator = dict(n_fft=32, hop=16, widths=(4,), pools=((2, 2),))
        config.make.anchor_seconds = 0.1
        config.make.branches = ((0, 1), (2,), (3,))
        config.data = dict(
            name='sound_events',
            kinds=('chirp', 'noise', 'clicks', 'chord'),
            num_train=16,
            num_test=4,
            seconds=0.3,
            event_seconds=0.1,
            seed=0,
        )
        config.batch_size = 16
        config.optimizer.learning_rate = tagger_rate = 1e-2
        config.log_every = 5
        steps = dict(tagger=40, separator=20)
    elif arg == 'full':
        config.make.tagger = dict(n_fft=1024, hop=320, bands=64, widths=(64, 128, 256, 512))
        config.make.separator = dict(n_fft=2048, hop=320)
        config.make.anchor_seconds = 2.0
        config.data.update(num_train=2000, num_test=100, seconds=10.0, event_seconds=2.0)
        config.batch_size = 16
        tagger_rate = 1e-3
        config.optimizer.learning_rate = 1e-6  # times 10 at 10, 20 and 30 thousand steps
        config.optimizer.schedule = 'steps'
        config.optimizer.boundaries = (0.01, 0.02, 0.03)
        config.optimizer.decay_factor = 10.0
        config.log_every = 1000
        steps = dict(tagger=20_000, separator=1_000_000)
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    branches = config.make.branches
    config.stages = (
        dict(
            name='tagger',
            make=dict(stage='tagger'),
            num_steps=steps['tagger'],
            checkpoint_every=steps['tagger'],
            optimizer=dict(learning_rate=tagger_rate, schedule='cosine'),
            evals=dict(accuracy=dict()),
            evals_while_training=('accuracy',),
            eval_every=steps['tagger'],
        ),
        dict(
            name='separator',
            num_steps=steps['separator'],
            checkpoint_every=min(steps['separator'], 10_000),
            evals=dict(
                separation=dict(outputs=('waveform', 'wrong'), label='true_classes'),
                branch_silence=dict(branches=branches),
            ),
        ),
    )
    return config
