"""BYOL on handwritten digits.

Command: python -m jaxsep.main --config=configs/contrastive/byol.py:small --workdir=runs/byol
Metric: test/knn_accuracy, 5 nearest neighbours in the 12 features of the encoder
Measured: test/knn_accuracy 0.942 +- 0.005, 6 s a run, seeds 0, 1, 2

full is ImageNet with ResNet-50, the paper's recipe (section 3.3); the two views share one recipe
of augmentation.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/byol'
    config.make = dict(
        prediction=(128, 64),
        momentum=0.99,
        momentum_steps=config.get_ref('num_steps'),
        encoder=dict(name='mlp', widths=(256, 12)),
        projection=(128, 64),
        augment=dict(
            affine=dict(rotation=0.0, shear=0.0, scale=(1.0, 1.0), translation=0.125),
            color=dict(brightness=0.3, contrast=0.0, probability=1.0),
            noise=dict(std=(0.15, 0.15)),
            cutout=dict(size=(0.25, 0.25)),
        ),
    )
    config.data = dict(name='digits', test_fraction=0.28)
    config.batch_size = 128
    config.num_steps = 1200  # 120 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = 'constant'
    config.checkpoint_every = 1200
    config.log_every = 100
    config.evals = dict(knn=dict(label='label', output='embedding', k=5))
    if arg == 'smoke':
        config.make.encoder.widths = (32, 16)
        config.make.projection = config.make.prediction = (16, 8)
        config.make.augment = dict(noise=dict(std=(0.15, 0.15)))
        config.batch_size = 32
        config.num_steps, config.log_every = 24, 3
    elif arg == 'full':
        config.make.encoder = dict(name='resnet50')
        config.make.projection = config.make.prediction = (4096, 256)
        config.make.momentum = 0.996
        config.make.augment = dict(
            crop=dict(area=(0.08, 1.0)), flip=dict(), color=dict(), grayscale=dict(), blur=dict()
        )
        config.data = dict(name='tfds:imagenet2012', test='validation', image_size=224)
        config.batch_size = 4096
        config.num_steps = 312_000  # 1000 epochs
        config.optimizer.name = 'lars'
        config.optimizer.learning_rate = 3.2
        config.optimizer.schedule = 'cosine'
        config.optimizer.weight_decay = 1.5e-06
        config.optimizer.warmup_steps = 3_120
        config.evals = dict(knn=dict(label='label', k=20), linear_probe=dict(label='label'))
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
