"""SimCLR on the glyphs of twelve typefaces, tested on characters it has never seen.

Command: python -m jaxsep.main --config=configs/contrastive/simclr.py:small --workdir=runs/simclr
Metric: test/recall@1, the mean over the 132 ordered pairs of faces
Measured: test/recall@1 0.803 +- 0.004, 119 s a run, seeds 0, 1, 2

full is ImageNet with ResNet-50, the paper's recipe at batch 4096 (sections 2.2 and 2.3).
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/simclr'
    config.make = dict(
        temperature=0.1,
        encoder=dict(name='conv', widths=(32, 64, 128), features=512),
        projection=(128,),
        augment=dict(
            crop=dict(area=(0.85, 1.0), ratio=(0.7, 1.43)),
            affine=dict(rotation=2.0, shear=12.0, scale=(0.92, 1.1), translation=0.03),
            thickness=dict(sigma=(0.4, 1.6), level=(0.1, 0.7), softness=(0.2, 0.7)),
        ),
    )
    config.data = dict(name='glyphs', test_fraction=0.25)
    config.batch_size = 256
    config.num_steps = 900
    config.optimizer.learning_rate = 4e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.warmup_steps = 30
    config.checkpoint_every = 450
    config.evals = dict(
        retrieval=dict(label='character', across='face', ks=(1, 5)),
        knn=dict(label='script'),
        linear_probe=dict(label='script'),
    )
    if arg == 'smoke':
        config.make.encoder = dict(name='conv', widths=(8, 16), features=16)
        config.make.projection = (16, 8)
        config.make.augment = dict(affine=dict(rotation=5.0, shear=12.0))
        config.data.image_size = 8
        config.batch_size = 16
        config.num_steps, config.log_every = 40, 5
        config.optimizer.warmup_steps = 0
        config.evals = dict(retrieval=dict(label='character', across='slant', ks=(1,)))
    elif arg == 'full':
        config.make.temperature = 0.1
        config.make.encoder = dict(name='resnet50')
        config.make.projection = (2048, 128)
        config.make.augment = dict(
            crop=dict(area=(0.08, 1.0)), flip=dict(), color=dict(), grayscale=dict(), blur=dict()
        )
        config.data = dict(name='tfds:imagenet2012', test='validation', image_size=224)
        config.batch_size = 4096
        config.num_steps = 31_250  # 100 epochs
        config.optimizer.name = 'lars'
        config.optimizer.learning_rate = 4.8
        config.optimizer.weight_decay = 1e-6
        config.optimizer.warmup_steps = 3_125
        config.evals = dict(knn=dict(label='label', k=20), linear_probe=dict(label='label'))
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
