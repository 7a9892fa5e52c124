"""PPP: clusters validated by a mixture, their number found, and the separable points.

Command: python -m jaxsep.main --config=configs/separability/ppp.py:small --workdir=runs/ppp
Metric: repeatability_gain, over random k-means
Measured: repeatability_gain 0.296 +- 0.260, 1 s a run, seeds 0, 1, 2

smoke: iris, 2 or 3 clusters. small: wine, 2 to 8 clusters. full: tfds:covtype in chunks.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'separability/ppp'
    config.make = dict(
        num_clusters_range=(2, 8), covariance='full', threshold=0.95, regularization=1e-2
    )
    config.data = dict(name='wine', seed=0)
    config.batch_size = 64
    config.evals = dict(clustering=dict(label='label'))
    if arg == 'smoke':
        config.data.name = 'iris'
        config.make.num_clusters_range = (2, 3)
    elif arg == 'full':
        config.make.covariance = 'diag'
        config.data = dict(name='tfds:covtype')
        config.make.max_steps = 100
        config.make.chunk_size = 20_000
        config.eval_batch_size = 8192
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
