"""At which resolution should an object be learnt? FSAF on emoji pasted on photographs.

Command: python -m jaxsep.main --config=configs/detection/fsaf.py:small --workdir=runs/fsaf
Metric: test/ap, average precision of boxes, mean over IoU from 0.5 to 0.95
Measured: test/ap 0.462 +- 0.004, 55 s a run, seeds 0, 1, 2

full is the paper's recipe on COCO, as TFDS prepares it (coco/2017), from scratch in place of weights
from ImageNet; images are squares of 800 pixels, with zeros below or to the right.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'detection/fsaf'
    config.make = dict(
        label='true_classes',
        head='anchor_free',
        level_choice='online',
        backbone=dict(name='conv', widths=(16, 32, 48, 64), depth=1, levels=3),
        num_levels=3,
        width=32,
        depth=1,
        deviation=0.0,
        groups=8,
        base_scale=2.0,
        heuristic=(1, 12.0),
        max_detections=20,
        candidates=100,
    )
    config.data = dict(
        name='scenes',
        image_size=48,
        num_train=1500,
        num_test=300,
        label='item',
        classes=(
            'red apple',
            'dog face',
            'soccer ball',
            'sunflower',
        ),
        max_objects=3,
        object_size=(8, 36),
        seed=0,
    )
    config.batch_size = 32
    config.num_steps = 400
    config.optimizer.name = 'adamw'
    config.optimizer.learning_rate = 3e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.warmup_steps = 30
    config.optimizer.schedule = 'cosine'
    config.optimizer.clip_norm = 10.0
    config.log_every = 20
    config.checkpoint_every = 100_000
    config.evals = dict(detection=dict(sizes=(12.0, 24.0)))
    if arg == 'smoke':
        config.make.backbone = dict(name='conv', widths=(8, 8, 16), depth=1, levels=2)
        config.make.num_levels = 2
        config.make.width, config.make.groups = 8, 4
        config.make.head = 'joint'
        config.data = dict(
            name='scenes', drawings='digits', classes=('0', '1', '2', '3'), image_size=32,
            num_train=64, num_test=16, max_objects=3, object_size=(8, 24),
        )  # fmt: skip
        config.make.max_detections, config.make.candidates = 5, 20
        config.batch_size = config.eval_batch_size = 16
        config.num_steps = config.checkpoint_every = 20
        config.optimizer.warmup_steps = 0
        config.log_every = 4
    elif arg == 'full':
        config.make = dict(label='true_classes', backbone=dict(name='resnet50'))
        config.data = dict(
            name='tfds:coco/2017', test='validation', image_size=800, fit='pad', max_objects=100
        )
        config.batch_size = 16
        config.eval_batch_size = 16
        config.num_steps = 90_000  # 12 epochs
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9)
        config.optimizer.learning_rate = 0.01
        config.optimizer.warmup_steps = 500
        config.optimizer.schedule = 'steps'
        config.optimizer.boundaries = (2 / 3, 11 / 12)
        config.log_every = 50
        config.checkpoint_every = 7500
        config.evals = dict(detection=dict())
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
