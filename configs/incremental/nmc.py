"""Nearest class means on handwritten digits that come two classes at a time, on pixels.

Command: python -m jaxsep.main --config=configs/incremental/nmc.py:small --workdir=runs/nmc
Metric: test/average_incremental_accuracy, mean over the sessions of the accuracy on digits seen
Measured: test/average_incremental_accuracy 0.947 +- 0.007, 0 s a run, seeds 0, 1, 2

pretrained puts a frozen encoder before the means, trained on the same digits turned, inverted
and rolled, never upright; selfsupervised one that learnt from them without labels. animals and
animals_selfsupervised are the same on silhouettes. finetune and finetune_memory are what it is
compared with: a classifier trained on one session after the other, the second with ten rows of
every earlier class in memory.
full is CIFAR-100 in ten sessions on features of a pretrained ViT-B/16, in an .npz of the user's.
"""

from configs.defaults import get_defaults

SIZES = (2, 2, 2, 2, 2)
# The usual order of the classes of CIFAR-100 (seed 1993), as in the released code.
CIFAR100_ORDER = (
    87, 0, 52, 58, 44, 91, 68, 97, 51, 15, 94, 92, 10, 72, 49, 78, 61, 14, 8, 86, 84, 96, 18, 24,
    32, 45, 88, 11, 4, 67, 69, 66, 77, 47, 79, 93, 29, 50, 57, 83, 17, 81, 41, 12, 37, 59, 25, 20,
    80, 73, 1, 28, 6, 46, 62, 82, 53, 9, 31, 75, 38, 63, 33, 74, 27, 22, 36, 3, 16, 21, 60, 19,
    70, 90, 89, 43, 5, 42, 65, 76, 40, 30, 23, 85, 2, 95, 56, 48, 71, 64, 98, 13, 99, 7, 34, 55,
    54, 26, 35, 39,
)  # fmt: skip


def get_config(arg='small'):
    """The config of one size, smoke, small or full, or of a comparison; see above."""
    config = get_defaults()
    config.method = 'incremental/nmc'
    config.make = dict(metric='euclidean')
    config.data = dict(name='digits', test_fraction=0.33, seed=0)
    config.batch_size = 64
    config.evals = dict(incremental=dict(sizes=SIZES))
    network = dict(
        base_classes=10, stage='base', temperature=16.0,
        encoder=dict(name='conv', widths=(32, 64, 64), features=0),
    )  # fmt: skip
    if arg == 'pretrained':
        config.make = dict()
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9, nesterov=True)
        config.optimizer.learning_rate = 0.1
        config.optimizer.weight_decay = 5e-4
        config.batch_size, config.num_steps, config.log_every = 128, 324, 81
        config.checkpoint_every = 324
        changed = dict(name='select_classes', classes=tuple(range(10, 40)))
        config.stages = (
            dict(
                name='base',
                method='incremental/teen',
                make=dict(network, base_classes=30),
                data=dict(name='transformed_digits', modifiers=(changed,)),
                evals=dict(),
            ),
            dict(name='means', encoder=dict(stages=('base',), outputs=('embedding',))),
        )
    elif arg in ('selfsupervised', 'animals_selfsupervised', 'animals'):
        affine = dict(rotation=10.0, shear=0.0, scale=(0.9, 1.1), translation=0.125)
        learn = dict(
            name='base',
            method='contrastive/vicreg',
            make=dict(
                encoder=dict(name='mlp', widths=(256, 64)),
                projection=(256, 256),
                augment=dict(
                    affine=affine,
                    color=dict(brightness=0.3, contrast=0.0, probability=1.0),
                    noise=dict(std=(0.15, 0.15)),
                    cutout=dict(size=(0.25, 0.25)),
                ),
            ),
            evals=dict(),
        )
        if arg.startswith('animals'):
            config.data = dict(name='animals', seed=0)
            learn.update(
                method='contrastive/simclr',
                make=dict(
                    temperature=0.1,
                    encoder=dict(name='conv', widths=(16, 32, 64), features=64),
                    projection=(64, 32),
                    augment=dict(affine=dict(affine, shear=10.0, translation=0.1)),
                ),
            )
        if arg != 'animals':
            config.make = dict()
            config.optimizer.name = 'adam'
            config.optimizer.learning_rate = 2e-3
            config.optimizer.schedule = 'constant'
            config.batch_size, config.num_steps, config.log_every = 128, 800, 200
            config.checkpoint_every = 800
            means = dict(name='means', encoder=dict(stages=('base',), outputs=('embedding',)))
            config.stages = (learn, means)
    elif arg in ('finetune', 'finetune_memory'):
        exemplars = 10 if arg == 'finetune_memory' else 0
        config.method = 'incremental/teen'
        config.make = network
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9)
        config.optimizer.learning_rate = 0.02
        config.optimizer.schedule = 'constant'
        config.batch_size, config.num_steps = 32, 120  # 15 epochs of a session
        config.log_every = config.checkpoint_every = 120
        config.evals = dict(incremental_over_stages=dict(sizes=SIZES))
        config.stages = tuple(
            dict(
                name=f'session{s}',
                make=dict(base_classes=2 * s + 2),
                data=dict(
                    modifiers=(dict(name='rehearsal', sizes=SIZES, session=s, exemplars=exemplars),)
                ),
            )
            for s in range(len(SIZES))
        )
    elif arg == 'full':
        config.data = dict(
            name='npz:cifar100_vit_b16.npz',
            modifiers=(dict(name='select_classes', classes=CIFAR100_ORDER),),
        )
        config.evals = dict(incremental=dict(sizes=(10,) * 10))
    elif arg not in ('smoke', 'small'):
        raise ValueError(
            "arg: expected 'smoke', 'small', 'pretrained', 'selfsupervised', 'animals', "
            f"'animals_selfsupervised', 'finetune', 'finetune_memory' or 'full', got {arg!r}"
        )
    return config
