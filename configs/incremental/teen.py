"""TEEN on forty classes of digits: 24 learnt from all their rows, 16 more from one row each.

Command: python -m jaxsep.main --config=configs/incremental/teen.py:small --workdir=runs/teen
Metric: test/new_accuracy, mean accuracy on the new classes among all 40 after the last session
Measured: test/new_accuracy 0.460 +- 0.041, 4 s a run, seeds 0, 1, 2

five_shots is small with five rows of each new class and the shift of CIFAR-100. full is CIFAR-100,
60 base classes and 8 sessions of 5 classes of 5 rows each, 600 epochs; the ResNet there is a
ResNet-20 of 64 features, here a ResNet-18, and the paper's policy of augmentations is left out.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small, five_shots or full."""
    config = get_defaults()
    config.method = 'incremental/teen'
    base, sessions, shots = 24, (4, 4, 4, 4), 1
    config.make = dict(
        stage='base', base_classes=base, shift=0.3, softmax_scale=16.0, temperature=16.0,
        encoder=dict(name='conv', widths=(32, 64, 64), features=0),
    )  # fmt: skip
    data = dict(name='transformed_digits', seed=0)
    # Every session mixes digits and transformations.
    order = (dict(name='select_classes', classes=tuple(7 * i % 40 for i in range(40))),)
    config.batch_size = 128
    config.optimizer.name = 'sgd'
    config.optimizer.options = dict(momentum=0.9, nesterov=True)
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 5e-4
    config.num_steps = 324  # 12 epochs
    config.log_every = 27
    if arg == 'smoke':
        base, sessions, order = 6, (2, 2), order[:0]
        data.update(num_transforms=1)
        config.make.encoder.widths = (8, 16)
        config.make.base_classes = base
        config.batch_size = 32
        config.num_steps, config.log_every = 40, 5
    elif arg == 'five_shots':
        shots = 5
        config.make.shift = 0.1
    elif arg == 'full':
        base, sessions, shots, order = 60, (5,) * 8, 5, order[:0]
        data = dict(name='tfds:cifar100')
        config.make = dict(
            stage='base', base_classes=base, shift=0.1,
            encoder=dict(name='resnet18', small_images=True),
            augment=dict(crop=dict(area=(0.5, 1.0)), flip=dict()),
        )  # fmt: skip
        config.batch_size = 256
        config.num_steps, config.log_every = 117 * 600, 117
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small', 'five_shots' or 'full', got {arg!r}")
    config.checkpoint_every = config.num_steps
    sizes = (base, *sessions)
    config.data = dict(**data, modifiers=(*order, dict(name='rehearsal', sizes=sizes, session=0)))
    config.evals = dict(accuracy=dict())
    config.stages = (
        dict(name='base'),
        dict(
            name='calibrate',
            encoder=dict(stages=('base',), outputs=('embedding',)),
            make=dict(stage='calibrate'),
            data=dict(modifiers=(*order, dict(name='few_shots', first=base, shots=shots))),
            evals=dict(incremental=dict(sizes=sizes)),
        ),
    )
    return config
