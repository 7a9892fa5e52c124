"""Dynamic subspace learners: which of twelve typefaces is it, on characters never seen.

Command: python -m jaxsep.main --config=configs/contrastive/dsl.py:small --workdir=runs/dsl
Metric: test/recall@1, the nearest other test drawing is in the same typeface
Measured: test/recall@1 0.729 +- 0.004, 149 s a run, seeds 0, 1, 2

full is the paper's network and schedule on the photographs of weeds of TFDS; its three medical
sets are not in TFDS.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'contrastive/dsl'
    config.make = dict(
        label='face',
        backbone=dict(name='conv', widths=(16, 32, 64)),
        embedding_size=32,
        num_learners=1,
        dynamic=True,
        max_learners=6,
        patience=1,
        recluster_every=2,
        finetune_epoch=25,
    )
    config.data = dict(name='glyphs', image_size=16, test_fraction=0.5)
    config.batch_size = 128
    config.num_steps = 30 * 59  # 30 epochs, a tenth of the paper's schedule
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = 'steps'
    config.optimizer.boundaries = (25 / 30,)  # at finetune_epoch
    config.checkpoint_every = 885
    config.log_every = 59
    config.evals = dict(
        retrieval=dict(label='face', ks=(1, 2, 4, 8)),
        kmeans_agreement=dict(label='face'),
    )
    if arg == 'smoke':
        config.make.backbone = dict(name='conv', widths=(8, 16))
        config.make.embedding_size = 24
        config.make.num_learners = 2
        config.make.max_learners = 3
        # 8 steps an epoch, so that clusters and learners change within the run.
        few = dict(name='with_counts', counts=(26,) * 10)
        config.data = dict(name='digits', modifiers=(few,))
        config.make.label = 'label'
        config.batch_size = 32
        config.num_steps, config.log_every = 40, 4
        config.optimizer.schedule = 'constant'
        config.evals = dict(retrieval=dict(label='label', ks=(1,)))
    elif arg == 'full':
        config.make = dict(
            backbone=dict(name='resnet', depth=50, stages=3),
            augment=dict(crop=dict(area=(0.16, 1.0)), flip=dict()),
            embedding_size=128,
            num_learners=1,
            dynamic=True,
            max_learners=8,
            patience=10,
            recluster_every=2,
            finetune_epoch=250,
        )
        config.data = dict(name='tfds:deep_weeds', image_size=224)
        config.batch_size = 32
        config.num_steps = 300 * 437  # 300 epochs of 80 % of 17,509 images
        config.optimizer.learning_rate = 1e-5
        config.optimizer.schedule = 'constant'
        config.optimizer.weight_decay = 1e-4
        config.evals = dict(
            retrieval=dict(label='label', ks=(1, 2, 4, 8)),
            kmeans_agreement=dict(label='label'),
        )
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
