"""Six tasks of digit classes, each model's queries matched in the galleries of the models before.

Command: python -m jaxsep.main --config=configs/incremental/dsimplex.py:small --workdir=runs/dsimplex
Metric: test/average_accuracy of identifying eight classes that no model was trained on
Measured: test/average_accuracy 0.739 +- 0.019, 31 s a run, seeds 0, 1, 2

Before tasks 2 and 4 the model is replaced by one trained from scratch on all rows of the classes
so far. er is the baseline: a learnable classifier, cross-entropy only. full is CIFAR-100 in seven
tasks, the paper's recipe; its replacement models are trained elsewhere, here on the classes so
far, and its test is identification on CIFAR-10, here on the last ten classes.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small, er or full."""
    config = get_defaults()
    config.method = 'incremental/dsimplex'
    sizes, replaced, open_classes, epochs, exemplars = (10, 4, 4, 4, 4, 4), (2, 4), 8, 40, 20
    config.make = dict(
        num_outputs=64, head='simplex', ce_weight=0.1, scale=10.0, mask='zero', seen_classes=0,
        encoder=dict(name='mlp', widths=(128, 128), normalize=False),
    )  # fmt: skip
    data = dict(name='transformed_digits', test_fraction=0.4, seed=0)
    order = (dict(name='select_classes', classes=tuple(7 * i % 40 for i in range(40))),)
    rows_per_class = 108
    config.batch_size = 64
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'constant'
    if arg == 'smoke':
        sizes, replaced, open_classes, exemplars = (4, 2), (), 4, 5
        data.update(num_transforms=1, test_fraction=0.5)
        order, rows_per_class = (), 90
        config.make.num_outputs = 16
        config.make.encoder.widths = (32, 16)
        config.batch_size, epochs = 32, 4
    elif arg == 'er':
        config.make.head = 'learnable'
        config.make.ce_weight = 1.0
    elif arg == 'full':
        sizes, replaced, epochs = (10, 15, 15, 15, 15, 15), (2, 4), 70
        data, order, rows_per_class, open_classes = dict(name='tfds:cifar100'), (), 500, 15
        config.make.num_outputs = 1024
        config.make.encoder = dict(name='resnet18')
        config.make.augment = dict(crop=dict(area=(0.6, 1.0)), flip=dict())
        config.batch_size = 128
        config.optimizer.name = 'sgd'
        config.optimizer.options = dict(momentum=0.9)
        config.optimizer.schedule = 'cosine'
        config.optimizer.weight_decay = 5e-4
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small', 'er' or 'full', got {arg!r}")
    seen = [sum(sizes[: task + 1]) for task in range(len(sizes))]

    def stage(name, session_sizes, session, classes, **changed):
        rehearsal = dict(
            name='rehearsal', sizes=session_sizes, session=session, exemplars=exemplars,
            balance=True,
        )  # fmt: skip
        rows = session_sizes[session] * rows_per_class * (2 if session else 1)
        steps = epochs * (rows // config.batch_size)
        return dict(
            name=name, data=dict(modifiers=(*order, rehearsal)), num_steps=steps,
            checkpoint_every=steps, log_every=max(steps // 5, 1), **changed,
        )  # fmt: skip

    # smoke ties even the first task to a previous model, the untrained one, to try that loss.
    fresh = dict() if arg == 'smoke' else dict(ce_weight=1.0)
    stages = []
    for task, classes in enumerate(seen):
        answers = dict(seen_classes=classes) if config.make.head == 'learnable' else {}
        if task in replaced:
            stages.append(
                stage(
                    f'replacement{task}',
                    (classes,),
                    0,
                    classes,
                    take_over=False,
                    seed_offset=100 * task,
                    make=dict(fresh, **answers),
                )  # fmt: skip
            )
        make = dict(fresh, **answers) if task == 0 else answers
        stages.append(stage(f'task{task}', sizes, task, classes, make=make))
    config.data = dict(**data, modifiers=stages[0]['data']['modifiers'])
    for key in ('num_steps', 'checkpoint_every', 'log_every'):
        config[key] = stages[0][key]
    total = 10 * data['num_transforms'] if 'num_transforms' in data else 40
    total = 100 if arg == 'full' else total
    config.evals = dict(
        compatibility=dict(
            models=tuple(f'task{task}' for task in range(len(sizes))) if replaced else (),
            classes=tuple(range(total - open_classes, total)),
        )
    )
    config.stages = tuple(stages)
    return config
