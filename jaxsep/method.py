"""The contract: what a method is, and nothing else. Read this file first.

A method of jaxsep is a NamedTuple of pure functions, made by one factory,
`jaxsep.methods.<family>.<slug>.make(*, ...)`. There are two kinds:

* `Method` learns by gradient descent. The trainer turns it into one jitted step.
* `Estimator` is fitted once, without gradients (clustering, search, encodings).

After training or fitting, both are the same thing to the rest of the library:
a function from a batch to *named outputs*. Evaluations and reports see only
those, so every measure works with every method that names what it needs.

Three words are used throughout:

* `Batch`: a dict of arrays with a common leading axis `b`. It always holds
  `index` (int32, the row of the example in its data set); image sources give
  `image` (or `views`, several of one thing), texts `tokens`, mixed sounds `mixture`,
  labelled sources one integer array per label column, and those with boxes, masks
  or waveforms to be found the `true_` ones.
* `Tree`: any pytree of arrays.
* facts: what only the data can tell. A factory that has a keyword-only
  argument named `num_samples`, `num_classes`, `steps_per_epoch`, `field_sizes`,
  `sample_rate` or `axis_name` is handed the fact by main, unless the config sets it.

A complete method:

    def make(*, width=64, temperature=0.2, axis_name=None):
        net = Encoder(width)
        def init(key, batch):
            return net.init(key, batch['image']), {}
        def loss(params, extra, batch, key):
            views = two_views(key, batch['image'])
            ...
            return value, (extra, {'alignment': ...})
        def outputs(params, extra, batch):
            return {'embedding': net.apply(params, batch['image'])}
        return Method(init, loss, outputs)
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Tree = Any
Batch = Mapping[str, jax.Array | np.ndarray]


class Init(Protocol):
    """How a method starts."""

    def __call__(self, key: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        """Parameters and extra state, from a key and one example batch.

        Only shapes and dtypes of `batch` may matter. It is called under `jit`,
        so two leaves of the result never share a buffer, even where a teacher
        starts as a copy of its student.

        Returns:
          params: what the optimizer updates.
          extra: everything else that changes while training: batch statistics,
            teachers, queues, estimates per sample. An empty dict if nothing does.
        """


class Loss(Protocol):
    """What a method minimises."""

    def __call__(
        self, params: Tree, extra: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Mapping[str, jax.Array]]]:
        """The training loss of the GLOBAL batch; differentiated in `params` only.

        Write it as if there were one device: no collectives, no sharding. `key`
        is fresh at every step and the only source of randomness; what is random
        per example is drawn from `jaxsep.ops.devices.example_keys`, so that the
        number of devices changes nothing.

        A factory that takes `axis_name` can be run under pmap too. Its loss then
        sees one shard, gathers what the loss compares with
        `jaxsep.ops.devices.gather`, and returns the value of the whole batch on
        every device. The trainer averages values and gradients over the devices,
        which with gathers makes both exact.

        Returns:
          value: float32 scalar.
          extra: the new extra state, same structure, shapes and dtypes as before.
          metrics: named scalars to log.
        """


class Outputs(Protocol):
    """What a trained method says of a batch."""

    def __call__(self, params: Tree, extra: Tree, batch: Batch) -> Mapping[str, jax.Array]:
        """Named arrays for evaluation, one row per example, deterministic.

        The names the evaluations and the report know: `embedding` [b, d], `logits` [b, k],
        `label` [b], `confidence` [b]; `boxes` [b, n, 4] (xyxy, pixels), `scores` [b, n] and
        `classes` [b, n], -1 at padding; `mask` [b, h, w]; `attention` [b, h, w], any
        resolution; `waveform` [b, n, t] or [b, t]. Rows must not depend on the other rows
        of the batch: the last batch is padded.
        """


class Refresh(Protocol):
    """What changes after the optimizer."""

    def __call__(self, params: Tree, extra: Tree, step: jax.Array) -> Tree:
        """The extra state after the optimizer's update: teacher average, queue.

        `params` are the updated ones; `step` counts finished steps (int32, from 1).
        """


def keep(params: Tree, extra: Tree, step: jax.Array) -> Tree:
    """The default `Refresh`: extra state as the loss left it."""
    del params, step
    return extra


class Constrain(Protocol):
    """What parameters must satisfy, whatever the optimizer says."""

    def __call__(self, params: Tree) -> Tree:
        """The parameters moved to where they may be: dictionary atoms to unit norm, weights above 0.

        Called on the optimizer's update, before `Refresh` sees it.
        """


def unconstrained(params: Tree) -> Tree:
    """The default `Constrain`: parameters as the optimizer left them."""
    return params


class Begin(Protocol):
    """What happens where a stage takes over what an earlier one learnt."""

    def __call__(self, params: Tree, extra: Tree) -> tuple[Tree, Tree]:
        """Parameters and extra state before the first step of a run or of one of its stages.

        Called once, when parameters and extra state of the stage before have been taken over:
        the place to keep a frozen copy of the earlier model, or to copy one head into another.
        Same structure, shapes and dtypes out as in.
        """


def as_taken_over(params: Tree, extra: Tree) -> tuple[Tree, Tree]:
    """The default `Begin`: both as they were."""
    return params, extra


class Method(NamedTuple):
    """A method that learns by gradient descent."""

    init: Init
    loss: Loss
    outputs: Outputs
    refresh: Refresh = keep
    constrain: Constrain = unconstrained
    begin: Begin = as_taken_over


class Fit(Protocol):
    """How an estimator learns."""

    def __call__(self, key: jax.Array, data: Batch) -> Tree:
        """What is learnt from the whole training split, as a pytree of arrays.

        `data` is the split as one batch. An estimator that cannot use a key
        ignores it: the same data then always give the same result.
        """


class FittedOutputs(Protocol):
    """What a fitted estimator says of a batch."""

    def __call__(self, fitted: Tree, batch: Batch) -> Mapping[str, jax.Array]:
        """Named arrays for evaluation, as `Outputs`, from what `Fit` returned."""


class Estimator(NamedTuple):
    """A method that is fitted once, without gradient descent."""

    fit: Fit
    outputs: FittedOutputs
