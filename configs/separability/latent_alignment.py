"""Two encoders of digits' halves, aligned in the directions that a thousand known pairs share.

Command: python -m jaxsep.main --config=configs/separability/latent_alignment.py:small
    --workdir=runs/latent_alignment
Metric: test/affine_top, right ones among the 5 best of 100
Measured: test/affine_top 0.779 +- 0.012, 9 s a run, seeds 0, 1, 2

full is the paper's size, on two encoders' features in an .npz of the user's: 50 directions,
30,000 known pairs, 500 that compete.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
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
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
