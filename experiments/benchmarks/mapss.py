"""PS and PM of MAPSS, with their radii, frame by frame.

Two synthetic voices with a tenth of the other one, raw frames of 20 ms, all distortions but pitch shift
and vibrato. All peers get the same points. jaxsep scores all frames in one call, in float64 and in
float32. If the environment variable MAPSS_CHECKOUT names a checkout of
https://github.com/Amir-Ivry/MAPSS-measures, its functions are called as its engine does, which is
float32 in PyTorch; and always a plain loop over frames in numpy, in the coordinates themselves. Every
peer runs in a process of its own; compilation is not counted. The front-end, banks of distortions
included, is timed for itself.
"""

import itertools
import os
import sys

import numpy as np
import scipy.signal
import scipy.special

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'seconds': 1.0, 'repeats': 2},
    'quick': {'seconds': 0.4, 'repeats': 1},
}
PACKAGES = ('jax', 'numpy', 'torch')
CHECKOUT = 'MAPSS_CHECKOUT'
RATE = 16_000
DELTA = 0.05
SCORES = ('ps', 'ps_bias', 'ps_prob', 'pm', 'pm_bias', 'pm_prob')


def voices(seconds: float) -> np.ndarray:
    """Two harmonic sounds through a resonance, whose loudness swings."""
    time_axis = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(0)
    made = []
    for pitch, speed in ((110, 3), (190, 4)):
        phase = 2 * np.pi * pitch * time_axis * (1 + 0.02 * np.sin(5 * time_axis))
        pulses = np.sign(np.sin(phase)) + 0.05 * rng.standard_normal(len(time_axis))
        made.append(pulses * (0.6 + 0.4 * np.sin(2 * np.pi * speed * time_axis)))
    filtered = scipy.signal.lfilter([1.0], [1.0, -1.6, 0.8], made, axis=1)
    return filtered / filtered.std(axis=1, keepdims=True)


def points_and_seconds(seconds: float):
    """The points of all frames, and the seconds that the front-end took."""
    from jaxsep.algorithms.mapss import points_of

    references = voices(seconds)
    taken, _, points = meters.once(
        lambda: points_of(references, references + 0.1 * references[::-1])
    )
    return points, taken


def clouds(points):
    """For each scored frame the points of its sources, for PS and for PM: lists of [p, d]."""
    for frame, active in enumerate(points.active):
        sources = np.flatnonzero(active)
        if len(sources):
            yield [
                [bank[frame, s][mask[s]] for s in sources]
                for bank, mask in ((points.ps, points.ps_mask), (points.pm, points.pm_mask))
            ]


def jaxsep_scores(points, float64=True):
    """The library's function; [score, frame, source]."""
    from jaxsep.algorithms.mapss import score_points

    found = score_points(points, float64=float64)
    kept = points.active.any(axis=1)
    return np.stack([np.asarray(getattr(found, name))[kept] for name in SCORES])


def original_scores(points):
    """The functions of the checkout, frame by frame as its engine calls them."""
    if CHECKOUT not in os.environ:
        raise processes.NotHere(f'not measured without a checkout named by {CHECKOUT}')
    sys.path.insert(0, os.environ[CHECKOUT])
    import metrics

    rows = []
    for of_ps, of_pm in clouds(points):
        row = []
        for cloud, score, radii in (
            (of_ps, metrics.compute_ps, metrics.ps_ci_components_full),
            (
                of_pm,
                lambda coords, labels: metrics.compute_pm(coords, labels, 'gamma'),
                metrics.pm_ci_components_full,
            ),
        ):
            names = [f'source{s}' for s in range(len(cloud))]
            labels = [
                f'{name}-{kind}'
                for name, x in zip(names, cloud, strict=True)
                for kind in ('ref', 'out', *(f'd{i}' for i in range(len(x) - 2)))
            ]
            coords, rest, eigenvalues, _ = metrics.diffusion_map_torch(
                np.concatenate(cloud), labels, alpha=1.0, eig_solver='full', device='cpu',
                return_eigs=True, return_complement=True, return_cval=True,
            )  # fmt: skip
            found = score(coords, labels), *radii(coords, rest, eigenvalues, labels, delta=DELTA)
            row.extend([each[name] for name in names] for each in found)
        rows.append(row)
    return np.array(rows).transpose(1, 0, 2)


