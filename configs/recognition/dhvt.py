"""DHVT on forty silhouettes of each of ten animals.

Command: python -m jaxsep.main --config=configs/recognition/dhvt.py:small --workdir=runs/dhvt
Metric: test/accuracy
Measured: test/accuracy 0.754 +- 0.010, 45 s a run, seeds 0, 1, 2

digits is scikit-learn's digits, 8 x 8 pixels resized to 16 x 16, forty of each. full is DHVT-T on
CIFAR-100 with the paper's optimizer and length; its RandAugment, mixup, CutMix, repeated augmentation and
average of weights are replaced by what `jaxsep.data.augment` has.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or digits."""
    config = get_defaults()
    config.method = 'recognition/dhvt'
    config.make = dict(
        width=48,
        depth=3,
        num_heads=4,
        expansion=2,
        patch_size=4,
        drop_path=0.0,
        parts=('overlap', 'aggregate', 'heads'),
        encoder={},
        image_size=0,
    )
    config.data = dict(
        name='animals',
        test_fraction=0.2,
        seed=0,
        modifiers=(dict(name='few_shots', first=0, shots=40),),
    )
    config.batch_size = 32
    config.num_steps = config.checkpoint_every = 400
    config.optimizer.name = 'adamw'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.05
    config.optimizer.schedule = 'cosine'
    config.evals = dict(accuracy={})
    if arg in ('digits', 'smoke'):
        config.make.image_size = 16
        config.data.name = 'digits'
        config.data.test_fraction = 0.5
    if arg == 'smoke':
        config.make.width, config.make.depth, config.make.num_heads = 8, 2, 2
        config.make.drop_path, config.make.label_smoothing = 0.2, 0.1
        config.make.image_size = 8
        config.batch_size = 16
        config.num_steps = config.checkpoint_every = 40
        config.log_every = 5
    elif arg == 'full':
        config.make.update(width=192, depth=12, expansion=4, drop_path=0.1, label_smoothing=0.1)
        config.make.pixel_mean = (0.507, 0.487, 0.441)
        config.make.pixel_std = (0.267, 0.256, 0.276)
        config.make.augment = dict(
            affine=dict(rotation=15.0, shear=0.0, scale=(0.8, 1.2), translation=0.125),
            flip={},
            color={},
            cutout={},
        )
        config.data = dict(name='tfds:cifar100')
        config.batch_size = 512
        config.num_steps = 29_100  # 300 epochs
        config.checkpoint_every, config.log_every = 970, 97  # 10 epochs, 1 epoch
        config.optimizer.warmup_steps = 485  # 5 epochs
    elif arg not in ('small', 'digits'):
        raise ValueError(f"arg: expected 'smoke', 'small', 'full' or 'digits', got {arg!r}")
    return config
