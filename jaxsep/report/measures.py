"""The numbers of the separability report: `separability` and `compare`.

Distances and neighbours of all points come from one pass (`jaxsep.metrics.all_pairs`);
spectra and scatter matrices are d x d and computed in double precision.
"""

import functools
import itertools
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms import persistence
from jaxsep.metrics import (
    clusters,
    dimension,
    neighbors,
    neural_collapse,
    probes,
    scatter,
    similarity,
    spectrum,
    sphere,
)
from jaxsep.metrics.all_pairs import AllPairs, all_pairs, purity_curve, silhouette_from_sums
from jaxsep.ops import geometry
from jaxsep.report.inputs import Column, check_neighbors, check_points, columns_of


class Measure(NamedTuple):
    """What a number of the report is called and means; `better` is 'up', 'down' or 'none'."""

    title: str
    better: str
    meaning: str


GENERAL = {
    'rankme': Measure('RankMe', 'up', 'directions in use: entropy of the singular values'),
    'effective_rank': Measure(
        'effective rank', 'up', 'the same after the mean is removed: directions of variation'
    ),
    'participation_ratio': Measure(
        'participation ratio', 'none', 'principal components that share the variance'
    ),
    'stable_rank': Measure(
        'stable rank', 'none', 'total energy over that of the strongest direction'
    ),
    'numerical_rank_95': Measure(
        'rank at 95 %', 'none', 'directions that hold 95 % of the energy (squares, uncentred)'
    ),
    'twonn': Measure('TwoNN dimension', 'none', 'intrinsic dimension from the two nearest points'),
    'uniformity': Measure(
        'uniformity', 'down', 'how evenly the directions fill the sphere; lower is more even'
    ),
    'mean_distance': Measure('mean distance', 'none', 'mean Euclidean distance of two points'),
    'persistence_score': Measure(
        'persistence score', 'down', 'length of the bars over the longest; low: tight, far clusters'
    ),
    'persistence_score_sphere': Measure(
        'persistence score, unit rows', 'down', 'the same on directions only'
    ),
    'persistence_clusters': Measure(
        'clusters by persistence', 'none', 'pieces at the largest gap of the bars; a rough guess'
    ),
}

LABELLED = {
    'silhouette_euclidean': Measure(
        'silhouette', 'up', 'own class against the nearest other, -1 to 1, by distance'
    ),
    'silhouette_cosine': Measure('silhouette, cosine', 'up', 'the same by angle'),
    'loo_knn1_euclidean': Measure(
        '1-NN accuracy', 'up', "share of points whose nearest other point agrees (Thornton's index)"
    ),
    'loo_knn1_cosine': Measure('1-NN accuracy, cosine', 'up', 'the same by angle'),
    'loo_knn5_euclidean': Measure(
        '5-NN accuracy', 'up', 'share of points that their nearest others vote right'
    ),
    'loo_knn5_cosine': Measure('5-NN accuracy, cosine', 'up', 'the same by angle'),
    'ridge_probe': Measure(
        'linear probe', 'up', 'accuracy of a linear classifier on the half it has not seen'
    ),
    'majority_share': Measure(
        'largest class', 'none', 'accuracy of always saying the largest class: the floor'
    ),
    'fisher_trace_ratio': Measure(
        'Fisher trace ratio', 'up', 'scatter between the classes over scatter within'
    ),
    'fisher_trace_ratio_balanced': Measure(
        'Fisher trace ratio, balanced', 'up', 'the same with all classes weighing alike'
    ),
    'fisher_trace': Measure(
        'Fisher trace', 'up', 'the same after whitening the classes: any linear map allowed'
    ),
    'fisher_max_eigenvalue': Measure(
        'Fisher, best direction', 'up', 'the ratio along the one direction where it is largest'
    ),
    'fisher_logdet_ratio': Measure(
        'Fisher log determinant', 'up', "minus the logarithm of Wilks' lambda"
    ),
    'ho_basu_f1': Measure('Ho-Basu F1', 'down', 'low: one feature alone separates the classes'),
    'pairwise_fisher_min': Measure(
        'closest pair of classes', 'up', 'smallest squared distance of two means over their spread'
    ),
    'davies_bouldin': Measure(
        'Davies-Bouldin', 'down', 'overlap of each class with its most similar one'
    ),
    'calinski_harabasz': Measure(
        'Calinski-Harabasz', 'up', 'F statistic of the class means; grows with the points'
    ),
    'tolerance': Measure('tolerance', 'up', 'mean cosine of two points of one class'),
    'tolerance_all_pairs': Measure(
        'tolerance, all pairs', 'up', 'as printed in the paper: other classes count as 0'
    ),
    'nc1': Measure('neural collapse 1', 'down', 'spread within classes in units of that between'),
    'nc2_equinorm': Measure('neural collapse 2, lengths', 'down', 'how unequal class means are'),
    'nc2_equiangle': Measure(
        'neural collapse 2, angles', 'down', 'how far from the widest possible angles'
    ),
    'nc2_weights': Measure('neural collapse 2, classifier', 'down', 'its distance to a simplex'),
    'nc3_product': Measure('neural collapse 3', 'down', 'classifier times means against a simplex'),
    'nc3_self_duality': Measure(
        'neural collapse 3, duality', 'down', 'difference of classifier and class means'
    ),
    'nc3_bias': Measure('bias cancellation', 'down', 'what the bias leaves of the mean response'),
    'nc4': Measure('neural collapse 4', 'down', 'share where classifier and nearest mean disagree'),
}

