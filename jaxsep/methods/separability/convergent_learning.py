"""Convergent Learning: Do different neural networks learn the same representations? (Li et al., 2015).

One architecture is trained from two random starts, and the units of a layer are compared: one to one
(a matching on the correlation of activations, or their mutual information), one to many (a
sparse linear map that predicts the units of one network from those of the other), many to many
(spectral clusters of the units of both). Some units are learnt by every network; of others
only the subspace is shared, not the basis.

Stage `network` is the classifier; a config runs it twice, the second time with another seed and
without taking over. Stage `match` is fitted on the activations of both, its rows being the outputs of
these stages.

https://arxiv.org/abs/1511.07543, https://github.com/YixuanLi/convergent_learning. There the sparse
map is trained by stochastic subgradients of the L1 norm, which leave no weight at exactly 0, with a
penalised bias; here it is the lasso at its optimum, whose bias is free. Clusters of the paper are
hierarchical, on the correlations within networks too; spectral clustering of those between
networks follows a description of it, the code is not released.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxsep.algorithms.lasso import coordinate_descent, nonzeros_per_unit, unit_scale
from jaxsep.algorithms.unit_clusters import joint_spectral_clusters
from jaxsep.data.augment import to_float
from jaxsep.method import Estimator, Method
from jaxsep.metrics.unit_matching import (
    as_samples,
    bipartite_match,
    correlation_of_moments,
    semi_match,
    unit_information,
    unit_moments,
)
from jaxsep.models.convergent_learning import make_network
from jaxsep.ops import devices

STAGES = ('network', 'match')
SIMILARITIES = ('correlation', 'mutual_information')


class Fitted(NamedTuple):
    """What `match` learns of the units of two networks, p and q of them.

    Attributes:
      correlation: [p, q].
      order: int32 [p], the unit of the second network that each unit of the first is matched with.
      semi: int32 [p], the same where units may be shared.
      nearest: int32 [q], the unit of the first network whose correlation with each unit of the
        second is largest, whatever its sign.
      scale_a, scale_b: [p] and [q], one over the standard deviations; 0 for a constant unit.
      weights: [l, p, q], the sparse maps from scaled units to scaled units, one per penalty.
      bias: [l, q].
      converged: [l], whether each map is within the tolerance of its optimum.
      clusters: int32 [p + q], of the units of both; -1 for a constant one.
    """

    correlation: Array
    order: Array
    semi: Array
    nearest: Array
    scale_a: Array
    scale_b: Array
    weights: Array
    bias: Array
    converged: Array
    clusters: Array


def make(
    *,
    stage: str = 'network',
    network: Mapping = {'name': 'mlp'},  # noqa: B006
    label: str = 'label',
    num_classes: int | None = None,
    first: str = 'a/layer1',
    second: str = 'b/layer1',
    similarity: str = 'correlation',
    num_bins: int = 10,
    penalties: Sequence[float] = (0.0, 0.01, 0.1),
    num_clusters: int = 8,
    max_steps: int = 1000,
    axis_name: str | None = None,
) -> Method | Estimator:
    """One stage of convergent learning: a classifier, or the matching of two of them.

    Stage 'network' outputs `layer1`, `layer2`, ..., the activations of each layer, and `logits`.
    Stage 'match' outputs per row, and for a convolutional layer per place: `first`, the activations
    of the one network; `matched` and `semi_matched`, of the units of the other that go with them;
    `second` and `nearest`, the activations of the other network and of the single unit of the
    first that is nearest to each; for every penalty x `predicted/x`, the other network as the
    sparse map tells it, and `nonzeros/x` [b, q], from how many units (the same in every row).
    `second` and `predicted` are in units of the standard deviation over the training rows.

    Args:
      stage: network or match.
      network: name and options for `jaxsep.models.convergent_learning.make_network`.
      label: the column of the classes.
      num_classes: fact of the label column; needed for the network.
      first, second: the columns with the activations, [b, p] or [b, h, w, p] each; widths of both
        must be equal, units are matched one to one.
      similarity: what matchings are made on, correlation or mutual_information (of
        `percentile_bins`, as they are: their bias is the same for all pairs).
      num_bins: of each unit, for the mutual information.
      penalties: of the sparse maps, in units of the correlation of scaled units; 0 is least
        squares. The paper's go from 1e-5 to 0.1 (its released runs).
      num_clusters: of the units of both networks together; ours.
      max_steps: bound on the passes of the lasso.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if stage == 'network':
        return classifier(network, label, num_classes, axis_name)
    if similarity not in SIMILARITIES:
        raise ValueError(f'similarity: expected one of {SIMILARITIES}, got {similarity!r}')
    penalties = tuple(float(x) for x in penalties)
    if not penalties or min(penalties) < 0 or len(set(penalties)) < len(penalties):
        raise ValueError(f'penalties: expected different numbers from 0 up, got {penalties}')
    if num_bins < 2:
        raise ValueError(f'num_bins: expected at least 2, got {num_bins}')

    def activations(data):
        missing = [name for name in (first, second) if name not in data]
        if missing:
            raise ValueError(f'data: no column {missing[0]!r}; there are {sorted(data)}')
        a, b = (jnp.asarray(data[name]).astype(jnp.float32) for name in (first, second))
        if a.shape != b.shape:
            raise ValueError(
                f'second: expected activations of shape {a.shape} as in {first!r}, '
                f'got {b.shape} in {second!r}'
            )
        return a, b

    def fit(key, data):
        del key
        a, b = (as_samples(x) for x in activations(data))
        correlation = correlation_of_moments(unit_moments(a, b))
        alike = correlation
        if similarity == 'mutual_information':
            alike, _ = unit_information(a, b, num_bins)
        scale_a, scale_b = unit_scale(a), unit_scale(b)
        weights, bias, converged = sparse_maps(a, b, scale_a, scale_b, penalties, max_steps)
        return Fitted(
            correlation=correlation,
            order=bipartite_match(alike),
            semi=semi_match(alike),
            nearest=jnp.argmax(jnp.abs(correlation), axis=0).astype(jnp.int32),
            scale_a=scale_a,
            scale_b=scale_b,
            weights=weights,
            bias=bias,
            converged=converged,
            clusters=joint_spectral_clusters(correlation, num_clusters),
        )

    def outputs(fitted, batch):
        a, b = activations(batch)
        told = jnp.einsum(
            'np,lpq->lnq',
            as_samples(a) * fitted.scale_a[None, :],
            fitted.weights,
            precision='highest',
        )
        told = told + fitted.bias[:, None, :]
        counts = nonzeros_per_unit(fitted.weights)
        named = {
            'first': a,
            'matched': b[..., fitted.order],
            'semi_matched': b[..., fitted.semi],
            'second': (as_samples(b) * fitted.scale_b[None, :]).reshape(b.shape),
            'nearest': a[..., fitted.nearest],
        }
        for i, penalty in enumerate(penalties):
            named[f'predicted/{penalty:g}'] = told[i].reshape(b.shape)
            named[f'nonzeros/{penalty:g}'] = jnp.tile(counts[i][None, :], (len(a), 1))
        return named

    return Estimator(fit, outputs)


