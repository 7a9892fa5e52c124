"""Do two networks learn the same units? Matchings and sparse maps of two classifiers of digits.

Command: python -m jaxsep.main --config=configs/separability/convergent_learning.py:small --workdir=runs/a
Metric: test/matched_correlation, units of the first layer and their partners, on new rows
Measured: test/matched_correlation 0.584 +- 0.031, 21 s a run, seeds 0, 1, 2

smoke and small: two MLPs 64-32-32-10 on digits. layer2: the same, second layer. mnist: two
convolutional networks on 5,000 digits of MNIST, first convolution; mnist_layer2 the second.
full: three wider convolutions on CIFAR-10, the third.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small, layer2, mnist, mnist_layer2 or full."""
    config = get_defaults()
    config.method = 'separability/convergent_learning'
    config.make = dict(
        stage='network',
        network=dict(name='mlp', widths=(32, 32)),
        penalties=(0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
        num_clusters=8,
    )
    config.data = dict(name='digits', seed=0)
    config.batch_size = 64
    config.num_steps = 1320  # 60 epochs
    config.optimizer.name = 'sgd'
    config.optimizer.learning_rate = 0.1
    config.optimizer.options = dict(momentum=0.9)
    config.optimizer.schedule = 'constant'
    config.checkpoint_every = 100_000
    config.log_every = 100
    layer = 'layer1'
    if arg == 'smoke':
        config.make.network.widths = (8, 8)
        config.make.penalties = (0.0, 0.1)
        config.make.num_clusters = 3
        config.num_steps, config.log_every = 40, 5
    elif arg in ('layer2', 'mnist_layer2'):
        layer = 'layer2'
    if arg in ('mnist', 'mnist_layer2'):
        config.data = dict(name='mnist5k', seed=0)
        config.make.network = dict(name='conv', widths=(16, 32), stride=2)
        config.num_steps = 620  # 10 epochs
    elif arg == 'full':
        config.data = dict(name='tfds:cifar10')
        config.make.network = dict(name='conv', widths=(64, 128, 256), stride=2)
        layer = 'layer3'  # 0.8 GB of activations of each network; the first has 3.4
        config.make.num_clusters = 32
        config.batch_size = 128
        config.num_steps = 15_640  # 40 epochs
        config.optimizer.learning_rate = 0.02
        config.optimizer.schedule = 'cosine'
    elif arg not in ('smoke', 'small', 'layer2'):
        raise ValueError(
            "arg: expected 'smoke', 'small', 'layer2', 'mnist', 'mnist_layer2' or 'full', "
            f'got {arg!r}'
        )
    network = dict(evals=dict(accuracy=dict()), evals_while_training=('accuracy',))
    config.stages = (
        dict(name='a', eval_every=config.num_steps, **network),
        dict(name='b', eval_every=config.num_steps, take_over=False, seed_offset=1000, **network),
        dict(
            name='match',
            make=dict(stage='match', first=f'a/{layer}', second=f'b/{layer}'),
            encoder=dict(stages=('a', 'b'), outputs=(layer,)),
            evals=dict(unit_matching=dict()),
        ),
    )
    return config
