"""Multi-scale self-guided attention on few scenes with emoji: where are the faces, and which are they?

Command: python -m jaxsep.main --config=configs/dense/ms_attention.py:small --workdir=runs/ms_attention
Metric: test/mean_dice, the Dice of the faces of an image, mean over the images
Measured: test/mean_dice 0.784 +- 0.030, 84 s a run, seeds 0, 1, 2

The four faces are yellow discs of different eyes and mouths: what a pixel at the border belongs to is
told by pixels far from it. As in the paper, the finest maps have a quarter of the image's
resolution. full has its widths and schedule, on the largest scenes there are: the medical
images of the paper are not public.
"""

from configs.defaults import get_defaults

FACES = (
    'smiling face with sunglasses',
    'smiling face with heart-eyes',
    'face with medical mask',
    'loudly crying face',
)


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'dense/ms_attention'
    config.make = dict(
        network='daf',
        backbone=dict(name='conv', widths=(8, 16, 32, 32), depth=1, levels=3),
        width=8,
        attention='dual',
        num_stages=2,
        guide=True,
        semantic_weight=0.25,
        reconstruction_weight=0.1,
        unet_widths=(12, 24, 48, 96),  # as many parameters
    )
    config.data = dict(
        name='scenes', image_size=32, num_train=200, num_test=200, label='item', classes=FACES,
        max_objects=2, object_size=(14, 24), seed=0,
    )  # fmt: skip
    config.batch_size = 8
    config.num_steps = config.checkpoint_every = 400
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-2
    config.optimizer.options = dict(b1=0.9, b2=0.99)
    config.optimizer.schedule = 'cosine'
    config.log_every = 20
    config.eval_batch_size = 50
    config.evals = dict(segmentation=dict())
    if arg == 'smoke':
        config.make.backbone = dict(name='conv', widths=(4, 6), depth=1, levels=2)
        config.make.width, config.make.num_stages = 4, 1
        config.data = dict(
            name='digit_scenes', images='digits', image_size=16, object_size=(8, 12),
            max_objects=2, num_train=64, num_test=16,
        )  # fmt: skip
        config.num_steps = config.checkpoint_every = 20
        config.log_every = 4
        config.eval_batch_size = 8
    elif arg == 'full':
        config.make.backbone = dict(name='resnet101', levels=4)
        config.make.width = 64
        config.make.chunk = 256
        config.data.update(
            image_size=128, object_size=(24, 96), max_objects=8, num_train=10_000, num_test=1000
        )
        config.optimizer.learning_rate = 1e-3
        config.optimizer.schedule = 'steps'  # the original halves it now and then
        config.optimizer.boundaries = (0.4, 0.6, 0.8)
        config.optimizer.decay_factor = 0.5
        config.num_steps = 100_000
        config.checkpoint_every = 5_000
        config.log_every = 500
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
