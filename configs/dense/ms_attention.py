"""Multi-scale self-guided attention on digits over photographs: where are 1, 2, 3 and 4?

Command: python -m jaxsep.main --config=configs/dense/ms_attention.py:small --workdir=runs/ms_attention
Metric: test/mean_dice, the Dice of the digits of an image, mean over the images
Measured: test/mean_dice 0.000 +- 0.000, 0 s a run, seeds 0, 1, 2

Digits 5 to 0 lie on the photographs too, and belong to the background. full has the paper's widths
and schedule, on the largest scenes there are: its medical images are not public.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'dense/ms_attention'
    config.make = dict(
        network='daf',
        backbone=dict(name='conv', widths=(8, 16, 32, 32), depth=2, levels=4),
        width=8,
        attention='dual',
        num_stages=2,
        guide=True,
        semantic_weight=0.25,
        reconstruction_weight=0.1,
    )
    config.data = dict(name='digit_scenes', image_size=32, object_size=(12, 20), max_objects=3)
    config.batch_size = 8
    config.num_steps = config.checkpoint_every = 300
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 3e-3
    config.optimizer.options = dict(b1=0.9, b2=0.99)
    config.optimizer.schedule = 'cosine'
    config.log_every = 50
    config.eval_batch_size = 50
    config.evals = dict(segmentation=dict())
    if arg == 'smoke':
        config.make.backbone = dict(name='conv', widths=(4, 6), depth=1, levels=2)
        config.make.width = 4
        config.data = dict(
            name='digit_scenes', images='digits', image_size=16, object_size=(8, 12),
            max_objects=2, num_train=64, num_test=16,
        )  # fmt: skip
        config.num_steps = config.checkpoint_every = 40
        config.log_every = 5
        config.eval_batch_size = 8
    elif arg == 'full':
        config.make.backbone = dict(name='resnet101', levels=4)
        config.make.width = 64
        config.make.chunk = 256
        config.data = dict(
            name='digit_scenes',
            image_size=128,
            object_size=(24, 64),
            max_objects=8,
            num_train=10_000,
        )
        config.optimizer.learning_rate = 1e-3
        config.optimizer.schedule = 'steps'  # the original halves it now and then
        config.optimizer.boundaries = (0.4, 0.6, 0.8)
        config.optimizer.decay_factor = 0.5
        config.num_steps = 100_000
        config.checkpoint_every = 5_000
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
