"""Escaping Plato's Cave: Towards the Alignment of 3D and Text Latent Spaces (Hadgi et al., 2025).

Two encoders were trained apart, of two kinds of descriptions of the same things. In their full
spaces they hardly agree; in the few directions that canonical correlation analysis finds on known
pairs they do, and the simple tools work there: an affine map, or local CKA.

https://arxiv.org/abs/2503.05283; no code was released. Local CKA and the linear map are those of
the paper it builds on (Maniparambil et al., 2024). The training rows are the anchors.
"""

from jaxsep.algorithms.alignment import affine_align, apply_affine
from jaxsep.algorithms.cca import cca_fit, project_x, project_y
from jaxsep.method import Estimator
from jaxsep.ops.rows import feature_rows


def make(*, x: str = 'x', y: str = 'y', num_directions: int = 50, ridge: float = 0.0) -> Estimator:
    """The common subspace of two encoders as an Estimator.

    Outputs `x_embedding` and `y_embedding`, both in the common space (or as they are, without
    projection), and `embedding`, the x mapped affinely to where its y should be.

    Args:
      x, y: the columns with the two encoders' features.
      num_directions: k of the CCA, 50 in the paper; 0 for the full spaces, the baseline.
      ridge: of the CCA, a share of the mean variance; ours, 0 in the paper.
    """
    if num_directions < 0:
        raise ValueError(
            f'num_directions: expected 0 (no projection) or more, got {num_directions}'
        )

    def projected(cca, batch):
        a, b = feature_rows(batch, x), feature_rows(batch, y)
        return (a, b) if cca is None else (project_x(cca, a), project_y(cca, b))

    def fit(key, data):
        del key
        a, b = feature_rows(data, x), feature_rows(data, y)
        cca = cca_fit(a, b, num_directions, ridge) if num_directions else None
        return {'cca': cca, 'affine': affine_align(*projected(cca, data))}

    def outputs(fitted, batch):
        a, b = projected(fitted['cca'], batch)
        mapped = apply_affine(fitted['affine'], a)
        return {'x_embedding': a, 'y_embedding': b, 'embedding': mapped}

    return Estimator(fit, outputs)
