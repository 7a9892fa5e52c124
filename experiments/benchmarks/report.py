"""The separability report against scikit-learn: python -m experiments.benchmarks.report [--n --d].

Compares the time of one pass of jaxsep with the sum of scikit-learn's silhouette,
leave-one-out nearest neighbours, Davies-Bouldin and Calinski-Harabasz on the same points,
checks that the values agree, then times jaxsep alone at the full size.
"""

import argparse
import json
import pathlib
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import metrics
from sklearn.neighbors import NearestNeighbors

from jaxsep.metrics import clusters, neighbors
from jaxsep.metrics.all_pairs import all_pairs, silhouette_from_sums


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
    multiply(part, whole).block_until_ready()
    started = time.perf_counter()
    for _ in range(rows // 512):
        multiply(part, whole).block_until_ready()
    return (time.perf_counter() - started) * len(x) / rows


def timed(function, *arguments):
    """(seconds, result)."""
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def main() -> None:
    """Prints and writes experiments/benchmarks/report.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--n', type=int, default=50_000, help='points of the run of jaxsep alone')
    parser.add_argument('--d', type=int, default=512)
    parser.add_argument('--compare', type=int, default=16_000, help='points of the comparison')
    given = parser.parse_args()
    x, y = points(given.compare, given.d)
    ours, values = timed(jaxsep_measures, x, y, 20)
    theirs, expected = timed(sklearn_measures, x, y, 20)
    differences = {
        key: abs(values[key] - expected[key]) / max(1, abs(expected[key])) for key in values
    }
    result = {
        'compare_n': given.compare,
        'd': given.d,
        'jaxsep_seconds_with_compilation': ours,
        'sklearn_seconds': theirs,
        'times_faster': theirs / ours,
        'largest_difference': max(differences.values()),
        'agrees_to_1e-4': max(differences.values()) < 1e-4,
    }
    print(json.dumps(result, indent=2), flush=True)
    x, y = points(given.n, given.d)
    product = product_seconds(x)
    whole, _ = timed(jaxsep_measures, x, y, 20)
    result |= {
        'n': given.n,
        'seconds': whole,
        'product_seconds': product,
        'times_product': whole / product,
        'peak_gigabytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        'versions': {'jax': jax.__version__, 'numpy': np.__version__},
    }
    text = json.dumps(result, indent=2)
    print(text)
    pathlib.Path(__file__).with_suffix('.json').write_text(text + '\n')


if __name__ == '__main__':
    main()
