"""Can queries of a new model be matched against a gallery that an older one encoded?

A compatibility matrix C holds, for every pair of models with the gallery not newer than the query,
an accuracy: C[i, j] with model i for the queries and model j for the gallery. Exact, on the host.

Biondi et al., 2021, https://arxiv.org/abs/2111.07632; Biondi et al., 2024
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


def class_templates(
    features: Shaped[np.ndarray, 'n d'], labels: Int[np.ndarray, 'n']
) -> tuple[Float[np.ndarray, 'k d'], Int[np.ndarray, 'k']]:
    """One direction per class: the mean of its unit features, scaled to unit norm; and the classes.

    A mean of zero stays zero.
    """
    found = np.unique(labels)
    unit = _unit(features)
    return _unit(np.stack([unit[labels == c].mean(axis=0) for c in found])), found


def identification_accuracy(
    gallery: Shaped[np.ndarray, 'n d'],
    gallery_labels: Int[np.ndarray, 'n'],
    queries: Shaped[np.ndarray, 'q d'],
    query_labels: Int[np.ndarray, 'q'],
) -> float:
    """Share of queries whose nearest class template of the gallery, by cosine, is their class.

    Ties go to the lower class number. Rank-1 identification of the paper.

    Raises ValueError where there is no query or nothing in the gallery.
    """
    for name, rows in (('gallery', gallery), ('queries', queries)):
        if not len(rows):
            raise ValueError(f'{name}: expected at least one row, got none')
    templates, classes = class_templates(gallery, gallery_labels)
    nearest = classes[np.argmax(_unit(queries) @ templates.T, axis=1)]
    return float(np.mean(nearest == query_labels))


def violations(matrix: Shaped[np.ndarray, 't t']) -> Bool[np.ndarray, 't t']:
    """Where a new model with an old gallery is not better than the old model by itself.

    Entry [i, j], j < i, is true where C[i, j] <= C[j, j]; a tie is a violation.
    """
    later = np.tri(len(matrix), k=-1, dtype=bool)
    return later & (matrix <= np.diagonal(matrix)[None, :])


def average_compatibility(matrix: Shaped[np.ndarray, 't t']) -> float:
    """1 minus the share of violations among the t (t - 1) / 2 pairs of models; 1 for one model."""
    pairs = len(matrix) * (len(matrix) - 1) / 2
    return 1.0 - float(violations(matrix).sum()) / max(pairs, 1)


def average_accuracy(
    matrix: Shaped[np.ndarray, 't t'], *, zeros_are_missing: bool = False
) -> float:
    """Mean of the lower triangle with the diagonal, in the units of the matrix.

    Args:
      zeros_are_missing: leave out accuracies of exactly 0, as the released code does.
    """
    values = matrix[np.tri(len(matrix), dtype=bool)]
    if zeros_are_missing:
        values = values[values != 0]
    return float(values.mean()) if len(values) else 0.0


def self_and_cross_accuracy(matrix: Shaped[np.ndarray, 't t']) -> tuple[float, float]:
    """Mean of the diagonal, and of what lies below it (0 for one model)."""
    below = matrix[np.tri(len(matrix), k=-1, dtype=bool)]
    return float(np.diagonal(matrix).mean()), float(below.mean()) if len(below) else 0.0


def _unit(x: Shaped[np.ndarray, 'n d']) -> Float[np.ndarray, 'n d']:
    """Rows scaled to unit norm in float64; a zero row stays zero."""
    x = np.asarray(x, np.float64)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 0, norm, 1.0)
