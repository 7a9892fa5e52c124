"""Every key a config may have, with its default; configs start from here."""

import ml_collections


def get_defaults():
    """A config that is complete but for `method` and `data.name`."""
    config = ml_collections.ConfigDict()
    config.seed = 0

    config.method = ''  # <family>/<slug>
    config.make = ml_collections.ConfigDict()  # keyword arguments of the method's make()

    config.data = ml_collections.ConfigDict()  # name, options of the source, modifiers
    config.data.name = ''
    # Frozen encoders that the rows pass first: name (of jaxsep/models/pretrained) and its options,
    # or stages (names of earlier ones) and outputs (which of theirs; all if empty), and beside them
    # pretrained (name and options). Several give columns '<stage or name>/<output>'.
    config.encoder = ml_collections.ConfigDict()
    config.batch_size = 256  # the global batch, over all devices
    config.eval_batch_size = 512

    config.num_steps = 1000
    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = 'adamw'  # any optimizer of optax
    config.optimizer.learning_rate = 1e-3
    config.optimizer.options = ml_collections.ConfigDict()  # further arguments of that optimizer
    config.optimizer.schedule = 'cosine'  # constant | cosine | linear | steps
    config.optimizer.warmup_steps = 0
    config.optimizer.boundaries = ()  # for 'steps': fractions of num_steps
    config.optimizer.decay_factor = 0.1  # for 'steps'
    config.optimizer.weight_decay = 0.0  # on kernels and embeddings, not on biases and norms
    config.optimizer.clip_norm = 0.0  # 0: no clipping
    config.optimizer.accumulate = 1  # batches per update
    config.optimizer.freeze = ()  # regular expressions on parameter paths

    config.compute_dtype = 'float32'  # float32 | bfloat16: layers of networks while they learn
    config.parallel = 'jit'  # jit | pmap
    config.num_devices = 0  # 0: all

    config.log_every = 50
    config.checkpoint_every = 1000
    config.eval_every = 0  # 0: only at the end
    config.evals = ml_collections.ConfigDict()  # name of the evaluation -> its options
    config.evals_while_training = ()  # names among evals
    config.select = ml_collections.ConfigDict()
    config.select.metric = ''  # the best checkpoint is the one with the best value of it
    config.select.mode = 'max'  # max | min
    config.select.use = 'last'  # last | best: which one is evaluated at the end
    config.select.patience = 0  # evaluations without improvement before stopping; 0: never
    config.select.min_delta = 0.0

    config.stages = ()  # dicts of overrides with a 'name'; parameters pass from stage to stage
    config.take_over = True  # in a stage: start from the parameters of the stage before
    config.seed_offset = 0  # in a stage: added to seed
    config.report = True  # write report.html
    return config
