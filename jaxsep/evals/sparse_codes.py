"""How sparse codes are, how well they reconstruct, and how alike the atoms behind them are."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, column, vectors
from jaxsep.metrics import sparsity

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    codes: str = 'embedding',
    target: str = 'target',
    reconstruction: str = 'reconstruction',
    steps: tuple[int, ...] = (),
) -> dict[str, float]:
    """The measures of `jaxsep.metrics.sparsity` on the test rows.

    Args:
      splits: 'test', a dict of columns.
      codes, target, reconstruction: names of outputs.
      steps: the numbers of codes behind the columns of the output `squared_errors`.

    Returns:
      r2: share of the variance of all entries of the target that is reconstructed.
      active: codes a row uses, on average.
      hoyer, kappa4: sparsity of a row, on average.
      dead: share of the codes that no row uses.
      used_coherence, coherence: means of the outputs of these names, where there are any.
      r2_<k>: r2 with k codes, for each k of `steps`.
    """
    z, x, xhat = (jnp.asarray(vectors(splits, 'test', o)) for o in (codes, target, reconstruction))
    found = {
        'r2': sparsity.r2(x, xhat),
        'active': sparsity.l0(z) * z.shape[1],
        'hoyer': jnp.mean(sparsity.hoyer(z)),
        'kappa4': jnp.mean(sparsity.kappa4(z)),
        'dead': jnp.mean(sparsity.dead_codes(z), dtype=jnp.float32),
    }
    for name in ('used_coherence', 'coherence'):
        if name in splits['test']:
            found[name] = np.mean(column(splits, 'test', name))
    if steps:
        errors = vectors(splits, 'test', 'squared_errors').mean(0) / x.shape[1]
        if len(errors) != len(steps):
            raise ValueError(
                f'steps: expected one per column of squared_errors ({len(errors)}), got {steps}'
            )
        variance = np.asarray(x, np.float64).var() + sparsity.EPSILON
        found |= {f'r2_{k}': 1 - e / variance for k, e in zip(steps, errors, strict=True)}
    return {name: float(value) for name, value in found.items()}
