"""MP-SAE on MiniLM's residual stream of WordNet glosses, on digits, and on planted hierarchies.

Command: python -m jaxsep.main --config=configs/sparse/mp_sae.py:small --workdir=runs/mp_sae
Metric: test/r2, share of the variance that the codes reconstruct
Measured: test/r2 0.676 +- 0.001, 12 s a run, seeds 0, 1, 2

small: sentence vectors after the third layer, 384 numbers. digits: pixels of 8 x 8 digits.
planted: sums of a parent and a child feature. full: features of a vision transformer, 10 atoms
per dimension, from a file with an array `features` (the paper has DINOv2 and others on
ImageNet); the library's example has Adam at 5e-4, 20 epochs and gradients clipped at 1.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or digits or planted, small ones too."""
    config = get_defaults()
    config.method = 'sparse/mp_sae'
    steps = (1, 2, 4, 6, 10, 20, 40)
    config.make = dict(
        num_atoms=128, num_active=6, encoder='mp', l1_weight=0.0, l0_weight=0.0, dropout=0.0,
        standardize=True,
    )  # fmt: skip
    config.data = dict(name='digits', seed=0)
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = 'constant'
    config.batch_size = 128
    config.num_steps = 660  # 60 epochs
    config.log_every = 66
    if arg == 'smoke':
        config.make.num_atoms, config.make.num_active = 32, 3
        steps = (1, 3, 6)
        config.num_steps, config.log_every = 32, 4
        config.batch_size = 64
    elif arg == 'planted':
        config.make.num_atoms, config.make.num_active = 32, 2
        config.make.standardize = False
        steps = (1, 2, 4, 8)
        config.data = dict(name='planted_hierarchy', seed=0)
        config.num_steps = 1860  # 60 epochs
        config.log_every = 186
    elif arg == 'small':
        config.make.num_atoms, config.make.num_active = 768, 12
        steps = (1, 2, 4, 6, 12, 24, 48)
        config.data = dict(name='wordnet', max_synsets=6000, max_length=24, seed=0)
        config.encoder = dict(name='minilm', layer=3, normalize=False)
        config.batch_size = 256
        config.num_steps = 540  # 30 epochs
        config.log_every = 54
    elif arg == 'full':
        config.make.num_atoms, config.make.num_active = 7680, 32
        steps = (1, 2, 4, 8, 16, 32, 64, 128)
        config.data = dict(name='npz:features.npz')
        config.batch_size = 4096
        config.num_steps = 6260  # 20 epochs of ImageNet, one vector an image
        config.optimizer.learning_rate = 5e-4
        config.optimizer.clip_norm = 1.0
        config.log_every = 100
    elif arg != 'digits':
        known = "'smoke', 'small', 'digits', 'planted' or 'full'"
        raise ValueError(f'arg: expected {known}, got {arg!r}')
    config.checkpoint_every = config.num_steps
    config.make.steps = steps
    config.evals = dict(sparse_codes=dict(steps=steps))
    return config
