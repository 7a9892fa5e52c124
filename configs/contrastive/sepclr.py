"""SepCLR on pairs of digits: the left one is common, the right one is in targets only.

Command: python -m jaxsep.main --config=configs/contrastive/sepclr.py:small --workdir=runs/sepclr
Metric: test/separation, accuracies of the right probes minus those of the wrong ones, targets only
Measured: test/separation 0.603 +- 0.140, 1 s a run, seeds 0, 1, 2

cells is elpv, photographs of solar cells: the kind of silicon is common, defects are salient.
full is CIFAR-MNIST, the paper's recipe with ResNet-18 (the weights are the code's).
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or cells, solar cells."""
    config = get_defaults()
    config.method = 'contrastive/sepclr'
    config.make = dict(
        target='target',
        salient_weight=1.0,
        background_weight=10.0,
        joint_weight=10.0,
        temperature=0.5,
        encoder=dict(name='mlp', widths=(256, 16)),
        features=0,
        hidden=64,
        augment=dict(
            affine=dict(rotation=15.0, shear=10.0, scale=(0.9, 1.1), translation=0.1),
            color=dict(brightness=0.3, contrast=0.0, probability=1.0),
            noise=dict(std=(0.2, 0.2)),
            cutout=dict(size=(0.3, 0.3)),
        ),
    )
    config.data = dict(name='digit_pairs')
    config.batch_size = 256
    config.num_steps = 440  # 40 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'constant'
    config.checkpoint_every = 440
    config.log_every = 40
    config.evals = dict(probe_separation=dict())
    if arg == 'cells':
        config.make.target = 'defect'
        config.make.encoder = dict(name='conv', widths=(8, 16, 32), features=16)
        config.make.augment = dict(
            flip=dict(),
            color=dict(brightness=0.2, contrast=0.2, probability=0.8),
            noise=dict(std=(0.03, 0.03)),
        )
        config.data = dict(name='elpv', image_size=32)
        config.batch_size = 128
        config.optimizer.learning_rate = 3e-3
        config.num_steps = config.checkpoint_every = 320  # 20 epochs
        config.log_every = 40
        config.evals = dict(
            probe_separation=dict(common='cell', salient='defect', target='', balanced=True)
        )
    elif arg == 'smoke':
        config.make.encoder.widths = (32, 8)
        config.make.hidden = 16
        config.make.augment = dict(noise=dict(std=(0.15, 0.15)))
        config.data = dict(name='digit_pairs', num_train=320, num_test=160)
        config.batch_size = 32
        config.optimizer.learning_rate = 3e-3
        config.num_steps, config.log_every = 24, 3
    elif arg == 'full':
        config.make.salient_weight = config.make.background_weight = 1000.0
        config.make.encoder = dict(name='resnet18', small_images=True)
        config.make.features = 32
        config.make.hidden = 128
        config.make.augment = dict(
            crop=dict(area=(0.2, 1.0)), flip=dict(), color=dict(), grayscale=dict()
        )
        config.data = dict(name='cifar_mnist')
        config.batch_size = 512
        config.num_steps = 24_250  # 250 epochs
        config.optimizer.learning_rate = 3e-4
        config.checkpoint_every = 970
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small', 'full' or 'cells', got {arg!r}")
    return config
