"""RotNet on silhouettes of ten animals.

Command: python -m jaxsep.main --config=configs/contrastive/rotnet.py:small --workdir=runs/rotnet
Metric: test/conv2_probe_accuracy, a linear probe of block 2 with 20 labels per class
Measured: test/conv2_probe_accuracy 0.750 +- 0.003, 60 s a run, seeds 0, 1, 2

full is the paper's CIFAR-10 run (section 3.1): the network in network with four stages, then
the convolutional classifier on its frozen second stage.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/rotnet'
    config.make = dict(
        network=dict(name='small', widths=(16, 32, 64), first_stride=2),
        augment={},
        task='rotations',
        feature='conv2',
        pool=4,
    )
    config.data = dict(name='animals')
    config.batch_size = 64  # 256 rotated
    config.num_steps = 300
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = 'cosine'
    config.checkpoint_every = 300
    config.evals = dict(
        layer_probe=dict(outputs=('conv1', 'conv2', 'conv3'), per_class=20, draws=3, seed=0),
        output_means=dict(outputs=('rotation_accuracy',)),
    )
    if arg == 'smoke':
        config.make.network = dict(name='small', widths=(8,))
        config.make.feature = 'conv1'
        config.data = dict(name='digits')
        config.batch_size = 16
        config.num_steps, config.log_every = 40, 5
        config.evals = dict(output_means=dict(outputs=('rotation_accuracy',)))
    elif arg == 'full':
        config.make = dict(
            network=dict(name='nin', num_stages=4),
            augment=dict(
                affine=dict(rotation=0.0, shear=0.0, scale=(1.0, 1.0), translation=0.125),
                flip=dict(),
            ),
            task='rotations',
            feature='conv2',
            pool=4,
            pixel_mean=(0.491, 0.482, 0.447),
            pixel_std=(0.247, 0.244, 0.262),
        )
        config.data = dict(name='tfds:cifar10')
        config.batch_size = 128  # 512 rotated
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9, nesterov=True)
        config.optimizer.learning_rate = 0.1
        config.optimizer.schedule = 'steps'
        config.optimizer.decay_factor = 0.2
        config.optimizer.weight_decay = 5e-4
        config.checkpoint_every, config.log_every = 3_900, 390  # 10 epochs, 1 epoch
        config.num_steps = 78_000  # 200 epochs
        config.evals = dict(accuracy={})
        config.stages = (
            dict(name='rotations', optimizer=dict(boundaries=(0.3, 0.6, 0.8))),
            dict(
                name='classifier',
                make=dict(task='conv'),
                num_steps=39_000,  # 100 epochs
                optimizer=dict(boundaries=(0.35, 0.7, 0.85), freeze=('network/',)),
            ),
        )
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