PAIRED = {
    'linear_cka': Measure('linear CKA', 'none', 'alike up to rotation and scale: 1; biased'),
    'cka_unbiased': Measure('unbiased CKA', 'none', 'the same, 0 on average where unrelated'),
    'mutual_knn': Measure('mutual k-NN', 'none', 'share of nearest neighbours they agree on'),
    'procrustes': Measure('Procrustes', 'none', 'what is left after the best rotation; 0: alike'),
}

MEASURES = {**GENERAL, **LABELLED, **PAIRED}

SUBSAMPLE = 2000
CURVE = 20
DOUBLE_BELOW = 3000
WHITEN_BELOW = 2049

Progress = Callable[[str, int, int], None]


def separability(
    embeddings,
    labels=None,
    *,
    weights=None,
    bias=None,
    k: int = 5,
    max_pairs_points: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict:
    """How separable the points are, and by which label column: a dict ready for JSON.

    All points are used unless `points_used` in the result says otherwise (persistence uses
    at most 2000). Numbers that do not exist for the data are None, with a line in `notes`.

    Args:
      embeddings: [n, d] numbers from anywhere, at least three rows.
      labels: nothing, [n] integers, strings or truth values, or a dict of such columns.
      weights: [c, d] of a linear classifier on top; with it neural collapse 2 to 4 of the
        columns with c classes, numbered in sorted order.
      bias: [c] of that classifier; 0 if not given.
      k: neighbours of the vote that is called `loo_knn{k}_...`.
      max_pairs_points: at most this many points in the pass over all pairs.
      seed: of subsamples and of the probe's halves.
      progress: called as progress(what, done, of).

    >>> x = np.array([[0.0, 0], [0, 1], [5, 0], [5, 1]])
    >>> found = separability(x, ['a', 'a', 'b', 'b'], k=1)
    >>> found['labels']['label']['measures']['loo_knn1_euclidean']
    1.0
    """
    points = check_points('embeddings', embeddings)
    n, d = points.shape
    check_neighbors(k, n)
    columns = columns_of(labels, n)
    weights, bias = _check_classifier(weights, bias, columns, d)
    if max_pairs_points is not None:
        check_neighbors(k, max_pairs_points)
    started = time.perf_counter()
    tell = progress or (lambda what, done, of: None)
    order = np.random.default_rng(seed).permutation(n)
    paired = np.sort(order[:max_pairs_points]) if max_pairs_points else np.arange(n)
    inside = points[paired] if len(paired) < n else points
    pairs = all_pairs(
        inside.astype(np.float64) if len(inside) <= DOUBLE_BELOW else inside.astype(np.float32),
        [column.codes[paired] for column in columns.values()],
        [len(column.names) for column in columns.values()],
        k=min(max(k, CURVE), len(inside) - 1),
        progress=lambda done, of: tell('distances', done, of),
    )
    tell('spectrum', 0, 1)
    notes = []
    with jax.enable_x64(True):
        double = jnp.asarray(points, jnp.float64)
        general, values = _spectrum(double)
        tell('persistence', 0, 1)
        bars, topology = _persistence(double[np.sort(order[:SUBSAMPLE])])
        general |= {
            'twonn': dimension.twonn(jnp.asarray(pairs.distances_euclidean[:, :2])),
            'uniformity': pairs.uniformity,
            'mean_distance': pairs.mean_distance,
        } | topology
        described = {}
        for position, (name, column) in enumerate(columns.items()):
            tell(f'label {name}', position, len(columns))
            measured = _labelled(double, column, order, weights, bias, notes, name)
            close, purity = _neighborhood(pairs, position, column.codes[paired], k)
            chosen = {key: (close | measured).get(key) for key in _labelled_keys(k)}
            described[name] = {
                'classes': dict(zip(column.names, np.bincount(column.codes).tolist(), strict=True)),
                'measures': {
                    key: v for key, v in _plain(chosen).items() if key in (close | measured)
                },
                'purity': purity,
            }
    tell('done', 1, 1)
    return {
        'n': n,
        'd': d,
        'k': k,
        'seed': seed,
        'points_used': {'pairs': len(paired), 'persistence': min(n, SUBSAMPLE), 'other': n},
        'general': {key: value for key, value in _plain(general).items()},
        'singular_values': [float(value) for value in values[:512]],
        'persistence_bars': [float(value) for value in bars],
        'labels': described,
        'searched_again': pairs.searched_again,
        'notes': list(dict.fromkeys(notes)),
        'seconds': round(time.perf_counter() - started, 2),
    }


def compare(
    named_embeddings: Mapping[str, object],
    labels=None,
    *,
    k: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict:
    """Several embeddings of the same points side by side, and how alike each pair of them is.

    Returns:
      embeddings: name -> the result of `separability`.
      pairs: for each pair of names linear CKA and Procrustes distance of all points, unbiased
        CKA and mutual k-NN of at most 2000 points (`points_used` says how many).
    """
    if not named_embeddings:
        raise ValueError('named_embeddings: expected at least one embedding, got none')
    points = {name: check_points(name, array) for name, array in named_embeddings.items()}
    sizes = {name: len(array) for name, array in points.items()}
    n = next(iter(sizes.values()))
    if set(sizes.values()) != {n}:
        raise ValueError(f'named_embeddings: expected the same number of points, got {sizes}')
    check_neighbors(k, n)
    columns_of(labels, n)

    def within(name):
        return progress and (lambda what, done, of: progress(f'{name}: {what}', done, of))

    results = {
        name: separability(array, labels, k=k, seed=seed, progress=within(name))
        for name, array in points.items()
    }
    some = np.sort(np.random.default_rng(seed).permutation(n)[:SUBSAMPLE])
    pairs = []
    with jax.enable_x64(True):
        for a, b in itertools.combinations(points, 2):
            whole = [jnp.asarray(points[name], jnp.float64) for name in (a, b)]
            part = [array[some] for array in whole]
            values = {
                'linear_cka': similarity.linear_cka(*whole),
                'cka_unbiased': similarity.cka(*part, unbiased=True) if n > 3 else None,
                'mutual_knn': similarity.mutual_knn(*part, k=min(k, len(some) - 1)),
                'procrustes': similarity.procrustes_distance(*whole),
            }
            used = {'linear_cka': n, 'procrustes': n, 'other': len(some)}
            pairs.append({'a': a, 'b': b, **_plain(values), 'points_used': used})
    return {'embeddings': results, 'pairs': pairs}


def measure(key: str) -> Measure:
    """The description of a measure; of `loo_knn{k}_...` for any k."""
    if key in MEASURES:
        return MEASURES[key]
    votes, metric = key.removeprefix('loo_knn').split('_')
    general = MEASURES[f'loo_knn5_{metric}']
    return general._replace(title=general.title.replace('5-NN', f'{votes}-NN'))


def _labelled_keys(k: int) -> list[str]:
    keys = []
    for key in LABELLED:
        keys.append(key)
        if key.startswith('loo_knn5') and k not in (1, 5):
            keys.append(key.replace('loo_knn5', f'loo_knn{k}'))
    return keys


def _check_classifier(weights, bias, columns: Mapping[str, Column], d: int):
    if weights is None:
        if bias is not None:
            raise ValueError('bias: expected weights beside it, got none')
        return None, None
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or weights.shape[1] != d:
        raise ValueError(f'weights: expected shape [classes, {d}], got {weights.shape}')
    counts = {name: len(column.names) for name, column in columns.items()}
    if weights.shape[0] not in counts.values():
        raise ValueError(f'weights: expected one row per class of {counts}, got {weights.shape}')
    bias = np.zeros(len(weights)) if bias is None else np.asarray(bias, np.float64)
    if bias.shape != weights.shape[:1]:
        raise ValueError(f'bias: expected shape ({len(weights)},), got {bias.shape}')
    return weights, bias


@jax.jit
def _spectrum(points: jax.Array) -> tuple[dict, jax.Array]:
    """Ranks of the points, and the singular values after centring."""
    n, d = points.shape
    centred = points - jnp.mean(points, axis=0)[None, :]
    # Products of few columns (or rows) make the work independent of the long side.
    small = min(n, d) <= 64 or n * d <= 200_000
    if small:
        plain = spectrum.singular_values(points, centered=False)
        values = spectrum.singular_values(points, centered=True)
    else:
        product = (lambda x: x.T @ x) if d <= n else (lambda x: x @ x.T)
        plain = spectrum.gram_singular_values(product(points))
        values = spectrum.gram_singular_values(product(centred))
    return {
        'rankme': spectrum.rankme(plain),
        'effective_rank': spectrum.effective_rank(values),
        'participation_ratio': spectrum.participation_ratio(values),
        'stable_rank': spectrum.stable_rank(plain),
        'numerical_rank_95': spectrum.numerical_rank(plain, 0.95),
    }, values


@jax.jit
def _persistence(x: jax.Array) -> tuple[jax.Array, dict]:
    bars = persistence.h0_persistence(x)
    on_sphere = persistence.h0_persistence(geometry.l2_normalize(x))
    return bars, {
        'persistence_score': persistence.persistence_score(bars),
        'persistence_score_sphere': persistence.persistence_score(on_sphere),
        'persistence_clusters': persistence.number_of_clusters(bars),
    }


@functools.partial(jax.jit, static_argnames=('num_classes', 'whiten'))
def _scatter(x: jax.Array, codes: jax.Array, num_classes: int, whiten: bool) -> dict:
    """The Fisher family in one program, so that the scatter matrices are made once."""
    named = [scatter.fisher_trace_ratio, scatter.fisher_trace_ratio_balanced, scatter.ho_basu_f1]
    if whiten:
        named += [
            scatter.fisher_trace,
            scatter.fisher_max_eigenvalue,
            scatter.fisher_logdet_ratio,
        ]
    values = {function.__name__: function(x, codes, num_classes) for function in named}
    pairwise = scatter.pairwise_fisher_ratio(x, codes, num_classes)
    pairwise = jnp.where(jnp.eye(num_classes, dtype=bool), jnp.inf, pairwise)
    return values | {'pairwise_fisher_min': jnp.min(pairwise)}


@functools.partial(jax.jit, static_argnames='num_classes')
def _class_measures(x, codes, seen, unseen, num_classes: int) -> dict:
    """What classes are to the points and to one another; the probe is fitted on the rows `seen`."""
    fitted = probes.ridge_probe(x[seen], codes[seen], num_classes, alpha=1.0)
    predicted = jnp.argmax(probes.probe_logits(x[unseen], *fitted), axis=1)
    means = neural_collapse.centered_class_means(x, codes, num_classes)
    return {
        'ridge_probe': jnp.mean(predicted == codes[unseen]),
        'davies_bouldin': clusters.davies_bouldin(x, codes, num_classes),
        'calinski_harabasz': clusters.calinski_harabasz(x, codes, num_classes),
        'tolerance': sphere.tolerance(x, codes),
        'tolerance_all_pairs': sphere.tolerance_all_pairs(x, codes),
        'nc1': neural_collapse.within_class_variability(x, codes, num_classes),
        'nc2_equinorm': neural_collapse.equinorm(means),
        'nc2_equiangle': neural_collapse.equiangularity(means)[1],
    }


def _labelled(x, column: Column, order, weights, bias, notes: list[str], name: str) -> dict:
    """The measures of one label column that need no distance matrix."""
    n, d = x.shape
    codes, count = jnp.asarray(column.codes), len(column.names)
    whiten = n - count > d and d < WHITEN_BELOW
    if not whiten:
        notes.append(
            f'{name}: Fisher trace, best direction and log determinant left out: they need more '
            f'points than features and classes ({n} points, {d} features, {count} classes), and at '
            f'most {WHITEN_BELOW - 1} features; reduce by PCA first'
        )
    left_out = ('fisher_trace', 'fisher_max_eigenvalue', 'fisher_logdet_ratio')
    values = dict.fromkeys(() if whiten else left_out)
    values |= _scatter(x, codes, count, whiten)
    seen, unseen = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    values |= _class_measures(x, codes, seen, unseen, count)
    values['majority_share'] = np.bincount(column.codes).max() / n
    if weights is not None and len(weights) == count:
        w, b = jnp.asarray(weights), jnp.asarray(bias)
        means = neural_collapse.centered_class_means(x, codes, count)
        values |= {
            'nc2_weights': neural_collapse.etf_distance_of_weights(w),
            'nc3_product': neural_collapse.etf_distance_of_products(w, means),
            'nc3_self_duality': neural_collapse.self_duality(w, means),
            'nc3_bias': neural_collapse.bias_cancellation(w, b, jnp.mean(x, axis=0)),
            'nc4': neural_collapse.nearest_mean_mismatch(x, codes, w, b),
        }
    return values


def _neighborhood(pairs: AllPairs, position: int, codes: np.ndarray, k: int) -> tuple[dict, dict]:
    """Silhouettes, votes and purity of one label column from the pass over all pairs."""
    values, purity = {}, {}
    count = pairs.sums_euclidean[position].shape[1]
    for metric in ('euclidean', 'cosine'):
        sums = getattr(pairs, f'sums_{metric}')[position]
        near = getattr(pairs, f'neighbors_{metric}')
        values[f'silhouette_{metric}'] = silhouette_from_sums(sums, codes).mean()
        for votes in sorted({1, 5, k}):
            if votes <= near.shape[1]:
                elected = neighbors.majority_vote(jnp.asarray(codes[near[:, :votes]]), count)
                values[f'loo_knn{votes}_{metric}'] = np.mean(np.asarray(elected) == codes)
        purity[metric] = [float(value) for value in purity_curve(near, codes)]
    shares = np.bincount(codes) / len(codes)
    purity['chance'] = float(np.sum(shares**2))
    return values, purity


def _plain(values: Mapping) -> dict:
    """Python numbers; None for what is missing or not finite."""
    result = {}
    for key, value in values.items():
        value = None if value is None else np.asarray(value).item()
        finite = value is not None and np.isfinite(value)
        result[key] = value if finite else None
    return result
