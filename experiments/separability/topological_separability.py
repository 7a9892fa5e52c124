"""Does the label-free topological score tell how separable an embedding has become?"""

import pathlib

from scipy.stats import spearmanr

from jaxsep.trainers import records

CLAIM = (
    'Without labels, the topology of an embedding tracks its separability and tells when to stop'
)
SOURCE = 'Ghalyan et al., 2023, abstract and figure 1'

CONFIG = 'configs/separability/topological_separability.py:small'
RUNS = {
    'two classes': {'config': CONFIG},
    'ten classes': {'config': CONFIG, 'overrides': {'data.classes': tuple(range(10))}},
}
COMPARISONS = [
    {'metric': 'score_silhouette_spearman', 'larger': 'two classes', 'smaller': 0.6},
    # Accuracy lost by the checkpoint with the best score, against the best of all checkpoints.
    {'metric': 'accuracy_lost', 'larger': 0.02, 'smaller': 'two classes'},
]


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """Over the evaluations of a run: rank correlation of 1 - S with silhouette; accuracy lost."""
    lines = [x for x in records.read(workdir / 'metrics.jsonl') if 'test/silhouette' in x]
    score = [x['test/topological_separability'] for x in lines]
    accuracy = [x['test/accuracy'] for x in lines]
    chosen = max(range(len(lines)), key=lambda i: score[i])
    return {
        'score_silhouette_spearman': float(
            spearmanr(score, [x['test/silhouette'] for x in lines])[0]
        ),
        'accuracy_lost': max(accuracy) - accuracy[chosen],
        'first_score': score[0],
        'last_score': score[-1],
    }
