"""The k best rows against numpy and scikit-learn.

1,024 queries, 100,000 rows of 128 numbers, all of unit norm, so that inner products and distances
find the same rows: `mips_top_k` and `l2_top_k` of jaxsep, numpy as one writes it (a matrix product,
argpartition, a sort of what is left), of all queries at once and of 64 at a time, and the brute
force of scikit-learn's NearestNeighbors. All must find the same rows.

Each peer runs in a process of its own; the peers take turns, some rounds. Memory is what the process
grows by in its first run after compilation; for jaxsep also what its compiled program holds beside
arguments and results is told.
"""

import pathlib
import tempfile

import numpy as np

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'queries': 1024, 'rows': 100_000, 'k': [10, 100], 'rounds': 1, 'repeats': 4},
    'quick': {'queries': 8, 'rows': 100, 'k': [3], 'rounds': 1, 'repeats': 1},
}
PACKAGES = ('jax', 'numpy', 'scikit-learn')
DIM = 128


def queries_and_rows(queries: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries [q, d] and database [n, d]: random directions, float32."""
    rng = np.random.default_rng(0)
    both = rng.standard_normal((queries + rows, DIM), np.float32)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return both[:queries], both[queries:]


def of_jaxsep(name: str):
    """(queries, rows, k) -> (function that finds, bytes it holds beside arguments and results)."""
    import jax
    import jax.numpy as jnp

    from jaxsep.ops import top_k

    def prepare(queries, rows, k):
        given = jnp.asarray(queries), jnp.asarray(rows)
        program = getattr(top_k, name).lower(*given, k).compile()
        held = program.memory_analysis().temp_size_in_bytes
        return lambda: jax.block_until_ready(program(*given)).indices, held

    return prepare


def of_numpy(size: int):
    """The same in numpy, `size` queries at a time; all at once with 0."""

    def best(queries, rows, k):
        scores = queries @ rows.T
        found = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1)
        return np.take_along_axis(found, order, axis=1)

    def prepare(queries, rows, k):
        parts = np.split(queries, range(size, len(queries), size)) if size else [queries]
        return lambda: np.concatenate([best(part, rows, k) for part in parts]), None

    return prepare


def of_sklearn(queries, rows, k):
    """The same in scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, algorithm='brute').fit(rows)
    return lambda: index.kneighbors(queries, return_distance=True)[1], None


PEERS = {
    'jaxsep': lambda: of_jaxsep('mips_top_k'),
    'jaxsep, distances': lambda: of_jaxsep('l2_top_k'),
    'numpy': lambda: of_numpy(0),
    'numpy, 64 queries at a time': lambda: of_numpy(64),
    'scikit-learn, distances': lambda: of_sklearn,
}


def measure_peer(peer: str, queries: int, rows: int, k: int, repeats: int, folder: str) -> dict:
    """Times and memory of one peer, and the share of its rows that the first peer did not find."""
    find, held = PEERS[peer]()(*queries_and_rows(queries, rows), k)
    times, memory, found = meters.timed_with_memory(find, repeats)
    path, found = pathlib.Path(folder) / 'found.npy', np.asarray(found)
    if not path.exists():
        np.save(path, found)
    shared = [np.isin(a, b).mean() for a, b in zip(found, np.load(path), strict=True)]
    return {
        'time': times.fastest,
        'memory': memory,
        'held_bytes': held,
        'other_rows': 1 - float(np.mean(shared)),
        'threads': meters.threads(),
        **times.summary(),
    }


def measure(queries: int, rows: int, k: list[int], rounds: int, repeats: int) -> Measured:
    """All peers for all k: the best round of each."""
    table, details = [], {}
    for count in k:
        with tempfile.TemporaryDirectory() as folder:
            arguments = queries, rows, count, repeats, folder
            several = [processes.of_each(measure_peer, PEERS, *arguments) for _ in range(rounds)]
        found = details[str(count)] = best(several)
        for peer, each in found.items():
            if each.get('other_rows', 0) > 1e-4:
                raise ValueError(f'{peer}: {each["other_rows"]:.1e} of the rows are others')
        sizes = f'{queries:,} queries, {rows:,} rows of {DIM}'
        table += against(f'The {count} best rows', sizes, ('time', 'memory'), found)
    return Measured(table, details)


def best(rounds: list[dict[str, dict]]) -> dict[str, dict]:
    """The round of each peer in which it was fastest."""
    return {
        peer: min((found[peer] for found in rounds), key=lambda each: each.get('time', 0))
        for peer in rounds[0]
    }
