"""Two encoders of digits' halves, aligned in the directions that a thousand known pairs share.

Command: python -m jaxsep.main --config=configs/separability/latent_alignment.py:small
    --workdir=runs/latent_alignment
Metric: test/affine_top, right ones among the 5 best of 100
Measured: test/affine_top 0.779 +- 0.012, 9 s a run, seeds 0, 1, 2

emoji: drawings of emoji, seen by an encoder that learnt from them without labels, and their
English names, read by MiniLM: two encoders of two kinds of data, trained apart.
full is the paper's size, on two encoders' features in an .npz of the user's: 50 directions,
30,000 known pairs, 500 that compete.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small, emoji or full."""
    config = get_defaults()
    config.method = 'separability/latent_alignment'
    config.make = dict(x='x', y='y', num_directions=20, ridge=0.0)
    config.data = dict(name='digit_halves', num_train=1000, seed=0, scale=0.3)
    config.batch_size = 64
    config.evals = dict(alignment=dict(group_size=100, top=5))
    if arg == 'smoke':
        config.data.num_train = 1600
        config.make.num_directions = 5
    elif arg == 'full':
        config.make.num_directions = 50
        config.data = dict(name='npz:point_clouds_and_captions.npz')
        config.evals.alignment.group_size = 500
    elif arg == 'emoji':
        config.data = dict(name='captions', drawings='emoji4', seed=0)
        config.batch_size = 128
        config.num_steps, config.checkpoint_every, config.log_every = 500, 500, 50
        config.optimizer.name = 'adam'
        config.optimizer.learning_rate = 1e-3
        one_vendor = dict(name='select_classes', classes=('twemoji',), label='style')
        learn = dict(
            name='image',
            method='contrastive/simclr',
            make=dict(
                temperature=0.2,
                encoder=dict(name='conv', widths=(16, 32, 64), features=64),
                projection=(64, 32),
                augment=dict(
                    crop=dict(area=(0.5, 1.0)),
                    affine=dict(rotation=15.0, shear=0.0, scale=(0.9, 1.1), translation=0.1),
                ),
            ),
            evals=dict(),
        )
        align = dict(
            name='align',
            make=dict(config.make, x='image/embedding', y='minilm/embedding'),
            data=dict(modifiers=(one_vendor,)),
            encoder=dict(stages=('image',), outputs=('embedding',), pretrained=dict(name='minilm')),
        )
        align['make'].update(num_directions=40, ridge=0.3)
        config.make = dict()
        config.stages = (learn, align)
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small', 'emoji' or 'full', got {arg!r}")
    return config
