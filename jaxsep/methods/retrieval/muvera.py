"""MUVERA: Multi-Vector Retrieval via Fixed Dimensional Encodings (Dhulipala et al., 2024).

Late-interaction models score a query by the Chamfer similarity of sets of vectors. Here each set
becomes one vector, without looking at any data, so that the inner product of a query's and a
document's approximates that similarity, and any index for inner products finds candidates; the
exact similarity then reranks them (`jaxsep.algorithms.multi_vector_search`).

https://arxiv.org/abs/2405.19504. The paper projects inside the parts by dense +-1 / sqrt(p), the
authors' code by an unscaled count sketch: both are here, the paper's is the default.
Mean pooling is the special case of no planes and one repetition.
"""

import jax.numpy as jnp

from jaxsep.algorithms.fixed_dimensional_encoding import (
    check_options,
    document_encoding,
    draw,
    query_encoding,
)
from jaxsep.method import Estimator
from jaxsep.ops.geometry import in_float32, l2_normalize


def make(
    *,
    num_repetitions: int = 20,
    num_planes: int = 5,
    projection_dim: int | None = 16,
    projection: str = 'dense',
    final_dim: int | None = None,
    fill_empty: bool = True,
    normalize: bool = False,
    keep_sets: bool = False,
) -> Estimator:
    """Encodings of the sets `document_vectors` [b, t, d] and, where there are any, `query_vectors`.

    The masks `document_mask` and `query_mask` [b, t] tell members from padding; without one all
    vectors are members. Outputs, one row per example: `embedding` of the document and
    `query_embedding` of the query, both [b, num_repetitions 2^num_planes projection_dim], or
    [b, final_dim]; an empty set is 0. Their inner products are the scores.

    Args:
      num_repetitions: R, with independent planes and projections; paper 1 to 20 (40 offline).
      num_planes: k of the 2^k parts; paper 2 to 6.
      projection_dim: p, of vectors inside a part; None leaves their d. Paper 8 to 64.
      projection: 'dense' (paper) or 'count_sketch' (the authors' code).
      final_dim: of a count sketch of the whole encoding; None leaves it out, as the paper's
        search does.
      fill_empty: parts of a document without vectors take the one that is nearest by bits (paper).
      normalize: scales vectors to unit norm before; late-interaction encoders do it themselves.
      keep_sets: names the sets and masks as outputs too, for evaluations against the exact
        similarity.
    """
    options = dict(
        num_repetitions=num_repetitions,
        num_planes=num_planes,
        projection_dim=projection_dim,
        projection=projection,
        final_dim=final_dim,
    )
    check_options(**options)

    def fit(key, data):
        matrices = draw(key, sets(data)['document_vectors'].shape[2], **options)
        # A checkpoint holds no arrays of size 0: without planes there is one that is not used.
        unused = ((0, 0), (0, 0), (0, int(num_planes == 0)))
        return matrices._replace(planes=jnp.pad(matrices.planes, unused))

    def outputs(fitted, batch):
        batch, fitted = sets(batch), fitted._replace(planes=fitted.planes[:, :, :num_planes])
        found = {
            'embedding': document_encoding(
                batch['document_vectors'],
                fitted,
                batch['document_mask'],
                fill_empty=fill_empty,
                final_dim=final_dim,
            )
        }
        if 'query_vectors' in batch:
            found['query_embedding'] = query_encoding(
                batch['query_vectors'], fitted, batch['query_mask'], final_dim=final_dim
            )
        return {**found, **batch} if keep_sets else found

    def sets(batch):
        """The sets and masks of a batch."""
        if 'document_vectors' not in batch:
            raise ValueError(f"data: expected a column 'document_vectors', got {sorted(batch)}")
        found = {}
        for of in ('document', 'query'):
            if f'{of}_vectors' in batch:
                vectors = in_float32(jnp.asarray(batch[f'{of}_vectors']))
                mask = batch.get(f'{of}_mask', jnp.ones(vectors.shape[:2], bool))
                found[f'{of}_vectors'] = l2_normalize(vectors) if normalize else vectors
                found[f'{of}_mask'] = jnp.asarray(mask).astype(bool)
        return found

    return Estimator(fit, outputs)
