"""MRDD on emoji drawn by four vendors: which emoji it is, apart from how it is drawn.

Command: python -m jaxsep.main --config=configs/contrastive/mrdd.py:small --workdir=runs/mrdd
Metric: test/redundancy, R2 of k-NN regression of the common code from the first view's own code
Measured: test/redundancy 0.290 +- 0.050, 12 s a run, seeds 0, 1, 2

digits is small on two views of scikit-learn's digits: the image and its absolute gradient.
full is EdgeMNIST, the paper's configuration but for the batch of stage 2 (1024 there). Its squared
errors are summed over the batch, so its weights of the divergences, 1 and 0.5 twice, are 1/512 and
0.25/1024 per image.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, digits, small or full."""
    config = get_defaults()
    config.method = 'contrastive/mrdd'
    config.make = dict(
        stage='consistency',
        network=dict(name='dense', widths=(256, 256)),
        consistent_size=10,
        specific_size=10,
        mask_ratio=0.7,
        patch_size=2,
        kl_weight=0.05,
        bound_weight=0.1,
        estimator_steps=5,
        conditional=True,
        best_view=0,
    )
    config.data = dict(name='digits', modifiers=(dict(name='edge_views'),))
    config.batch_size = 128
    config.optimizer.name = 'adamw'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 1.0
    config.num_steps = 800  # 72 epochs
    config.checkpoint_every = 2000
    config.log_every = 100
    label, steps, specific_kl_weight = 'label', 440, 0.01  # 40 epochs
    if arg == 'smoke':
        config.make.network.widths = (32,)
        config.make.consistent_size = config.make.specific_size = 4
        config.batch_size = 32
        config.num_steps, config.log_every = 40, 5
        steps = 40
    elif arg == 'small':
        config.data = dict(name='emoji4', layout='views', image_size=16)
        config.make.kl_weight = specific_kl_weight = 0.05
        config.make.bound_weight = 1.0  # as errors are summed over 12 times the digits' pixels
        config.batch_size = 64
        config.num_steps, steps = 600, 400  # 31 and 21 epochs
        label = 'group'
    elif arg == 'full':
        config.make.network = dict(
            name='residual', channels=16, multipliers=(1, 2, 4), blocks=3, latent_channels=8
        )
        config.make.kl_weight = 1 / 512
        config.data = dict(
            name='tfds:mnist', image_size=32, modifiers=(dict(name='edge_views', kind='dilation'),)
        )
        config.batch_size = 512
        config.num_steps = 23_400  # 200 epochs
        steps, specific_kl_weight = 23_400, 0.25 / 1024
        config.optimizer.learning_rate = 5e-4
        config.optimizer.weight_decay = 1e-2
    elif arg != 'digits':
        raise ValueError(f"arg: expected 'smoke', 'digits', 'small' or 'full', got {arg!r}")
    config.evals = dict(knn=dict(label=label, output='consistent'))
    config.stages = (
        dict(name='consistency'),
        dict(
            name='disentangle',
            make=dict(stage='disentangle', kl_weight=specific_kl_weight),
            optimizer=dict(freeze=('^consistency/',)),
            num_steps=steps,
            evals=dict(
                linear_probe=dict(label=label, output='specific_0'),
                redundancy=dict(of='consistent', given='specific_0'),
            ),
        ),
    )
    return config
