"""Entropic student on digits in four positions: a network split after its first stage.

Command: python -m jaxsep.main --config=configs/compression/entropic_student.py:small --workdir=runs/es
Metric: test/accuracy, of the digit, by the decoder and the later layers
Measured: none yet

small: one weight of the bits, make.beta. quantized: 8-bit latents. sweep, sweep_input_codec,
sweep_end_to_end: a curve of the student and of two baselines in one run, each weight starting from the
bottleneck of the one before; the image compressed, then classified by the teacher; cross-entropy + beta
bits. second_tail: after the first tail another one, on the same encoder, tells the position;
end_to_end_second_tail the same on that baseline; position: a teacher and a student for the position.
full: ImageNet with ResNet-50, the paper's recipe; 10 + 10 epochs after 90 of the teacher.
"""

from configs.defaults import get_defaults

BETAS = {
    'imitate': (0.5, 1.5, 5.0, 15.0),
    'input_codec': (0.02, 0.06, 0.2, 0.6),
    'end_to_end': (0.001, 0.003, 0.01, 0.03),
}
SWEEPS = {'sweep': 'imitate', 'sweep_input_codec': 'input_codec', 'sweep_end_to_end': 'end_to_end'}
ARGUMENTS = (
    'smoke', 'small', 'quantized', *SWEEPS, 'second_tail', 'end_to_end_second_tail', 'position',
    'full',
)  # fmt: skip
FROZEN = {
    'imitate': ('^teacher/', '^tail/'),
    'finetune': ('^teacher/', '^bottleneck/encoder/', '^bottleneck/entropy/'),
    'input_codec': ('^teacher/',),
}


def get_config(arg='small'):
    """The config of one size or variant: smoke, small, full or those named above."""
    if arg not in ARGUMENTS:
        raise ValueError(f'arg: expected one of {ARGUMENTS}, got {arg!r}')
    config = get_defaults()
    config.method = 'compression/entropic_student'
    if arg == 'full':
        return full(config)
    label = 'transform' if arg == 'position' else 'digit'
    config.make = dict(
        stage='teacher', beta=1.5, channels=8, radius=63, label=label,
        network=dict(width=16, blocks=(0, 0, 0, 0)),
    )  # fmt: skip
    config.data = dict(name='transformed_digits', images='digits', seed=0)
    config.batch_size = 64
    config.optimizer.name = 'adam'
    config.log_every = 50
    config.evals = dict(accuracy=dict(label=label))
    steps = {'teacher': 600, 'imitate': 300, 'finetune': 150, 'input_codec': 300, 'end_to_end': 450}
    if arg == 'smoke':
        config.make.update(channels=2, network=dict(width=4), radius=7, label='label')
        config.data = dict(name='digits', seed=0)
        config.batch_size, config.log_every = 32, 5
        config.evals.accuracy.label = 'label'
        steps = {'teacher': 40, 'imitate': 20, 'finetune': 10}

    def stage(kind, name=None, **make):
        return dict(
            name=name or kind, make=dict(stage=kind, **make), num_steps=steps[kind],
            checkpoint_every=steps[kind],
            optimizer=dict(
                learning_rate=1e-3 if kind == 'finetune' else 3e-3, freeze=FROZEN.get(kind, ())
            ),
        )  # fmt: skip

    def measured(stage):
        """A stage that says at its end what it sends and how often it is right."""
        stage['make'].update(coded=True)
        return stage | dict(
            eval_every=stage['num_steps'], evals=dict(rate=dict(coded=True)),
            evals_while_training=('accuracy', 'rate'),
        )  # fmt: skip

    if arg in SWEEPS:
        kind = SWEEPS[arg]
        stages = [] if kind == 'end_to_end' else [stage('teacher')]
        for beta in BETAS[kind]:
            stages.append(stage(kind, f'{kind}-{beta:g}', beta=beta))
            if kind == 'imitate':
                stages.append(stage('finetune', f'finetune-{beta:g}'))
            stages[-1] = measured(stages[-1])
    elif arg == 'end_to_end_second_tail':
        stages = [stage('end_to_end', beta=BETAS['end_to_end'][1])]
    else:
        stages = [stage('teacher'), stage('imitate'), stage('finetune')]
    if arg.endswith('second_tail'):
        stages = [*stages[:-1], measured(stages[-1])]
        stages.append(stage('finetune', 'second', label='transform', alpha=1.0))
        stages[-1]['evals'] = dict(accuracy=dict(label='transform'), rate=dict(coded=True))
        stages[-1]['make'].update(coded=True)
    elif arg == 'quantized':
        config.make.update(num_bits=8, channels=4)
        stages[-1]['evals'] = dict(rate=dict())
    elif arg not in SWEEPS:
        stages[-1]['evals'] = dict(rate=dict(coded=True))
        stages[-1]['make'].update(coded=True)
    config.stages = tuple(stages)
    return config


def full(config):
    """ImageNet: ten epochs of imitation and ten of fine-tuning, after the teacher's ninety."""
    config.make = dict(
        beta=0.16, channels=24, augment=dict(crop=dict(area=(0.08, 1.0)), flip=dict()),
    )  # fmt: skip
    config.data = dict(name='tfds:imagenet2012')
    config.evals = dict(accuracy=dict())
    config.log_every, config.checkpoint_every = 1000, 10_000
    images = 1_281_167
    sgd = dict(name='sgd', options=dict(momentum=0.9))
    config.optimizer.schedule = 'steps'

    def stage(kind, epochs, batch_size, **optimizer):
        return dict(
            name=kind, make=dict(stage=kind), batch_size=batch_size,
            num_steps=epochs * images // batch_size, optimizer=optimizer,
        )  # fmt: skip

    config.stages = (
        stage('teacher', 90, 256, **sgd, learning_rate=0.1, weight_decay=1e-4,
              boundaries=(1 / 3, 2 / 3)),
        stage('imitate', 10, 64, name='adam', learning_rate=1e-3, boundaries=(0.5, 0.8),
              freeze=FROZEN['imitate']),
        stage('finetune', 10, 128, **sgd, learning_rate=1e-3, weight_decay=5e-4, boundaries=(0.5,),
              freeze=FROZEN['finetune'])
        | dict(evals=dict(rate=dict())),
    )  # fmt: skip
    return config
