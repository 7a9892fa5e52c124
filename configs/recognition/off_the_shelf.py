"""A network trained on the digits 0 to 4 tells 5 to 9 apart by a linear SVM, ten labels each.

Command: python -m jaxsep.main --config=configs/recognition/off_the_shelf.py:small --workdir=runs/shelf
Metric: test/accuracy, digits anywhere on a noisy canvas, of classes the network never saw
Measured: test/accuracy 0.685 +- 0.013, 17 s a run, seeds 0, 1, 2

random has the same network untrained, pixels none. augmented sums the scores of 16 views. emoji takes
EfficientNet-Lite0, trained on photographs, to tell the nine groups of emoji; emoji_pixels the same from
pixels. retrieval finds the same emoji drawn by others, by the patches of an image; retrieval_pixels by
pixels. full is 102 kinds of flowers (oxford_flowers102 of TFDS), 16 views.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size, smoke, small or full, or of a comparison; see above."""
    config = get_defaults()
    config.method = 'recognition/off_the_shelf'
    config.batch_size = 16
    config.checkpoint_every = 100_000
    if arg in ('smoke', 'small', 'random', 'pixels', 'augmented'):
        config.make = dict(c=1.0)
        config.data = dict(
            name='pasted_digits', size=14, noise=0.2, classes=(5, 6, 7, 8, 9), test_fraction=0.5,
            seed=0, modifiers=(dict(name='few_shots', first=0, shots=10),),
        )  # fmt: skip
        config.optimizer.name = 'adam'
        config.optimizer.learning_rate = 3e-3
        config.num_steps, config.log_every = 250, 50
        config.evals = dict(accuracy=dict(), class_average_precision=dict())
        network = dict(
            name='network',
            make=dict(stage='network', widths=(16, 32, 64, 96)),
            data=dict(classes=(0, 1, 2, 3, 4), test_fraction=0.2, copies=10, modifiers=()),
            batch_size=64,
        )
        svm = dict(name='svm', encoder=dict(stages=('network',), outputs=('embedding',)))
        if arg == 'smoke':
            network['make']['widths'] = (4, 8)
            network['data']['copies'] = 1
            config.num_steps, config.log_every = 40, 5
        elif arg == 'random':
            config.num_steps = 0
        elif arg == 'augmented':
            network['make']['views'] = dict(name='augment16')
            svm['make'] = dict(several=True)
        if arg == 'pixels':
            config.make = dict(c=1.0, input='image')
        else:
            config.stages = (network, svm)
    elif arg in ('emoji', 'emoji_pixels', 'retrieval', 'retrieval_pixels'):
        config.data = dict(
            name='emoji4', image_size=64, seed=0,
            modifiers=(dict(name='few_shots', label='group', first=0, shots=40),),
        )  # fmt: skip
        encoder = dict(name='efficientnet_lite0', image_size=64)
        config.eval_batch_size = 64
        if arg.startswith('emoji'):
            config.make = dict(label='group', c=1.0)
            config.evals = dict(
                accuracy=dict(label='group'), class_average_precision=dict(label='group')
            )
        else:
            config.make = dict(
                stage='retrieval', num_components=128, power=1.0, several=arg == 'retrieval'
            )
            config.data.test_fraction = 0.1
            encoder['views'] = dict(name='spatial', levels=2)
            patches = 5 if arg == 'retrieval' else 1
            config.evals = dict(
                spatial_retrieval=dict(
                    label='item', query_patches=patches, reference_patches=patches
                )
            )
        if not arg.endswith('pixels'):
            config.encoder = encoder
        else:
            config.make.input = 'image'
    elif arg == 'full':
        config.data = dict(name='tfds:oxford_flowers102', image_size=224)
        config.encoder = dict(name='efficientnet_lite0', views=dict(name='augment16'))
        config.make = dict(several=True, c=1.0)
        config.eval_batch_size = 16  # of 16 views each
        config.evals = dict(accuracy=dict(), class_average_precision=dict())
    else:
        raise ValueError(
            "arg: expected 'smoke', 'small', 'random', 'pixels', 'augmented', 'emoji', "
            f"'emoji_pixels', 'retrieval', 'retrieval_pixels' or 'full', got {arg!r}"
        )
    return config
