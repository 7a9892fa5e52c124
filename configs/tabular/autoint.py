"""AutoInt on a census: which people earn more than 50,000 dollars a year.

Command: python -m jaxsep.main --config=configs/tabular/autoint.py:small --workdir=runs/autoint
Metric: test/auc, area under the ROC curve
Measured: test/auc 0.916 +- 0.004, 16 s a run, seeds 0, 1, 2

parity is digits as a table of 48 pixels, odd or even. full is MovieLens-1M, as TFDS prepares it
(movielens/1m-ratings), with dropout and length of the code's variant for it.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or parity."""
    config = get_defaults()
    config.method = 'tabular/autoint'
    config.make = dict(
        label='income',
        embedding_size=16,
        widths=(32, 32),
        num_heads=2,
        residual=True,
        deep_widths=(),
        keep=(1.0, 1.0, 1.0),
    )
    config.data = dict(name='adult', seed=0)
    config.batch_size = 256
    config.num_steps = 760  # 5 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-2
    config.optimizer.schedule = 'cosine'
    config.log_every = 100
    config.checkpoint_every = 760
    config.evals = dict(binary_classification=dict(label='income'))
    if arg in ('parity', 'smoke'):
        config.make.label = 'label'
        config.make.widths = (16, 16)
        config.make.keep = (1.0, 0.8, 1.0)
        config.data = dict(name='digit_parity', seed=0)
        config.optimizer.learning_rate = 3e-3
        config.batch_size = 64
        config.num_steps = config.checkpoint_every = 1320  # 60 epochs
        config.evals = dict(binary_classification=dict(label='label'))
    if arg == 'smoke':
        config.make.embedding_size = 8
        config.make.deep_widths = (8,)
        config.make.keep = (0.9, 0.9, 0.9)
        config.data.num_fields = 12
        config.num_steps = config.checkpoint_every = 40
        config.log_every = 5
    elif arg == 'full':
        config.make.label = 'label'
        config.make.widths = (64, 64, 64)
        config.make.keep = (0.6, 0.9, 1.0)
        config.data = dict(name='movielens', version='1m')
        config.batch_size = 1024
        config.optimizer.learning_rate = 1e-3
        config.optimizer.schedule = 'constant'
        config.num_steps = 32_500  # 50 epochs
        config.checkpoint_every = 650
        config.log_every = 100
        config.evals = dict(binary_classification=dict(label='label'))
    elif arg not in ('small', 'parity'):
        raise ValueError(f"arg: expected 'smoke', 'small', 'full' or 'parity', got {arg!r}")
    return config
