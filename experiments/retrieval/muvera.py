"""Do encodings of sets find the document of largest Chamfer similarity among few candidates?"""

import json
import pathlib

CLAIM = (
    'Encodings find the document of largest Chamfer similarity among far fewer candidates than '
    'mean pooling, the fewer the longer they are, and among fewer than the single-vector heuristic'
)
SOURCE = 'Dhulipala et al., 2024, figures 3 to 5'
SEEDED = ('seed', 'data.seed')
KS = (1, 5, 10, 50)

SMALL, DIGITS = 'configs/retrieval/muvera.py:small', 'configs/retrieval/muvera.py:digits'
MEAN = {'make.num_repetitions': 1, 'make.num_planes': 0, 'make.projection_dim': None}
SIZES = ((1, 2), (5, 3), (10, 4), (20, 4))
RUNS = {
    'wordnet': {'config': SMALL},
    'wordnet, mean pooled': {'config': SMALL, 'overrides': MEAN},
    'digits, mean pooled': {'config': DIGITS, 'overrides': MEAN},
    **{
        f'digits {r, k}': {
            'config': DIGITS,
            'overrides': {'make.num_repetitions': r, 'make.num_planes': k},
        }
        for r, k in SIZES
    },
}
ORDER = ['digits, mean pooled', *(f'digits {size}' for size in SIZES)]
COMPARISONS = [
    {'metric': 'test/recall@10', 'larger': 'wordnet', 'smaller': 'wordnet, mean pooled',
     'margin': 0.05},
    *({'metric': 'test/recall@10', 'larger': larger, 'smaller': smaller, 'margin': 0.03}
      for smaller, larger in zip(ORDER, ORDER[1:], strict=False)),
    {'metric': 'over_single_vector@10', 'larger': 'digits (20, 4)', 'smaller': 0.0},
    {'metric': 'over_single_vector@10', 'larger': 'wordnet', 'smaller': 0.0},
]  # fmt: skip


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """Recall of the encodings less that of the single-vector heuristic, at equal candidates."""
    results = json.loads((workdir / 'results.json').read_text())
    return {
        f'over_single_vector@{k}': results[f'test/recall@{k}']
        - results[f'test/single_vector_recall@{k}']
        for k in KS
    }


def draw(figure, values) -> None:
    """Recall of the exact nearest document against the number of candidates."""
    figure.set_size_inches(9, 3.6)
    for axes, which in zip(figure.subplots(1, 2, sharey=True), ('digits', 'wordnet'), strict=True):
        runs = [run for run in values if run.startswith(which)]
        for run in runs:
            line(axes, values[run], 'test/recall', run.removeprefix(which).strip(', ') or 'encoding')
        line(axes, values[runs[0]], 'test/single_vector_recall', 'single-vector', linestyle='--')
        axes.set_xscale('log')
        axes.set_xticks(KS, [str(k) for k in KS])
        axes.set_xlabel('candidates')
        axes.set_title(which, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.axes[0].set_ylabel('exact nearest document found')


def line(axes, metrics, name, label, **style) -> None:
    """Mean over the seeds, and their range."""
    found = [metrics[f'{name}@{k}'] for k in KS]
    axes.plot(KS, [sum(each) / len(each) for each in found], 'o-', **{'label': label, **style})
    axes.fill_between(KS, [min(x) for x in found], [max(x) for x in found], alpha=0.15)