def numpy_scores(points):
    """A loop over frames and sources in float64, as one writes it from the paper."""
    rows = []
    for of_ps, of_pm in clouds(points):
        rows.append([*numpy_ps(*numpy_map(of_ps)), *numpy_pm(*numpy_map(of_pm))])
    return np.array(rows).transpose(1, 0, 2)


def numpy_map(cloud):
    """All coordinates of each source, and how many are kept."""
    x = np.concatenate(cloud).astype(np.float64)
    squares = np.sum(x * x, axis=1)
    squared = np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0)
    between = squared[np.triu_indices(len(x), 1)]
    middle = (len(between) - 1) // 2
    kernel = np.exp(-squared / (2 * np.partition(between, middle)[middle]))
    degrees = kernel.sum(axis=1)
    kernel /= np.outer(degrees, degrees)
    root = 1 / np.sqrt(kernel.sum(axis=1))
    values, vectors = np.linalg.eigh(kernel * np.outer(root, root))
    values, vectors = values[::-1][1:], vectors[:, ::-1][:, 1:]
    kept = int(np.sum(np.cumsum(values) / np.sum(values) < 0.99)) + 1
    ends = np.cumsum([len(part) for part in cloud])[:-1]
    return np.split(vectors * values, ends), kept


def safe(covariance):
    """With the ridge where the rank is short, decided as in float32."""
    spectrum = np.linalg.svd(covariance, compute_uv=False)
    tolerance = spectrum[0] * len(covariance) * np.finfo(np.float32).eps
    short = np.sum(spectrum > tolerance) < len(covariance)
    return covariance + 1e-6 * np.eye(len(covariance)) * short


def numpy_ps(x, kept):
    """PS, bias and prob of each source."""
    clusters = []
    for points in x:
        cluster = np.delete(points, 1, axis=0)
        mean = cluster.mean(axis=0)
        d, c = np.split(cluster - mean, [kept], axis=1)
        n = len(cluster) - 1
        sd, sc, cross = safe(d.T @ d / n), safe(c.T @ c / n), d.T @ c / n
        inverse = np.linalg.inv(sd)
        rest = sc - cross.T @ inverse @ cross + 1e-9 * np.eye(len(sc))
        clusters.append((mean, sd, inverse, cross, rest, n + 1))
    scores, bias, prob = [], [], []
    for i, points in enumerate(x):
        found = []
        for mean, sd, inverse, cross, rest, _ in clusters:
            u, w = np.split(points[1] - mean, [kept])
            r = w - cross.T @ inverse @ u
            residual = np.sqrt(r @ np.linalg.solve(rest, r))
            found.append((np.sqrt(u @ inverse @ u + 1e-6), residual, sd))
        a, own, sd = found.pop(i)
        b, other, so = min(found, key=lambda given: given[0])
        n, log, errors = max(int(0.7 * clusters[i][5]), 3), np.log(4 / DELTA), []
        for distance, covariance in ((a, sd), (b, so)):
            values = np.linalg.eigvalsh(covariance)
            largest, least = values[-1], max(values[0], 1e-9, 0.05 * values[-1])
            ratio, mean = values.sum() / largest, np.sqrt(2 * largest * log / n)
            errors.append(
                2 * np.sqrt(distance) * mean * np.sqrt(largest / least)
                + distance * (np.sqrt(ratio / n) + (ratio + log) / n)
            )
        scores.append(1 - a / (a + b + 1e-6))
        bias.append((b * own + a * other) / (a + b) ** 2)
        prob.append(min(1, np.hypot(a, b) / (a + b) ** 2 * np.hypot(*errors)))
    return scores, bias, prob


