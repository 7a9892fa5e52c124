"""Unified Embedding on digits as a table of pixel pairs: one table with a fifth of the rows.

Command: python -m jaxsep.main --config=configs/tabular/unified_embedding.py:small --workdir=runs/a
Metric: test/auc, of the logit for odd digits
Measured: test/auc 0.984 +- 0.002, 6 s a run, seeds 0, 1, 2

films is MovieLens-100k, ratings of 943 users. full is the paper's MovieLens-1M, as TFDS prepares it
(movielens/1m-ratings), with the settings of a reproduction that matched the paper.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or films."""
    config = get_defaults()
    config.method = 'tabular/unified_embedding'
    config.make = dict(
        sharing='multiplexed', row_fraction=0.2, width=8, backbone='mlp', hidden=(64,), hash_seed=0
    )
    config.data = dict(name='pixel_pairs', seed=0)
    config.batch_size = 64
    config.num_steps = 880  # 40 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'constant'
    config.checkpoint_every = 880
    config.log_every = 88
    config.evals = dict(binary_classification=dict())
    if arg == 'films':
        config.make = dict(config.make, width=16, backbone='dcn', cross_layers=2)
        config.data = dict(name='movielens', seed=0)
        config.batch_size = 128
        config.num_steps = config.checkpoint_every = 2048  # 4 epochs
        config.optimizer.weight_decay = 1e-5
        config.log_every = 256
    elif arg == 'smoke':
        config.data.num_fields = 12
        config.num_steps, config.log_every, config.checkpoint_every = 60, 5, 30
        config.optimizer.learning_rate = 3e-3
    elif arg == 'full':
        config.make = dict(config.make, width=16, backbone='dcn', cross_layers=3, hidden=(128, 64))
        config.data = dict(name='movielens', version='1m')
        config.batch_size = 128
        config.num_steps = 28_900  # 5 epochs
        config.checkpoint_every = 5_780
        config.optimizer.weight_decay = 1e-5
        config.log_every = 500
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small', 'full' or 'films', got {arg!r}")
    return config
