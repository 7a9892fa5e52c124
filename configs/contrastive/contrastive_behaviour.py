"""What the temperature of a contrastive loss does, on handwritten digits.

Command: python -m jaxsep.main --config=configs/contrastive/contrastive_behaviour.py:small
    --workdir=runs/contrastive_behaviour
Metric: test/knn_accuracy, 5 nearest neighbours in the projection space
Measured: test/knn_accuracy 0.965 +- 0.001, 3 s a run, seeds 0, 1, 2

full is the paper's run on CIFAR-10 (section 5): ResNet-18, one view contrasted with a memory
bank, 200 epochs; augmentations and momentum of the bank as in the code of Wu et al. (2018),
with flips. The hard losses keep 4095 of the 50,000 (alpha = 0.0819).
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/contrastive_behaviour'
    config.make = dict(
        loss='softmax',
        temperature=0.3,
        num_hard=16,
        negatives='batch',
        num_negatives=1000,  # of the bank, for negatives='bank'
        bank_momentum=0.5,
        encoder=dict(name='mlp', widths=(256, 128)),
        projection=(64, 64),
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
    config.evals = dict(
        knn=dict(label='label', output='projection', k=5),
        sphere=dict(label='label', output='projection'),
    )
    if arg == 'smoke':
        config.make.encoder.widths = (32, 16)
        config.make.projection = (8,)
        config.make.augment = dict(noise=dict(std=(0.15, 0.15)))
        config.batch_size = 32
        config.num_steps, config.log_every = 24, 3
    elif arg == 'full':
        config.make.encoder = dict(name='resnet18', small_images=True)
        config.make.projection = (128,)
        config.make.negatives = 'bank'
        config.make.num_negatives = 0  # the whole bank
        config.make.num_hard = 4095
        config.make.augment = dict(
            crop=dict(area=(0.2, 1.0)),
            color=dict(hue=0.4, probability=1.0),
            flip=dict(),
            grayscale=dict(),
        )
        config.data = dict(name='tfds:cifar10')
        config.batch_size = 128
        config.num_steps = 78_000  # 200 epochs
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9)
        config.optimizer.learning_rate = 0.03
        config.optimizer.schedule = 'steps'
        config.optimizer.boundaries = (0.8, 0.95)  # epochs 160 and 190
        config.optimizer.weight_decay = 5e-4
        config.checkpoint_every, config.log_every = 3_900, 390  # 10 epochs, 1 epoch
        config.evals = dict(
            knn=dict(label='label', output='projection', k=5),
            sphere=dict(label='label', output='projection'),
            linear_probe=dict(label='label'),
        )
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
