"""Fixed dimensional encodings against numpy.

Encodes documents of 32 vectors of 128 numbers with 20 repetitions of 32 parts of 16 numbers,
empty parts filled, with the same matrices: jaxsep, and numpy as one writes it from the paper, a loop
over documents and repetitions, or over documents only. Then searches: the exact Chamfer
similarity of all documents against the 100 best by encodings, or by the single-vector
heuristic, reranked. Every peer runs in a process of its own.
"""

import numpy as np

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'documents': 4_000, 'queries': 100, 'repeats': 2},
    'quick': {'documents': 120, 'queries': 2, 'repeats': 1},
}
PACKAGES = ('jax', 'numpy')
VECTORS, DIM = 32, 128
WORDS, TOPICS, SHARED = 5000, 500, 2
REPETITIONS, PLANES, PROJECTION = 20, 5, 16
CANDIDATES = 100
RANKS = (1, 10, 30, CANDIDATES)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows to unit norm."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def documents_and_queries(count: int, num_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Words in context: a vector is that of a word, of its document's topic, and of nothing else.

    The n-th word is drawn with probability proportional to 1/n. A query has as many vectors as a
    document: `SHARED` words and the topic are those of some document, the other words
    are drawn anew, the context is its own.
    """
    rng = np.random.default_rng(0)
    words = unit(rng.standard_normal((WORDS, DIM), np.float32))
    topics = unit(rng.standard_normal((TOPICS, DIM), np.float32))
    frequency = 1 / np.arange(1, WORDS + 1)
    frequency /= frequency.sum()

    def in_context(chosen, topic):
        noise = rng.standard_normal((*chosen.shape, DIM), np.float32) / DIM**0.5
        return unit(words[chosen] + 0.5 * topics[topic][:, None] + 0.7 * noise)

    chosen = rng.choice(WORDS, (count, VECTORS), p=frequency)
    topic = rng.integers(TOPICS, size=count)
    rows = rng.integers(count, size=num_queries)
    asked = rng.choice(WORDS, (num_queries, VECTORS), p=frequency)
    asked[:, :SHARED] = chosen[rows, :SHARED]
    return in_context(chosen, topic), in_context(asked, topic[rows])


def matrices() -> tuple[np.ndarray, np.ndarray]:
    """Planes and projections, the same for all peers."""
    rng = np.random.default_rng(1)
    planes = rng.standard_normal((REPETITIONS, DIM, PLANES), np.float32)
    signs = rng.choice(np.float32([-1, 1]), (REPETITIONS, DIM, PROJECTION))
    return planes, signs / np.float32(PROJECTION**0.5)


def gray(bits: np.ndarray) -> np.ndarray:
    """Place in the Gray code of patterns along the last axis."""
    index = np.zeros(bits.shape[:-1], int)
    for i in range(bits.shape[-1]):
        index = 2 * index + (bits[..., i] ^ (index & 1))
    return index


PARTS = np.arange(2**PLANES)
PATTERNS = ((PARTS ^ (PARTS >> 1))[:, None] >> np.arange(PLANES)[::-1]) & 1
"""The bits of each part."""
DIFFER = (PATTERNS[:, None] != PATTERNS[None]).sum(axis=2)
"""In how many bits two parts differ."""


def numpy_loops(documents, planes, projections):
    """A document and a repetition at a time."""
    out = np.zeros((len(documents), REPETITIONS, 2**PLANES, PROJECTION), np.float32)
    for i, document in enumerate(documents):
        for r in range(REPETITIONS):
            bits = (document @ planes[r] > 0).astype(int)
            index, projected = gray(bits), document @ projections[r]
            counts = np.bincount(index, minlength=2**PLANES)
            np.add.at(out[i, r], index, projected)
            out[i, r] /= np.maximum(counts, 1)[:, None]
            empty = np.flatnonzero(counts == 0)
            differ = (PATTERNS[empty][:, None] != bits[None]).sum(axis=2)
            out[i, r, empty] = projected[differ.argmin(axis=1)]
    return out.reshape(len(documents), -1)


def numpy_per_document(documents, planes, projections):
    """A document at a time, all repetitions at once, sums as a product with the membership."""
    all_planes = planes.transpose(1, 0, 2).reshape(DIM, -1)
    all_projections = projections.transpose(1, 0, 2).reshape(DIM, -1)
    out = np.empty((len(documents), REPETITIONS, 2**PLANES, PROJECTION), np.float32)
    for i, document in enumerate(documents):
        bits = (document @ all_planes > 0).reshape(-1, REPETITIONS, PLANES).astype(int)
        projected = (document @ all_projections).reshape(-1, REPETITIONS, PROJECTION)
        projected = projected.transpose(1, 0, 2)
        differ = DIFFER[gray(bits).T].transpose(0, 2, 1)
        members = (differ == 0).astype(np.float32)
        counts = members.sum(axis=2, keepdims=True)
        mean = members @ projected / np.maximum(counts, 1)
        nearest = np.take_along_axis(projected, differ.argmin(axis=2)[:, :, None], axis=1)
        out[i] = np.where(counts > 0, mean, nearest)
    return out.reshape(len(documents), -1)


def jaxsep_encodings(documents, planes, projections):
    """The library's function."""
    import jax.numpy as jnp

    from jaxsep.algorithms.fixed_dimensional_encoding import Matrices, document_encoding

    given = Matrices(jnp.asarray(planes), jnp.asarray(projections))
    return document_encoding(jnp.asarray(documents), given).block_until_ready()


