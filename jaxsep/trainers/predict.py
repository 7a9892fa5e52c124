"""Named outputs of a whole split, batch by batch, from one compiled function."""

from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from jaxsep.method import Batch, Tree
from jaxsep.trainers.state import place, replicated

Apply = Callable[[Tree, Batch], Mapping[str, jax.Array]]
Predict = Callable[[Tree, Iterable[tuple[Batch, int]]], dict[str, np.ndarray]]


def make_predict(apply: Apply, mesh: Mesh) -> Predict:
    """A function (variables, batches) -> named outputs on the host, compiled once.

    Args:
      apply: (variables, batch) -> named outputs; for a Method the variables are
        (params, extra), for an Estimator what was fitted.

    The batches are pairs (padded batch, number of real rows); padding is cut off. Every batch
    has the same shapes and a row count that the devices divide. With several processes each
    gives its part of every batch and gets the outputs of all rows.
    """
    compiled = jax.jit(apply, out_shardings=replicated(mesh))

    def predict(variables, batches):
        variables = jax.device_put(variables, replicated(mesh))
        parts = [(compiled(variables, place(batch, mesh)), rows) for batch, rows in batches]
        if not parts:
            raise ValueError('batches: expected at least one, got none')
        return {
            name: np.concatenate([np.asarray(outputs[name])[:rows] for outputs, rows in parts])
            for name in parts[0][0]
        }

    return predict
