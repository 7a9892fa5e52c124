"""Entropic student on handwritten digits of 16 x 16 pixels: a network split after its first stage.

Command: python -m jaxsep.main --config=configs/compression/entropic_student.py:small --workdir=runs/es
Metric: accuracy_at_60, of test digits at 60 bits an image, read off the curve of three points
Measured: accuracy_at_60 0.910 +- 0.021, 83 s a run, seeds 0, 1, 2

small: a teacher, then a curve: imitation and fine-tuning for each weight of the bits, fewer and fewer
bits, each going on from the bottleneck of the one before. input_codec: the image is compressed, then
classified by the teacher. end_to_end: cross-entropy + beta bits from scratch, as many steps a
point as imitation and fine-tuning together. quantized: a student that sends 8 bits a latent. lite0:
groups of emoji at 64 pixels, the teacher EfficientNet-Lite0 with the weights of ImageNet; not tuned: seed
10 gave 0.682 for the teacher, 0.473 at 882 bytes and 0.474 at 491 for the student, in 7 minutes.
full: ImageNet with ResNet-50, the paper's recipe; 10 + 10 epochs after 90 of the teacher.
"""

from configs.defaults import get_defaults

BETAS = {
    'small': (0.1, 0.5, 2.0),
    'input_codec': (0.02, 0.1),
    'end_to_end': (0.001, 0.005, 0.02),
    'quantized': (0.0,),
    'lite0': (2.0, 20.0),
    'smoke': (0.5,),
}
FROZEN = {
    'imitate': ('^teacher/', '^tail/'),
    'finetune': ('^teacher/', '^bottleneck/(encoder|entropy)/'),
    'input_codec': ('^teacher/',),
}


def get_config(arg='small'):
    """The config of one size or baseline: full, or one of BETAS."""
    if arg not in BETAS and arg != 'full':
        raise ValueError(f'arg: expected one of {(*BETAS, "full")}, got {arg!r}')
    config = get_defaults()
    config.method = 'compression/entropic_student'
    if arg == 'full':
        return full(config)
    config.make = dict(channels=6, radius=63, network=dict(width=16, blocks=(0, 0, 0, 0)))
    config.data = dict(
        name='cluttered_digits', image_size=16, digit_size=(13, 15), num_pieces=0, noise=0.05,
        num_train=12000, seed=0,
    )  # fmt: skip
    config.batch_size = 32
    config.optimizer.name = 'adam'
    config.log_every = 50
    coded = arg not in ('smoke', 'quantized')
    config.evals = dict(accuracy=dict(), rate=dict(coded=coded))
    steps = dict(teacher=1500, imitate=600, finetune=400, input_codec=600, end_to_end=1000)
    rates = dict(teacher=5e-3, imitate=1e-2, finetune=5e-3, input_codec=1e-2, end_to_end=1e-2)
    if arg == 'smoke':
        config.make.update(channels=2, radius=7)
        config.make.network.width = 4
        config.data = dict(name='digits', seed=0)
        config.log_every = 5
        steps = dict(teacher=20, imitate=20)
    elif arg == 'quantized':
        config.make.num_bits = 8
    elif arg == 'lite0':
        config.make = dict(
            channels=12, radius=63, label='group', pretrained=True,
            network=dict(name='efficientnet_lite0'),
        )  # fmt: skip
        config.data = dict(name='emoji4', image_size=64, seed=0)
        config.eval_batch_size = 64
        config.evals.accuracy = dict(label='group')
        steps = dict(teacher=200, imitate=200, finetune=100)
        rates = dict(teacher=1e-3, imitate=3e-3, finetune=1e-3)

    def stage(kind, beta=None, measured=False):
        make = dict(stage=kind) if beta is None else dict(stage=kind, beta=beta)
        given = dict(
            name=kind if beta is None else f'{kind}-{beta:g}', make=make, num_steps=steps[kind],
            checkpoint_every=steps[kind],
            optimizer=dict(learning_rate=rates[kind], freeze=FROZEN.get(kind, ())),
        )  # fmt: skip
        if measured and coded:  # how often it is right at its end, and what it sends
            sends = kind != 'teacher'
            make['coded'] = sends
            names = ('accuracy', 'rate') if sends else ('accuracy',)
            given |= dict(eval_every=steps[kind], evals_while_training=names)
        return given

    stages = [] if arg == 'end_to_end' else [stage('teacher', measured=arg in ('small', 'lite0'))]
    for beta in BETAS[arg]:
        if arg in ('input_codec', 'end_to_end'):
            stages.append(stage(arg, beta, measured=True))
        elif arg == 'smoke':
            stages.append(stage('imitate', beta))
        else:
            stages += [stage('imitate', beta), stage('finetune', beta, measured=True)]
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
