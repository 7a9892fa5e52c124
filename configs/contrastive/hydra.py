"""Hydra on silhouettes of ten animals, through twelve features: any two animals are positives.

Command: python -m jaxsep.main --config=configs/contrastive/hydra.py:small --workdir=runs/hydra
Metric: test/knn_accuracy, 5 nearest neighbours in the head's output
Measured: test/knn_accuracy 0.945 +- 0.000, 81 s a run, seeds 0, 1, 2

full is the authors' CIFAR-10 recipe: ResNet-18, batch 256 times 3 augmentations of each image, 50
epochs, here a batch of 768 different images and RandAugment's place taken by colours.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/hydra'
    config.make = dict(
        pairs='arbitrary',
        gate='pair',
        similarity='subspace',
        temperature=0.1,
        encoder=dict(name='conv', widths=(16, 32, 64), features=12),
        hidden=64,
        features=32,
        gate_embedding=32,
        gate_hidden=64,
        augment=dict(
            affine=dict(rotation=10.0, shear=10.0, scale=(0.9, 1.1), translation=0.1),
        ),
    )
    config.data = dict(name='animals')
    config.batch_size = 128
    config.num_steps = 1200  # 20 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.checkpoint_every = 1200
    config.log_every = 100
    config.evals = dict(
        knn=dict(label='label', output='projection', k=5),
        linear_probe=dict(label='label', output='projection'),
    )
    if arg == 'smoke':
        config.make.encoder = dict(name='mlp', widths=(12,))
        config.make.hidden, config.make.features = 16, 16
        config.make.gate_embedding, config.make.gate_hidden = 8, 16
        config.make.augment = dict(noise=dict(std=(0.15, 0.15)))
        config.data = dict(name='digits')
        config.batch_size = 32
        config.num_steps, config.log_every = 24, 3
        config.evals = dict(knn=dict(label='label', output='projection', k=5))
    elif arg == 'full':
        config.make.encoder = dict(name='resnet18', small_images=True)
        config.make.hidden, config.make.features = 2048, 256
        config.make.gate_embedding, config.make.gate_hidden = 512, 1024
        config.make.augment = dict(crop=dict(area=(0.7, 1.0)), flip=dict(), color=dict())
        config.data = dict(name='tfds:cifar10')
        config.batch_size = 768
        config.num_steps = 9_750  # 150 passes over the images, 50 epochs of three augmentations
        config.optimizer.learning_rate = 1e-3
        config.optimizer.weight_decay = 5e-4
        config.optimizer.warmup_steps = 390
        config.evals = dict(
            accuracy=dict(label='label'),
            knn=dict(label='label', output='embedding', k=20),
        )
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
