"""Dynamic subspace learners against fixed numbers of learners, at the same embedding size.

The paper's schedule at a tenth of its length: divide after 1 epoch without better agreement
(10 in the paper), train all together from epoch 25 (250) of 30 (300). Fixed numbers of
learners follow the same schedule, which was chosen on seed 10.

Recall is within the two points of every fixed number, but clusters are not those of a single
learner, which is the best number here: a drawing's face does not divide into easier parts by
its letter. On seed 10 with half as many characters again in training (test_fraction 0.25),
patience 2 and 3 were one to three points behind the best fixed number in both measures.

The second task is the group of emoji that training never saw, drawn by four vendors, with the same
schedule. There the agreement of clusters and groups kept rising with a single learner, and it was
divided on one seed of three only; with 72 epochs (seed 10) there were two, level in clusters
and 4 points behind the best number in recall, which by then falls for all.
"""

import json

CLAIM = 'Learners that divide while training come within two points of the best fixed number'
SOURCE = (
    'Adiga V et al., 2022, abstract: removes the need for an empirical search of the number '
    'of learners; the task is ours'
)

CONFIG = 'configs/contrastive/dsl.py:small'


NUMBERS = (1, 2, 4)
EMOJI = {
    'data.name': 'emoji4',
    'make.label': 'group',
    'evals.retrieval.label': 'group',
    'evals.kmeans_agreement.label': 'group',
    'num_steps': 30 * 24,
    'checkpoint_every': 30 * 24,
    'log_every': 24,
}


def runs(suffix='', **overrides):
    """The dynamic run, and one for each fixed number of learners."""
    fixed = {
        f'fixed {k}{suffix}': {
            'config': CONFIG,
            'overrides': {**overrides, 'make.dynamic': False, 'make.num_learners': k},
        }
        for k in NUMBERS
    }
    dynamic = {'config': CONFIG} | ({'overrides': overrides} if overrides else {})
    return {f'dynamic{suffix}': dynamic} | fixed


RUNS = runs() | runs(', emoji', **EMOJI)
COMPARISONS = [
    *(
        {
            'metric': metric,
            'larger': f'dynamic{suffix}',
            'smaller': f'fixed {k}{suffix}',
            'margin': -0.02,
        }
        for suffix in ('', ', emoji')
        for metric in ('test/recall@1', 'test/kmeans_nmi')
        for k in NUMBERS
    ),
    {'metric': 'num_learners', 'larger': 'dynamic', 'smaller': 1, 'margin': 1},
]


def measure(workdir):
    """The number of learners at the end of training."""
    lines = (workdir / 'metrics.jsonl').read_text().splitlines()
    trained = [line for line in map(json.loads, lines) if 'num_learners' in line]
    return {'num_learners': trained[-1]['num_learners']}