PEERS = {
    'jaxsep': jaxsep_encodings,
    'numpy, loop over documents': numpy_per_document,
    'numpy, loops over documents and repetitions': numpy_loops,
}


def measure_peer(peer: str, count: int, repeats: int) -> dict:
    """Times of one peer, and a part of the result to compare."""
    documents, _ = documents_and_queries(count, 1)
    given, out = matrices(), []

    def encode():
        out[:] = [PEERS[peer](documents, *given)]

    times = meters.in_turn({'': encode}, repeats)['']
    sample = np.asarray(out[0][:: max(count // 8, 1), ::97]).ravel().tolist()
    found = {'time': times.fastest, 'processor time': min(times.processor), 'sample': sample}
    return found | times.summary() | {'threads': meters.threads()}


def measure_search(count: int, num_queries: int, repeats: int) -> dict:
    """Seconds a query and recall of the exact nearest document among equal numbers of candidates."""
    import jax
    import jax.numpy as jnp

    from jaxsep.algorithms import fixed_dimensional_encoding as fde
    from jaxsep.algorithms import multi_vector_search as search
    from jaxsep.ops.chamfer import chamfer_scores
    from jaxsep.ops.top_k import mips_top_k

    documents, queries = map(jnp.asarray, documents_and_queries(count, num_queries))
    given = fde.Matrices(*map(jnp.asarray, matrices()))
    encodings = fde.document_encoding(documents, given)

    def exact():
        return jax.block_until_ready(jax.lax.top_k(chamfer_scores(queries, documents), 1)[1])

    def by_encodings():
        encoded = fde.query_encoding(queries, given)
        found = mips_top_k(encoded, encodings, CANDIDATES).indices
        reranked = search.rerank(queries, documents, found)
        return jax.block_until_ready((found, reranked.indices[:, :1]))

    def by_vectors():
        found = search.single_vector_candidates(queries, documents, CANDIDATES)[:, :CANDIDATES]
        reranked = search.rerank(queries, documents, found)
        return jax.block_until_ready((found, reranked.indices[:, :1]))

    forms = {'encodings': by_encodings, 'single-vector heuristic': by_vectors, 'exact': exact}
    times = meters.in_turn(forms, repeats)
    best, found = exact(), {}
    for name, function in forms.items():
        found[name] = {'time': times[name].fastest / num_queries}
        if name != 'exact':
            candidates, first = function()
            hits = np.asarray(candidates) == np.asarray(best)
            found[name] |= {f'recall@{k}': float(hits[:, :k].any(axis=1).mean()) for k in RANKS}
            right = np.asarray(first) == np.asarray(best)
            found[name]['reranked_recall@1'] = float(right.mean())
    return found


def measure(documents: int, queries: int, repeats: int) -> Measured:
    """The encodings of all peers, then the searches."""
    encoding = processes.of_each(measure_peer, PEERS, documents, repeats)
    expected = np.array(encoding['jaxsep']['sample'])
    for peer, found in encoding.items():
        found['largest_difference'] = float(np.abs(found.pop('sample') - expected).max())
        if found['largest_difference'] > 1e-5:
            raise ValueError(f'{peer}: encodings differ by {found["largest_difference"]:.1e}')
    searched = processes.fresh(measure_search, documents, queries, repeats)
    sizes = f'{documents:,} documents of {VECTORS} vectors of {DIM}'
    both = 'time', 'processor time'
    table = against('MUVERA, encoding', sizes, both, encoding)
    of_search = {'encodings': searched['encodings'], 'the exact search': searched['exact']}
    of_search['the single-vector heuristic'] = searched['single-vector heuristic']
    recall = searched['encodings']['reranked_recall@1']
    what = f'MUVERA, a search that finds the best document of {100 * recall:.0f} % of the queries'
    table += against(what, sizes, ('time',), of_search)
    return Measured(table, {'encoding': encoding, 'search': searched})
