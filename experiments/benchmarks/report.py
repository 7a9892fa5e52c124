"""The separability report against scikit-learn.

Compares one pass of jaxsep with scikit-learn's silhouette, leave-one-out nearest neighbours,
Davies-Bouldin and Calinski-Harabasz on the same points, all with the same number of cores, checks that
the values agree, then times jaxsep alone at the full size.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import metrics
from sklearn.neighbors import NearestNeighbors

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against
from jaxsep.metrics import clusters, neighbors
from jaxsep.metrics.all_pairs import all_pairs, silhouette_from_sums

SIZES = {
    'full': {'n': 32_000, 'compare': 16_000, 'd': 512},
    'quick': {'n': 60, 'compare': 50, 'd': 4},
}
PACKAGES = ('jax', 'numpy', 'scikit-learn')
NEAREST = 20


def points(n: int, d: int, num_classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping Gaussian classes, float32."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, num_classes, n).astype(np.int32)
    centres = 0.15 * rng.normal(size=(num_classes, d)).astype(np.float32)
    return centres[y] + rng.standard_normal((n, d), np.float32), y


def jaxsep_measures(x: np.ndarray, y: np.ndarray, k: int) -> dict[str, float]:
    """The four measures, both metrics of the silhouette and of the vote, from one pass."""
    count = int(y.max()) + 1
    found = all_pairs(x, [y], [count], k=k)
    values = {}
    for metric in ('euclidean', 'cosine'):
        sums = getattr(found, f'sums_{metric}')[0]
        near = getattr(found, f'neighbors_{metric}')[:, :5]
        values[f'silhouette_{metric}'] = float(silhouette_from_sums(sums, y).mean())
        elected = np.asarray(neighbors.majority_vote(jnp.asarray(y[near]), count))
        values[f'loo_knn5_{metric}'] = float(np.mean(elected == y))
    values['davies_bouldin'] = float(clusters.davies_bouldin(jnp.asarray(x), jnp.asarray(y), count))
    values['calinski_harabasz'] = float(
        clusters.calinski_harabasz(jnp.asarray(x), jnp.asarray(y), count)
    )
    return values


def sklearn_measures(x: np.ndarray, y: np.ndarray, k: int) -> dict[str, float]:
    """The same values, one call after the other, with all cores."""
    values = {}
    for metric in ('euclidean', 'cosine'):
        values[f'silhouette_{metric}'] = float(metrics.silhouette_score(x, y, metric=metric))
        near = NearestNeighbors(n_neighbors=k, metric=metric, n_jobs=-1).fit(x)
        votes = y[near.kneighbors(return_distance=False)[:, :5]]
        counts = (votes[:, :, None] == np.arange(y.max() + 1)).sum(axis=1)
        values[f'loo_knn5_{metric}'] = float(np.mean(counts.argmax(axis=1) == y))
    values['davies_bouldin'] = float(metrics.davies_bouldin_score(x, y))
    values['calinski_harabasz'] = float(metrics.calinski_harabasz_score(x, y))
    return values


def product_seconds(x: np.ndarray, rows: int = 2048) -> float:
    """Time of the n x n x d matrix product alone, from a few row blocks."""
    multiply = jax.jit(lambda a, b: a @ b.T)
    whole, part = jnp.asarray(x), jnp.asarray(x[:512])
    times = meters.in_turn({'': lambda: multiply(part, whole).block_until_ready()}, rows // 512)
    return float(np.mean(times[''].seconds)) * len(x) / len(part)


def measure_peer(peer: str, n: int, d: int) -> dict:
    """One pass with everything it needs, compilation too; of jaxsep also one without."""
    x, y = points(n, d)
    measures = {'jaxsep': jaxsep_measures, 'scikit-learn': sklearn_measures}[peer]
    memory, (first, _, values) = meters.growth(lambda: meters.once(lambda: measures(x, y, NEAREST)))
    found = {'time': first, 'memory': memory, 'values': values, 'threads': meters.threads()}
    if peer == 'jaxsep':
        found['seconds_compiled'] = meters.once(lambda: measures(x, y, NEAREST))[0]
    return found


def measure_alone(n: int, d: int) -> dict:
    """A pass of jaxsep at a size that takes too long with scikit-learn, beside the product alone."""
    x, y = points(n, d)
    product = product_seconds(x)
    memory, (seconds, *_) = meters.growth(
        lambda: meters.once(lambda: jaxsep_measures(x, y, NEAREST))
    )
    return {'time': seconds, 'memory': memory, 'product_seconds': product}


def measure(n: int, compare: int, d: int) -> Measured:
    """The comparison at one size, and jaxsep alone at another."""
    found = processes.of_each(measure_peer, ('jaxsep', 'scikit-learn'), compare, d)
    ours, theirs = (each['values'] for each in found.values())
    apart = max(abs(ours[key] - theirs[key]) / max(1, abs(theirs[key])) for key in ours)
    if apart > 1e-4:
        raise ValueError(f'measures differ by {apart:.1e}')
    what = 'Measures of the report'
    table = against(what, f'{compare:,} x {d}, with compilation', ('time', 'memory'), found)
    whole = processes.fresh(measure_alone, n, d)
    product = {'time': whole['product_seconds']}
    of_product = {'jaxsep': whole, 'the product of all pairs alone': product}
    table += against(what, f'{n:,} x {d}', ('time', 'memory'), of_product)
    return Measured(table, {'compared': found, 'largest_difference': apart, 'alone': whole})
