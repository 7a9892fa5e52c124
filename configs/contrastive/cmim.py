"""cMIM on 5,000 MNIST digits, a code of eight numbers.

Command: python -m jaxsep.main --config=configs/contrastive/cmim.py:small --workdir=runs/cmim
Metric: test/linear_probe_accuracy, on the last hidden layer of the decoder
Measured: test/linear_probe_accuracy 0.908 +- 0.006, 11 s a run, seeds 0, 1, 2

full is the whole of MNIST with a code of 64 numbers. The paper's own sizes are not public.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/cmim'
    config.make = dict(
        variant='cmim',
        code_size=8,
        encoder=dict(name='mlp', widths=(256, 256), normalize=False),
        decoder=(256, 256),
        temperature=0.1,
        likelihood='bernoulli',
    )
    config.data = dict(name='mnist5k')
    config.batch_size = 128
    config.num_steps = 1240  # 40 epochs
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'constant'
    config.checkpoint_every = 1240
    config.log_every = 124
    config.evals = dict(
        linear_probe=dict(label='label', output='informative'),
        knn=dict(label='label', output='embedding'),
    )
    if arg == 'smoke':
        config.make.encoder.widths = (32,)
        config.make.decoder = (32,)
        config.data = dict(name='digits')
        config.batch_size = 32
        config.num_steps, config.log_every = 24, 3
        config.checkpoint_every = 24
        config.evals = dict(knn=dict(label='label', output='informative'))
    elif arg == 'full':
        config.make.code_size = 64
        config.make.encoder.widths = (1024, 1024)
        config.make.decoder = (1024, 1024)
        config.data = dict(name='tfds:mnist')
        config.num_steps = 93_600  # 200 epochs
        config.checkpoint_every = 9_360
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
