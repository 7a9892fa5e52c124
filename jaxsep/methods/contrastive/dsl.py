"""DSL: Attention-based Dynamic Subspace Learners for Medical Image Analysis (Adiga V et al., 2022).

One embedding, divided into slices; each slice is the space of one learner, which trains with
a margin loss on one cluster of the data. Training starts with a single learner; whenever the
clusters of the embedding have stopped to match the classes better, the last learner keeps its
important dimensions and gives the others to a new learner, which starts anew. Attention
weights the feature map and shows where the evidence is.

https://arxiv.org/abs/2206.09068. With `dynamic=False` and `num_learners` = K it is the method it
builds on (Sanakoyeu et al., 2019, Divide and Conquer the Embedding Space), with K = 1 the margin
loss alone. Where paper and code differ, the code is followed, but for its slips: see
`jaxsep.algorithms.dsl`. Three things differ from both, since a step sees no data but its batch:
clusters are made from the features that samples had when they last were in a batch; matching
is judged on the training samples, from these features, in place of a validation set; and batches
are drawn at random from all data, each sample training its own cluster's learner, in place of
batches of four samples a class from one cluster.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsep.algorithms import dsl
from jaxsep.algorithms.kmeans import kmeans, maximin_seeds
from jaxsep.data.augment import make_augment, to_float
from jaxsep.losses.dsl import own_slice, split_normalise
from jaxsep.losses.triplet import margin_loss
from jaxsep.method import Method
from jaxsep.metrics.partitions import normalized_mutual_information
from jaxsep.models.dsl import AttendedFeatures, RenewableLayer, drop, make_map, renew
from jaxsep.models.encoders import apply_train, init_model
from jaxsep.ops.devices import example_keys, gather


class Learners(NamedTuple):
    """Who learns what; everything about learners that changes while training."""

    number: jax.Array  # K, int32
    of_dim: jax.Array  # int32 [d]
    of_sample: jax.Array  # int32 [n]; -1: none in this round
    together: jax.Array  # bool: all dimensions train on all samples
    features: jax.Array  # [n c], of each sample's last batch
    labels: jax.Array  # int32 [n]; -1: not seen yet
    importance: jax.Array  # [d], summed over the epoch
    best: jax.Array  # highest agreement of clusters and classes so far
    best_epoch: jax.Array  # int32
    explored: jax.Array  # bool: divided since the best epoch
    offsets: tuple[jax.Array, jax.Array]  # of the embedding layer, see RenewableLayer
    key: jax.Array  # uint32 [2]


def make(
    *,
    num_samples: int,
    num_classes: int,
    steps_per_epoch: int,
    backbone: Mapping = {'name': 'resnet'},  # noqa: B006
    augment: Mapping = {},  # noqa: B006
    label: str = 'label',
    embedding_size: int = 128,
    num_learners: int = 1,
    dynamic: bool = True,
    max_learners: int = 8,
    patience: int = 10,
    recluster_every: int = 2,
    finetune_epoch: int = 250,
    beta: float = 1.2,
    margin: float = 0.2,
    dropout: float = 0.01,
    axis_name: str | None = None,
) -> Method:
    """DSL as a Method; outputs `embedding` (unit slices side by side), `features`, `attention`.

    Metrics: `num_learners` and `class_agreement` (the best so far).

    Args:
      num_samples, num_classes, steps_per_epoch: facts of the training split.
      backbone: name and options for `jaxsep.models.dsl.make_map`.
      augment: recipe of `jaxsep.data.augment.make_augment`, drawn once per image.
      label: the column of classes.
      num_learners: K at the start, in slices of equal size.
      dynamic: divide learners while training.
      max_learners: bound on K; the paper has none.
      patience: epochs without better agreement after which the last learner divides.
      recluster_every: epochs.
      finetune_epoch: from here on all dimensions train together on all samples.
      beta, margin: of the margin loss.
      dropout: on the features (the code's 0.01).
    """
    if not 1 <= num_learners <= min(max_learners, embedding_size):
        raise ValueError(
            f'num_learners: expected 1 to {min(max_learners, embedding_size)} '
            f'(max_learners, embedding_size), got {num_learners}'
        )
    change = make_augment(augment)
    network = AttendedFeatures(make_map(**backbone, axis_name=axis_name))
    layer = RenewableLayer(embedding_size)

    def embed(params, learners, features):
        raw = layer.apply({'params': params['embedding']}, features, *learners.offsets)
        return split_normalise(raw, learners.of_dim, max_learners)

    def init(key, batch):
        network_key, layer_key, split_key = jax.random.split(key, 3)
        images = to_float(batch['image'])
        params, extra = init_model(network, network_key, images)
        width = jax.eval_shape(network.apply, {'params': params, **extra}, images)[0].shape[-1]
        offsets = jnp.zeros((width, embedding_size)), jnp.zeros(embedding_size)
        slice_size = -(-embedding_size // num_learners)
        learners = Learners(
            number=jnp.int32(num_learners),
            of_dim=jnp.arange(embedding_size, dtype=jnp.int32) // slice_size,
            of_sample=jnp.zeros(num_samples, jnp.int32),
            together=jnp.bool_(True),
            features=jnp.zeros((num_samples, width)),
            labels=jnp.full(num_samples, -1, jnp.int32),
            importance=jnp.zeros(embedding_size),
            best=jnp.float32(-1.0),
            best_epoch=jnp.int32(0),
            explored=jnp.bool_(False),
            offsets=offsets,
            key=jax.random.key_data(split_key),
        )
        embedding = layer.init(layer_key, jnp.zeros((1, width)), *offsets)['params']
        return {'network': params, 'embedding': embedding}, {**extra, 'learners': learners}

    def loss(params, extra, batch, key):
        statistics = {name: x for name, x in extra.items() if name != 'learners'}
        learners, keys = extra['learners'], example_keys(key, len(batch['image']), axis_name)
        images = jax.vmap(change)(keys, batch['image'])
        (features, _), statistics = apply_train(network, params['network'], statistics, images)
        features = drop(keys, features, dropout)
        rows = gather(embed(params, learners, features), axis_name)
        labels, index = gather(batch[label], axis_name), gather(batch['index'], axis_name)
        learner = jnp.where(learners.together, 0, learners.of_sample[index])

        def of_rows(rows):
            own = own_slice(rows, learners.of_dim, learner, whole=learners.together)
            return margin_loss(own, labels, beta=beta, margin=margin, groups=learner)

        # The scores need the gradient in the embedding: taken here, it also carries the
        # gradient of the parameters, so that the loss is differentiated once.
        constant = jax.lax.stop_gradient(rows)
        value, gradient = jax.jit(jax.value_and_grad(of_rows))(constant)
        value = value + jnp.sum(gradient * (rows - constant))
        importance = dsl.taylor_importance(constant, gradient)
        seen = gather(jax.lax.stop_gradient(features), axis_name)
        learners = learners._replace(
            features=learners.features.at[index].set(seen),
            labels=learners.labels.at[index].set(labels),
            importance=learners.importance + importance,
        )
        metrics = {
            'num_learners': learners.number.astype(jnp.float32),
            'class_agreement': learners.best,
        }
        return value, ({**statistics, 'learners': learners}, metrics)

    def outputs(params, extra, batch):
        statistics = {name: x for name, x in extra.items() if name != 'learners'}
        images = to_float(batch['image'])
        features, attention = network.apply({'params': params['network'], **statistics}, images)
        embedding = embed(params, extra['learners'], features)
        return {'embedding': embedding, 'features': features, 'attention': attention}

    def agreement(params, learners):
        """Normalised mutual information of the classes and as many clusters of the embedding."""
        rows, present = embed(params, learners, learners.features), learners.labels >= 0
        seeds = maximin_seeds(rows, num_classes, trim=0.05, weights=present.astype(rows.dtype))
        clusters = kmeans(rows, rows[seeds], 50, weights=present.astype(rows.dtype)).labels
        return normalized_mutual_information(
            learners.labels, clusters, num_classes, num_classes, present
        )

    def divided(params, learners, epoch):
        """The learners after the last one was divided, if that is due and worth it."""
        scores = dsl.neuron_scores(learners.importance, learners.of_dim == learners.number - 1)
        of_dim, renewed = dsl.split_learner(scores, learners.of_dim, learners.number)
        due = (epoch >= learners.best_epoch + patience) & ~learners.explored
        due &= (epoch < finetune_epoch) & (learners.number < max_learners)
        renewed &= due
        split = jnp.any(renewed)
        key = jax.random.fold_in(jax.random.wrap_key_data(learners.key), epoch)
        return learners._replace(
            number=learners.number + split,
            of_dim=jnp.where(split, of_dim, learners.of_dim),
            explored=learners.explored | split,
            offsets=renew(key, **params['embedding'], offsets=learners.offsets, renewed=renewed),
        )

    def reclustered(learners):
        clusters = dsl.recluster(
            learners.features,
            learners.labels >= 0,
            learners.of_sample,
            learners.number,
            max_learners,
        )
        clusters = dsl.drop_singletons(learners.labels, clusters, num_classes, max_learners)
        return learners._replace(of_sample=clusters, together=learners.number == 1)

    def end_of_epoch(params, learners, epoch):
        reached = agreement(params, learners)
        better = reached > learners.best
        learners = learners._replace(
            best=jnp.maximum(reached, learners.best),
            best_epoch=jnp.where(better, epoch, learners.best_epoch),
            explored=learners.explored & ~better,
        )
        before = learners.number
        if dynamic:
            learners = divided(params, learners, epoch)
        due = (epoch % recluster_every == 0) | (epoch == 1) | (learners.number > before)
        due &= (learners.number > 1) & (epoch < finetune_epoch)
        learners = jax.lax.cond(due, reclustered, lambda learners: learners, learners)
        return learners._replace(
            together=learners.together | (epoch >= finetune_epoch),
            importance=jnp.zeros_like(learners.importance),
        )

    def refresh(params, extra, step):
        learners = jax.lax.cond(
            step % steps_per_epoch == 0,
            lambda learners: end_of_epoch(params, learners, step // steps_per_epoch),
            lambda learners: learners,
            extra['learners'],
        )
        return {**extra, 'learners': learners}

    return Method(init, loss, outputs, refresh)