def classifier(network, label, num_classes, axis_name) -> Method:
    """The network, trained with cross-entropy."""
    if num_classes is None:
        raise ValueError("num_classes: needed for stage='network', got None")
    model = make_network(**network, num_classes=num_classes)

    def init(key, batch):
        variables = model.init(key, to_float(batch['image']))
        return variables['params'], {}

    def loss(params, extra, batch, key):
        del key
        labels = jnp.asarray(batch[label])
        logits = model.apply({'params': params}, to_float(batch['image']))['logits']
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        right = devices.mean(jnp.argmax(logits, axis=-1) == labels, axis_name)
        return devices.mean(each, axis_name), (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        del extra
        return model.apply({'params': params}, to_float(batch['image']))

    return Method(init, loss, outputs)


def sparse_maps(
    a: Float[Array, 'n p'],
    b: Float[Array, 'n q'],
    scale_a: Float[Array, 'p'],
    scale_b: Float[Array, 'q'],
    penalties: tuple[float, ...],
    max_steps: int,
) -> tuple[Array, Array, Array]:
    """Weights [l, p, q], bias [l, q] and convergence [l] of the sparse maps of scaled units.

    Each starts from that of the next larger penalty; the moments are formed once.
    """
    n = max(len(a), 1)
    mean_a, mean_b = jnp.sum(a, axis=0) / n * scale_a, jnp.sum(b, axis=0) / n * scale_b
    apart_a = a * scale_a[None, :] - mean_a[None, :]
    apart_b = b * scale_b[None, :] - mean_b[None, :]
    gram = jnp.matmul(apart_a.T, apart_a, precision='highest') / n
    cross = jnp.matmul(apart_a.T, apart_b, precision='highest') / n
    falling = sorted(range(len(penalties)), key=lambda i: -penalties[i])

    def step(start, penalty):
        found = coordinate_descent(gram, cross, penalty, start, max_steps=max_steps)
        return found.weights, (found.weights, found.converged)

    given = jnp.array([penalties[i] for i in falling], jnp.float32)
    _, (weights, converged) = jax.lax.scan(step, jnp.zeros_like(cross), given)
    back = jnp.argsort(jnp.array(falling))
    weights, converged = weights[back], converged[back]
    told = jnp.einsum('p,lpq->lq', mean_a, weights, precision='highest')
    return weights, mean_b[None, :] - told, converged
