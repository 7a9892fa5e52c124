"""The k best rows against numpy and scikit-learn: python -m experiments.benchmarks.top_k.

1,024 queries, 100,000 rows of 128 numbers, all of unit norm, so that inner products and distances
find the same rows: `mips_top_k` and `l2_top_k` of jaxsep, numpy as one writes it (a matrix product,
argpartition, a sort of what is left), of all queries at once and of 64 at a time, and the brute
force of scikit-learn's NearestNeighbors. All must find the same rows.

Each peer runs in a process of its own; the peers take turns, some rounds, and the median of all
runs counts. Seconds of the processor, of all cores together, are told too: they depend less on what
else the machine does. Memory is what the process grew by in its first run, at the most, and for
jaxsep also what its compiled program holds beside arguments and results.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

QUERIES, ROWS, DIM = 1024, 100_000, 128
NOT_TOLD_TO_NUMPY = ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE')
"""Its linear algebra finds these out by itself, on most machines."""


def queries_and_rows() -> tuple[np.ndarray, np.ndarray]:
    """Queries [q, d] and database [n, d]: random directions, float32."""
    rng = np.random.default_rng(0)
    both = rng.standard_normal((QUERIES + ROWS, DIM), np.float32)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return both[:QUERIES], both[QUERIES:]


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
    """The same in numpy, `size` queries at a time."""

    def best(queries, rows, k):
        scores = queries @ rows.T
        found = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1)
        return np.take_along_axis(found, order, axis=1)

    def prepare(queries, rows, k):
        starts = range(0, len(queries), size)
        return lambda: np.concatenate([best(queries[i : i + size], rows, k) for i in starts]), None

    return prepare


def of_sklearn(queries, rows, k):
    """The same in scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, algorithm='brute').fit(rows)
    return lambda: index.kneighbors(queries, return_distance=True)[1], None


PEERS = {
    'jaxsep': lambda: of_jaxsep('mips_top_k'),
    'jaxsep, distances': lambda: of_jaxsep('l2_top_k'),
    'numpy': lambda: of_numpy(QUERIES),
    'numpy, 64 queries at a time': lambda: of_numpy(64),
    'scikit-learn, distances': lambda: of_sklearn,
}


def resident() -> int:
    """Memory of this process now, in bytes."""
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def growth(find) -> tuple[int, np.ndarray]:
    """Bytes the process grows by while `find` runs, looked at every two milliseconds; the result."""
    before, seen, done = resident(), [], threading.Event()

    def watch():
        while not done.wait(0.002):
            seen.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = np.asarray(find())
    done.set()
    watcher.join()
    return max(seen, default=before) - before, found


def measure(peer: str, k: int, repeats: int, path: str) -> dict:
    """Seconds of each run, and what memory grew by; the result into a file."""
    find, held = PEERS[peer]()(*queries_and_rows(), k)
    grown, found = growth(find)
    np.save(path, found)
    seconds, processor = [], []
    for _ in range(repeats):
        worked, began = time.process_time(), time.perf_counter()
        find()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - worked)
    return {
        'seconds': seconds,
        'processor_seconds': processor,
        'grown_bytes': grown,
        'held_bytes': held,
    }


def in_its_own_process(peer: str, k: int, repeats: int, path: str) -> dict:
    """`measure` in a fresh interpreter."""
    environment = {key: v for key, v in os.environ.items() if key not in NOT_TOLD_TO_NUMPY}
    command = [sys.executable, '-m', 'experiments.benchmarks.top_k', '--peer', peer, '--path', path]
    command += ['--k', str(k), '--repeats', str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints a table and writes experiments/benchmarks/top_k.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--k', type=int, nargs='+', default=[10, 100])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--peer', choices=list(PEERS), help='measure this one, in this process')
    parser.add_argument('--path', default='')
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(measure(given.peer, given.k[0], given.repeats, given.path)))
        return
    results = {}
    for k in given.k:
        runs = {peer: [] for peer in PEERS}
        with tempfile.TemporaryDirectory() as folder:
            paths = {peer: os.path.join(folder, f'{i}.npy') for i, peer in enumerate(PEERS)}
            for _ in range(given.rounds):
                for peer in PEERS:
                    runs[peer].append(in_its_own_process(peer, k, given.repeats, paths[peer]))
            rows = {peer: np.load(path) for peer, path in paths.items()}
        found = results[str(k)] = {}
        for peer, measured in runs.items():
            found[peer] = one = {
                'grown_bytes': max(run['grown_bytes'] for run in measured),
                'held_bytes': measured[0]['held_bytes'],
                'other_rows': 1 - float(np.mean([
                    np.isin(a, b).mean() for a, b in zip(rows[peer], rows['numpy'], strict=True)
                ])),
            }  # fmt: skip
            for which in ('seconds', 'processor_seconds'):
                one[which] = statistics.median(s for run in measured for s in run[which])
                one[f'{which}_times_jaxsep'] = one[which] / found['jaxsep'][which]
            print(f'k = {k:<4} {peer:<28} {1e3 * one["seconds"]:6.0f} ms '
                  f'({one["seconds_times_jaxsep"]:.2f} x), processor '
                  f'{1e3 * one["processor_seconds"]:6.0f} ms '
                  f'({one["processor_seconds_times_jaxsep"]:.2f} x), '
                  f'{one["grown_bytes"] / 1e6:.0f} MB, {one["other_rows"]:.1e} other rows',
                  flush=True)  # fmt: skip
    versions = {n: importlib.metadata.version(n) for n in ('jax', 'numpy', 'scikit-learn')}
    sizes = {'queries': QUERIES, 'rows': ROWS, 'dim': DIM, 'cpus': os.cpu_count()}
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps({**sizes, 'k': results, 'versions': versions}, indent=2) + '\n')


if __name__ == '__main__':
    main()
