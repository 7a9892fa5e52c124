"""The user's own sets of vectors, from a late-interaction encoder: `multivector:<path>`."""

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxsep.data.sets.npz import check_finite, read_npz
from jaxsep.data.source import Arrays, Source


def load(path: str, *, max_document_size: int | None = None) -> Source:
    """Documents and queries as sets of vectors from one .npz file, as np.savez writes it.

    Needs `document_vectors`, as [n, t, d] with `document_mask` [n, t] (all True if it is not there),
    or as [sum of lengths, d] with `document_lengths` [n], as ColBERT's indexes have them. The same
    for `query_vectors`, which may be missing. There may be fewer queries than documents,
    not more: the rows beyond the last carry an empty query. float16 is read as float32.

    Nothing is learnt from these rows, so both splits, 'train' and 'test', hold all of them.

    Args:
      path: the file.
      max_document_size: vectors of a document beyond so many are cut off; None keeps all.
    """
    arrays = read_npz(path)
    vectors, mask = padded(path, arrays, 'document', max_document_size)
    columns = {'document_vectors': vectors, 'document_mask': mask}
    if 'query_vectors' in arrays:
        queries, query_mask = padded(path, arrays, 'query', None)
        if len(queries) > len(vectors) or queries.shape[2] != vectors.shape[2]:
            raise ValueError(
                f'{path}: expected at most {len(vectors)} queries of {vectors.shape[2]} dimensions, '
                f'as the documents, got {len(queries)} of {queries.shape[2]}'
            )
        missing = len(vectors) - len(queries)
        columns['query_vectors'] = np.pad(queries, ((0, missing), (0, 0), (0, 0)))
        columns['query_mask'] = np.pad(query_mask, ((0, missing), (0, 0)))
    return Source(
        {'train': Arrays(columns), 'test': Arrays(columns)}, {}, f'sets of vectors of {path}'
    )


def padded(
    path: str, arrays: dict[str, np.ndarray], which: str, most: int | None
) -> tuple[Float[np.ndarray, 'n t d'], Bool[np.ndarray, 'n t']]:
    """The sets called `<which>_vectors`, padded with 0, and their mask."""
    name = f'{which}_vectors'
    if name not in arrays:
        raise ValueError(f'{path}: expected an array named {name}, there are {sorted(arrays)}')
    vectors = arrays[name]
    if vectors.dtype.kind != 'f' or vectors.ndim not in (2, 3):
        raise ValueError(
            f'{path}: {name}: expected floats [n, t, d] or [m, d], '
            f'got {vectors.dtype} {list(vectors.shape)}'
        )
    check_finite(f'{path}: {name}', vectors)
    vectors = vectors.astype(np.float32)
    if vectors.ndim == 2:
        lengths = arrays.get(f'{which}_lengths')
        if lengths is None or lengths.ndim != 1 or lengths.sum() != len(vectors):
            raise ValueError(
                f'{path}: {which}_lengths: expected [n] numbers with the sum {len(vectors)}, as many '
                f'as {name} has rows'
            )
        return ragged(vectors, lengths.astype(np.int64), most)
    vectors = vectors[:, :most]
    mask = arrays.get(f'{which}_mask', np.ones(vectors.shape[:2], bool))[:, :most].astype(bool)
    if mask.shape != vectors.shape[:2]:
        raise ValueError(
            f'{path}: {which}_mask: expected {list(vectors.shape[:2])}, got {list(mask.shape)}'
        )
    return np.where(mask[:, :, None], vectors, np.float32(0)), mask


def ragged(
    rows: Float[np.ndarray, 'm d'], lengths: Int[np.ndarray, 'n'], most: int | None = None
) -> tuple[Float[np.ndarray, 'n t d'], Bool[np.ndarray, 'n t']]:
    """Sets that stand one after the other, padded to the longest of them, and their mask.

    >>> sets, mask = ragged(np.array([[1.0], [2.0], [3.0]], np.float32), np.array([1, 2]))
    >>> sets[:, :, 0].tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    longest = int(lengths.max(initial=0)) if most is None else most
    place = np.arange(longest)[None, :]
    mask = place < lengths[:, None]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    chosen = np.where(mask, starts[:, None] + place, 0)
    return np.where(mask[:, :, None], rows[chosen], np.float32(0)), mask
