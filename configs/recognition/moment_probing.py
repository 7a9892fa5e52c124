"""Probes of a frozen network: trained on the digits 0 to 4, asked about all ten.

Command: python -m jaxsep.main --config=configs/recognition/moment_probing.py:small --workdir=runs/mp
Metric: test/accuracy, moment probing, 600 digits for training
Measured: test/accuracy 0.957 +- 0.008, 12 s a run, seeds 0, 1, 2

linear and mlp probe the mean token alone, the latter with as many weights as moment probing; plus also
recalibrates the network, and finetune trains all of it. The same on EfficientNet-Lite0 and groups of
emoji: emoji, emoji_linear, emoji_mlp. full is 102 kinds of flowers (oxford_flowers102 of TFDS).
"""

from configs.defaults import get_defaults

# 64 channels to 64 in four heads, two convolutions, 27 numbers to 10: 5284 weights with the linear
# layer on the mean. An MLP of 70 hidden units has 5260.
DIGITS = dict(name='moment', hidden=64, num_heads=4)
# 112 channels: 16,213 weights, and 16,113 of an MLP.
EMOJI = dict(name='moment', hidden=128, num_heads=4, layout='interleaved', normalize=True)


def get_config(arg='small'):
    """The config of one size, smoke, small or full, or of a comparison; see above."""
    config = get_defaults()
    config.method = 'recognition/moment_probing'
    config.optimizer.name = 'adamw'
    config.optimizer.learning_rate = 3e-3
    config.optimizer.weight_decay = 0.01
    config.batch_size = 64
    config.checkpoint_every = 100_000
    config.evals = dict(accuracy=dict())
    kind = arg.removeprefix('emoji_')
    heads = dict(
        linear=dict(name='linear'), mlp=dict(name='mlp', hidden=70),
        plus=DIGITS, finetune=dict(name='linear'),
    )  # fmt: skip
    if arg == 'smoke':
        config.make = dict(
            probe=dict(DIGITS, hidden=28), inside=True, reduction=2, widths=(4, 8), strides=(2, 1)
        )
        config.data = dict(name='digits', seed=0)
        config.optimizer.freeze = ('network/(conv|norm)',)
        config.num_steps, config.log_every = 40, 5
    elif arg in ('small', *heads):
        config.make = dict(probe=heads.get(arg, DIGITS))
        rows = dict(name='few_shots', first=0, shots=60)
        config.data = dict(name='digits', seed=0, test_fraction=0.5, modifiers=(rows,))
        config.num_steps, config.log_every = 500, 100  # 56 epochs
        old = dict(name='select_classes', classes=(0, 1, 2, 3, 4))
        network = dict(
            name='network',
            make=dict(stage='network'),
            data=dict(modifiers=(old,)),
            num_steps=300,
        )
        probe = dict(name='probe', encoder=dict(stages=('network',), outputs=('tokens',)))
        if arg in ('plus', 'finetune'):
            probe = dict(name='probe', make=dict(inside=True))
        if arg == 'plus':
            probe['make']['reduction'] = 16
            probe['optimizer'] = dict(freeze=('network/(conv|norm)',))
        config.stages = (network, probe)
    elif arg in ('emoji', 'emoji_linear', 'emoji_mlp'):
        probes = dict(
            emoji=EMOJI,
            linear=dict(name='linear', normalize=True),
            mlp=dict(name='mlp', hidden=124, normalize=True),
        )
        config.make = dict(label='group', probe=probes[kind])
        rows = dict(name='few_shots', label='group', first=0, shots=100)
        config.data = dict(name='emoji4', image_size=64, seed=0, modifiers=(rows,))
        config.eval_batch_size = 64
        config.encoder = dict(
            name='efficientnet_lite0', outputs=('tokens',), stage='stage5', image_size=64
        )
        config.num_steps, config.log_every = 500, 100
        config.evals = dict(accuracy=dict(label='group'))
    elif arg == 'full':
        config.make = dict(probe=dict(EMOJI, hidden=512))
        config.data = dict(name='tfds:oxford_flowers102', image_size=224)
        config.encoder = dict(name='efficientnet_lite0', outputs=('tokens',))
        config.eval_batch_size = 64
        config.optimizer.learning_rate = 1e-4
        config.optimizer.weight_decay = 0.05
        config.num_steps, config.log_every = 1500, 100  # 100 epochs
    else:
        raise ValueError(
            "arg: expected 'smoke', 'small', 'linear', 'mlp', 'plus', 'finetune', 'emoji', "
            f"'emoji_linear', 'emoji_mlp' or 'full', got {arg!r}"
        )
    return config
