"""ULSAM in a small mobile network that finds and reads digits among clutter.

Command: python -m jaxsep.main --config=configs/recognition/ulsam.py:small --workdir=runs/ulsam
Metric: test/accuracy
Measured: test/accuracy 0.622 +- 0.036, 66 s a run, seeds 0, 1, 2

animals is the same network on silhouettes of ten animals. full is MobileNetV2 on Food-101 with one layer
of 96 and one of 160 channels replaced; epochs, rate and its steps are the paper's as far as known.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or animals."""
    config = get_defaults()
    config.method = 'recognition/ulsam'
    config.make = dict(network='small', places=(7, 8), change='replace', num_splits=4)
    config.data = dict(
        name='cluttered_digits',
        seed=0,
        digit_size=(13, 18),
        num_pieces=4,
        noise=0.1,
        num_train=6000,
    )
    config.batch_size = 32
    config.num_steps = config.checkpoint_every = 940  # 5 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = 'cosine'
    config.evals = dict(accuracy={})
    if arg == 'animals':
        config.data = dict(name='animals', seed=0)
    elif arg == 'smoke':
        config.make.update(network='tiny', places=(4,), label='family', label_smoothing=0.1)
        config.data = dict(name='glyphs', image_size=16)
        config.batch_size = 8
        config.num_steps = config.checkpoint_every = 40
        config.log_every = 5
        config.evals = dict(accuracy=dict(label='family'))
    elif arg == 'full':
        config.make.update(network='mobilenet_v2', places=(14, 17))
        config.make.augment = dict(crop=dict(area=(0.08, 1.0)), flip={})
        config.data = dict(name='tfds:food101', test='validation', image_size=224)
        config.batch_size = 128
        config.num_steps = 88_650  # 150 epochs
        config.checkpoint_every, config.log_every = 5_910, 591  # 10 epochs, 1 epoch
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9)
        config.optimizer.learning_rate = 0.1
        config.optimizer.weight_decay = 4e-5
        config.optimizer.schedule = 'steps'
        config.optimizer.boundaries = (1 / 3, 2 / 3)
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small', 'full' or 'animals', got {arg!r}")
    return config
