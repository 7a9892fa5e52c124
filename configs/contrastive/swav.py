"""SwAV on handwritten digits.

Command: python -m jaxsep.main --config=configs/contrastive/swav.py:small --workdir=runs/swav
Metric: test/knn_accuracy, 5 nearest neighbours in the 12 features of the encoder
Measured: test/knn_accuracy 0.961 +- 0.006, 7 s a run, seeds 0, 1, 2

full is ImageNet with ResNet-50, the paper's recipe for 800 epochs (section 4.1, appendix A) with
two large crops and six small ones.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/swav'
    config.make = dict(
        num_prototypes=64,
        temperature=0.1,
        eps=0.05,
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
        config.make.projection = (8,)
        config.make.num_prototypes = 16
        config.make.augment = dict(noise=dict(std=(0.15, 0.15)))
        config.batch_size = 32
        config.num_steps, config.log_every = 24, 3
    elif arg == 'full':
        config.make.encoder = dict(name='resnet50')
        config.make.projection = (2048, 128)
        config.make.num_prototypes = 3000
        config.make.augment = dict(
            crop=dict(area=(0.14, 1.0)), flip=dict(), color=dict(), grayscale=dict(), blur=dict()
        )
        config.make.num_small = 6
        config.make.augment_small = dict(
            crop=dict(area=(0.05, 0.14)), flip=dict(), color=dict(), grayscale=dict(), blur=dict()
        )
        config.data = dict(name='tfds:imagenet2012', test='validation', image_size=224)
        config.batch_size = 4096
        config.num_steps = 249_600  # 800 epochs
        config.optimizer.name = 'lars'
        config.optimizer.learning_rate = 4.8
        config.optimizer.schedule = 'cosine'
        config.optimizer.weight_decay = 1e-06
        config.optimizer.warmup_steps = 3_120
        config.evals = dict(knn=dict(label='label', k=20), linear_probe=dict(label='label'))
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