def numpy_pm(x, kept):
    """PM, bias and prob of each source."""
    scores, bias, prob = [], [], []
    for points in x:
        n = len(points) - 2
        u, w = np.split(points - points[0], [kept], axis=1)
        d, c = u[2:], w[2:]
        inverse = np.linalg.inv(safe(d.T @ d / (n - 1)))
        values = np.sum(u @ inverse * u, axis=1) + 1e-6
        mean, var = values[2:].mean(), values[2:].var(ddof=1)
        scores.append(scipy.special.gammaincc(mean**2 / var, values[1] * mean / var))
        inverse, cross = np.linalg.inv(safe(np.cov(d.T))), d.T @ c / (n - 1)
        rest = safe(np.cov(c.T)) - cross.T @ inverse @ cross + 1e-9 * np.eye(c.shape[1])
        r = w - u @ inverse @ cross
        energy = np.sum(r @ np.linalg.inv(rest) * r, axis=1)
        values = np.sum(u @ inverse * u, axis=1)
        a, few, full = values[1], values[2:], (values + energy)[2:]
        mean, var = few.mean(), few.var(ddof=1) + 1e-12
        k, theta = mean**2 / var, var / mean
        f = energy[2:].max() * n / (n - 1)
        box = (
            f * (full.mean() + mean) / var,
            f * (full.var(ddof=1) + 1e-12 + var) / (mean**2 + 1e-9),
            energy[1],
        )
        bias.append(worst(k, theta, a, box))
        log, largest, sd = np.log(6 / DELTA), few.max() + 1e-12, np.sqrt(var)
        e1 = np.sqrt(2 * var * log / n) + 3 * largest * log / n
        e2 = np.sqrt(2 * largest**2 * log / n) + 3 * largest**2 * log / n
        dk = 2 * mean / (var + 1e-9) * e1 + 2 * mean**2 / (sd**3 + 1e-9) * e2
        dt = var / (mean**2 + 1e-9) * e1 + 2 * sd / (mean + 1e-9) * e2
        da = min(largest * np.sqrt(2 * log / n), a / 2 + 1e-12)
        prob.append(worst(k, theta, a, (min(dk, k / 2), min(dt, theta / 2), da)))
    return scores, bias, prob


def worst(k, theta, a, box):
    """The largest change of the Gamma tail over the corners of the box."""
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    ks, thetas, distances = (
        np.maximum(centre + signs[:, i] * box[i], least)
        for i, (centre, least) in enumerate(((k, 1e-6), (theta, 1e-6), (a, 1e-8)))
    )
    changed = scipy.special.gammaincc(ks, distances / thetas)
    return np.abs(changed - scipy.special.gammaincc(k, a / theta)).max()


PEERS = {
    'jaxsep': jaxsep_scores,
    'jaxsep in float32': lambda points: jaxsep_scores(points, float64=False),
    'the original in float32': original_scores,
    'numpy, loop over frames': numpy_scores,
}


def measure_peer(peer: str, seconds: float, repeats: int) -> dict:
    """Times of one peer, and its scores."""
    points, front_end = points_and_seconds(seconds)
    out = []

    def score():
        out[:] = [PEERS[peer](points)]

    times = meters.in_turn({'': score}, repeats)['']
    return {
        'time': times.fastest,
        'frames': int(points.active.any(axis=1).sum()),
        'front_end_seconds': front_end,
        'scores': out[0].tolist(),
        'threads': meters.threads(),
        **times.summary(),
    }


def measure(seconds: float, repeats: int) -> Measured:
    """All peers, and how far their scores are from those of jaxsep in float64."""
    found = processes.of_each(measure_peer, PEERS, seconds, repeats)
    expected = np.array(found['jaxsep']['scores'])
    for each in found.values():
        if 'scores' in each:
            apart = np.abs(np.array(each.pop('scores')) - expected).max(axis=(1, 2))
            each['largest_difference'] = dict(zip(SCORES, apart.tolist(), strict=True))
    what, sizes = 'MAPSS, scores in float64', f'{found["jaxsep"]["frames"]} frames of two voices'
    return Measured(against(what, sizes, ('time',), found), found)
