"""A classifier of threes and eights, stopped by the topology of its unlabelled embedding.

Command: python -m jaxsep.main --config=configs/separability/topological_separability.py:small
    --workdir=runs/topological_separability
Metric: score_silhouette_spearman, of 1 - S and the silhouette over the evaluations of a run
Measured: score_silhouette_spearman 0.963 +- 0.041, 2 s a run, seeds 0, 1, 2

full is the paper's text classification, not run here: SST-2 and a small transformer on hashed
words, trained with labels and from scratch (the paper fine-tunes pretrained sentence encoders).
After each epoch the score is taken on the 872 validation sentences, without their labels; it picks
the checkpoint and may end the run.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'separability/topological_separability'
    config.make = dict(widths=(64, 64, 16), layer_norm=False)
    config.data = dict(name='digits', classes=(3, 8), test_fraction=0.5, seed=0)
    config.batch_size = 32
    config.num_steps = 150
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'constant'
    config.log_every = 5
    config.eval_every = 5
    config.checkpoint_every = 50
    config.evals = dict(
        topology=dict(label='label', max_points=300),
        knn=dict(label='label'),
        accuracy=dict(label='label'),
    )
    config.evals_while_training = ('topology', 'accuracy')
    config.select.metric = 'test/persistence_score'
    config.select.mode = 'min'
    config.select.use = 'best'
    if arg == 'smoke':
        config.make.widths = (16, 8)
        config.num_steps, config.log_every, config.eval_every = 16, 2, 8
        config.evals.topology.max_points = 50
    elif arg == 'full':
        config.make = dict(
            input='tokens',
            encoder=dict(name='text', num_tokens=32_768, width=256, depth=4, num_heads=4),
            widths=(),
        )
        # The labels of the test split are hidden.
        config.data = dict(name='tfds:glue/sst2', test='validation', text='sentence', max_length=64)
        config.data.num_tokens = config.make.encoder.get_ref('num_tokens')
        config.batch_size = 256
        config.num_steps = 263 * 10  # epochs of 67,349 sentences
        config.optimizer.learning_rate = 3e-4
        config.log_every, config.eval_every, config.checkpoint_every = 50, 263, 263
        config.evals.topology.max_points = 872
        # On made-up sentences S first rose for some dozen steps, then fell: hence the long patience.
        config.select.patience = 5
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
