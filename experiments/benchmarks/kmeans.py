"""k-means against scikit-learn: the same rows, the same first centroids, as many of Lloyd's steps.

Both must end with the same inertia. Each runs in a process of its own; memory is what it grows by in
its first run after compilation.
"""

import numpy as np

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'rows': 50_000, 'dim': 64, 'clusters': [16, 256], 'steps': 20, 'repeats': 3},
    'quick': {'rows': 60, 'dim': 3, 'clusters': [4], 'steps': 3, 'repeats': 1},
}
PACKAGES = ('jax', 'numpy', 'scikit-learn')


def points(rows: int, dim: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows around twice as many centres as there are clusters, and the rows to start from."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((2 * clusters, dim), np.float32)
    x = centres[rng.integers(2 * clusters, size=rows)]
    x += rng.standard_normal((rows, dim), np.float32)
    return x, x[rng.choice(rows, clusters, replace=False)]


def of_jaxsep(x, centroids, steps):
    """A function that returns (inertia, steps done)."""
    import jax

    from jaxsep.algorithms.kmeans import kmeans

    given = jax.numpy.asarray(x), jax.numpy.asarray(centroids)
    program = kmeans.lower(*given, max_steps=steps).compile()

    def run():
        found = jax.block_until_ready(program(*given))
        return float(found.inertia), int(found.steps)

    return run


def of_sklearn(x, centroids, steps):
    """The same in scikit-learn."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter('ignore', ConvergenceWarning)

    def run():
        model = KMeans(
            len(centroids), init=centroids, n_init=1, max_iter=steps, tol=0, algorithm='lloyd'
        )
        model.fit(x)
        return float(model.inertia_), int(model.n_iter_)

    return run


PEERS = {'jaxsep': of_jaxsep, 'scikit-learn': of_sklearn}


def measure_peer(peer: str, rows: int, dim: int, clusters: int, steps: int, repeats: int) -> dict:
    """Times, memory and inertia of one peer."""
    run = PEERS[peer](*points(rows, dim, clusters), steps)
    times, memory, (inertia, done) = meters.timed_with_memory(run, repeats)
    found = {'time': times.fastest, 'memory': memory, 'inertia': inertia, 'steps': done}
    return found | times.summary() | {'threads': meters.threads()}


def measure(rows: int, dim: int, clusters: list[int], steps: int, repeats: int) -> Measured:
    """Both for all numbers of clusters."""
    table, details = [], {}
    for count in clusters:
        found = processes.of_each(measure_peer, PEERS, rows, dim, count, steps, repeats)
        details[str(count)] = found
        ours, theirs = found.values()
        if 'failed' not in theirs:
            np.testing.assert_allclose(ours['inertia'], theirs['inertia'], rtol=1e-3)
            if ours['steps'] != theirs['steps']:
                raise ValueError(f'steps: {ours["steps"]} and {theirs["steps"]}')
        sizes = f'{rows:,} rows of {dim}, {count} clusters, {ours["steps"]} steps'
        table += against('k-means', sizes, ('time', 'memory'), found)
    return Measured(table, details)
