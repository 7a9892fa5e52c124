"""MLC: Unsupervised Manifold Linearizing and Clustering (Ding et al., 2023).

Features are learnt in which every cluster is a linear subspace of few dimensions, orthogonal to
the others, together with the clusters: no labels, no number of clusters. All points are to fill
many directions, the points around each point few. Who is around whom is a doubly stochastic
affinity of a second head's outputs. Stage 1 (`initialise`) spreads and aligns two views of every
image (total coding rate); stage 2 (`cluster`) copies the feature head into the cluster head and
trains both by the rates. Clusters come from spectral clustering of the affinity
(`jaxsep.evals.spectral_clustering`), when asked for.

https://arxiv.org/abs/2301.01805. No code of the paper is to be had; constants are those of the
follow-up, CPP (https://github.com/LeslieTrue/CPP, https://arxiv.org/abs/2306.05272), checked in
value and gradient: the factor 1/2 of the rates, which the paper leaves out, the half steps of
Sinkhorn's iteration, and |C C^T|, the affinity of rows, where the paper writes C^T C. CPP's
script computes the affinity from the features though its network has the second head
(`affinity_from='features'`), adds the affinity's squared norm (`frobenius_weight`), and decays the
weights of the two heads differently, which is not offered here.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses.coding_rate import (
    coding_rate,
    mean_direction,
    mlc_loss,
    tcr_loss,
    view_alignment,
)
from jaxsep.method import Method, as_taken_over
from jaxsep.models.encoders import apply_train, init_model, make_encoder
from jaxsep.models.two_heads import TwoHeads, copy_feature_head
from jaxsep.ops.devices import example_keys, gather
from jaxsep.ops.doubly_stochastic import absolute_cosines, sinkhorn_affinity

STAGES = ('initialise', 'cluster')
HEADS = ('clusters', 'features')


def make(
    *,
    stage: str = 'initialise',
    augment: Mapping | None = None,
    column: str = 'image',
    encoder: Mapping = {'name': 'resnet18'},  # noqa: B006
    shared: Sequence[int] = (),
    size: int = 128,
    squared_precision: float = 0.2,
    alignment_weight: float = 20.0,
    compression_weight: float = 1.0,
    frobenius_weight: float = 0.0,
    temperature: float = 0.175,
    half_steps: int = 5,
    affinity_from: str = 'clusters',
    copy_head: bool = True,
    chunk_size: int = 256,
    axis_name: str | None = None,
) -> Method:
    """One stage of MLC as a Method; run `initialise` and `cluster` as `config.stages`.

    Outputs `embedding` (features) and `cluster_embedding`, rows of unit length. The rates depend
    on the number of points: the batch size is part of the objective.

    Args:
      stage: initialise or cluster.
      augment: recipe of `jaxsep.data.augment.make_augment`, drawn twice per image; None takes the
        column as it is, as one view (for rows of a frozen encoder, as in CPP).
      column: of the batch, what is encoded.
      encoder: name and options for `jaxsep.models.encoders.make_encoder` (ResNet-18).
      shared: widths of layers after it, see `jaxsep.models.two_heads.TwoHeads`.
      size: outputs of each head (128).
      squared_precision: epsilon squared of all rates (0.2 for NMCE's initialisation; CPP: 0.1).
      alignment_weight: of the mean absolute cosine of the views in stage 1 (lambda).
      compression_weight: gamma in stage 2 (1).
      frobenius_weight: of half the squared norm of the affinity in stage 2 (CPP: 0.05).
      temperature, half_steps: of the affinity (CPP: 0.175 and 5).
      affinity_from: the head whose cosines are the affinity: clusters, or features as in CPP.
      copy_head: begin stage 2 with a cluster head equal to the feature head.
      chunk_size: see `jaxsep.losses.coding_rate.compression`.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if affinity_from not in HEADS:
        raise ValueError(f'affinity_from: expected one of {HEADS}, got {affinity_from!r}')
    change = None if augment is None else make_augment(augment)
    model = TwoHeads(make_encoder(**encoder, axis_name=axis_name), size, shared, axis_name)

    def init(key, batch):
        return init_model(model, key, to_float(batch[column]))

    def encode_views(params, extra, batch, key):
        """Both heads' outputs [v, n, d] for all devices' points, and the new extra state."""
        x = batch[column]
        if change is None:
            num_views, views = 1, to_float(x)
        else:
            num_views, views = 2, both_views(example_keys(key, len(x), axis_name), x, change)
        heads, extra = apply_train(model, params, extra, views)

        def per_view(rows):
            return jnp.stack([gather(part, axis_name) for part in apart(rows, num_views)])

        return *map(per_view, heads), extra

    def initialise(params, extra, batch, key):
        z, _, extra = encode_views(params, extra, batch, key)
        value = tcr_loss(z, squared_precision=squared_precision, alignment_weight=alignment_weight)
        alignment = view_alignment(z)
        rate = -value - alignment_weight * alignment
        return value, (extra, {'rate': rate, 'alignment': alignment})

    def cluster(params, extra, batch, key):
        z, c, extra = encode_views(params, extra, batch, key)

        def affinity_of(rows):
            return sinkhorn_affinity(
                absolute_cosines(rows), temperature=temperature, half_steps=half_steps
            )

        affinity = jnp.mean(jax.vmap(affinity_of)(z if affinity_from == 'features' else c), axis=0)
        z = mean_direction(z)
        value = mlc_loss(
            z,
            affinity,
            squared_precision=squared_precision,
            compression_weight=compression_weight,
            frobenius_weight=frobenius_weight,
            chunk_size=chunk_size,
        )
        metrics = {
            'rate': coding_rate(z, squared_precision=squared_precision),
            'own_affinity': jnp.mean(jnp.diagonal(affinity)),
        }
        return value, (extra, metrics)

    def begin(params, extra):
        return (copy_feature_head(params) if copy_head else params), extra

    def outputs(params, extra, batch):
        z, c = model.apply({'params': params, **extra}, to_float(batch[column]))
        return {'embedding': z, 'cluster_embedding': c}

    if stage == 'initialise':
        return Method(init, initialise, outputs, begin=as_taken_over)
    return Method(init, cluster, outputs, begin=begin)
