"""iSogCLR on long-tailed digits: which temperature does each class learn?

Command: python -m jaxsep.main --config=configs/contrastive/isogclr.py:small --workdir=runs/isogclr
Metric: train/class_frequency_spearman, of class frequency and mean learnt temperature
Measured: train/class_frequency_spearman 0.830 +- 0.021, 1 s a run, seeds 0, 1, 2

full is CIFAR-100 with an exponential imbalance of 100, the paper's script with ResNet-18.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/isogclr'
    config.make = dict(
        variant='rgcl',
        temperature=0.3,
        temperature_range=(0.05, 1.0),
        gamma=0.8,
        rho=0.5,  # the upper end of the range in the paper
        eta=0.02,
        beta=0.5,
        encoder=dict(name='mlp', widths=(256, 128)),
        projection=(64, 64),
        augment=dict(
            affine=dict(rotation=0.0, shear=0.0, scale=(1.0, 1.0), translation=0.125),
            color=dict(brightness=0.3, contrast=0.0, probability=1.0),
            noise=dict(std=(0.15, 0.15)),
            cutout=dict(size=(0.25, 0.25)),
        ),
    )
    config.data = dict(
        name='digits',
        modifiers=(dict(name='long_tail', imbalance=10.0, label='label'),),
    )
    config.batch_size = 64
    config.num_steps = 900  # about 100 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = 'constant'
    config.checkpoint_every = 900
    config.log_every = 100
    config.evals = dict(
        class_frequency=dict(label='label', output='temperature'),
        knn=dict(label='label', output='projection', k=5),
    )
    if arg == 'smoke':
        config.make.encoder.widths = (32, 16)
        config.make.projection = (8,)
        config.make.augment = dict(noise=dict(std=(0.15, 0.15)))
        config.batch_size = 32
        config.num_steps, config.log_every = 36, 3
    elif arg == 'full':
        config.make.temperature = 0.1
        config.make.rho = 0.4  # the script for CIFAR-100
        config.make.eta = 0.03
        config.make.encoder = dict(name='resnet18', small_images=True)
        config.make.projection = (512, 128)
        config.make.augment = dict(
            crop=dict(area=(0.2, 1.0)), flip=dict(), color=dict(), grayscale=dict(), blur=dict()
        )
        config.data = dict(
            name='tfds:cifar100',
            modifiers=(dict(name='long_tail', imbalance=100.0, label='label'),),
        )
        config.batch_size = 128
        config.num_steps = 33_600  # about 400 epochs
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9)
        config.optimizer.learning_rate = 0.8
        config.optimizer.schedule = 'cosine'
        config.optimizer.warmup_steps = 840
        config.optimizer.weight_decay = 5e-4
        config.evals = dict(
            class_frequency=dict(label='label', output='temperature'),
            linear_probe=dict(label='label'),
        )
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
