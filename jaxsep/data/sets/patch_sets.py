"""Images as sets of patches, and queries that are some patches of other images."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxsep.data import source as sources
from jaxsep.data.source import Arrays, Source, take_all

DIGITS = MappingProxyType({'name': 'digits'})


def patch_sets(
    *,
    images: Mapping = DIGITS,
    patch_size: int = 4,
    stride: int = 1,
    min_std: float = 0.12,
    position_weight: float = 0.5,
    num_queries: int = 200,
    query_size: int = 8,
    num_documents: int | None = None,
    seed: int = 0,
) -> Source:
    """A corpus of images, each the set of its patches, and queries to find the most similar in it.

    A vector is a grey patch with contrast (standard deviation above `min_std`, of values in [0, 1]),
    less its mean, to unit norm, followed by `position_weight` times the place of the patch in
    [-1, 1]^2, to unit norm again. Images without such patches are left out.

    Columns: `document_vectors` float32 [n, t, d] and `document_mask`, one image a row, and
    `query_vectors` [n, query_size, d] and `query_mask`. Both splits hold the same documents, the
    corpus. In 'train' the query of a row is of its own image. In 'test' the first `num_queries` rows
    carry queries of images that are not in the corpus; the queries of other rows are empty.

    Args:
      images: a source with images, its name and options; its splits are joined.
      patch_size: pixels; d is patch_size^2 + 2.
      stride: pixels from patch to patch.
      min_std: contrast a patch must have.
      position_weight: 0 forgets places.
      num_queries: images that are taken out of the corpus for queries.
      query_size: patches of a query, drawn without replacement (all, of an image with fewer).
      num_documents: images in the corpus; None for all that are left.
      seed: of the choice of images and patches.
    """
    for name, value in dict(patch_size=patch_size, stride=stride, num_queries=num_queries,
                            query_size=query_size).items():  # fmt: skip
        if value < 1:
            raise ValueError(f'{name}: expected a positive integer, got {value}')
    found = sources.load(**images)
    splits = [take_all(split) for split in found.splits.values()]
    if 'image' not in splits[0]:
        raise ValueError(f'images: expected a source of images, {images} has {sorted(splits[0])}')
    joined = {k: np.concatenate([s[k] for s in splits]) for k in ('image', *found.labels)}
    vectors, mask = patches(
        joined['image'], patch_size, stride, min_std=min_std, position_weight=position_weight
    )
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(mask.any(1)))
    size = len(order) - num_queries if num_documents is None else num_documents
    if not num_queries <= size <= len(order) - num_queries:
        raise ValueError(
            f'num_queries, num_documents: expected at most as many queries as documents and '
            f'{len(order)} images together, got {num_queries} and {size}'
        )
    query_rows, rows = order[:num_queries], np.sort(order[num_queries : num_queries + size])
    longest = int(mask[rows].sum(1).max())
    columns = {
        'document_vectors': vectors[rows, :longest],
        'document_mask': mask[rows, :longest],
        **{name: joined[name][rows] for name in found.labels},
    }
    outside = some(rng, vectors[query_rows], mask[query_rows], query_size)
    empty = size - num_queries
    outside = [np.pad(a, ((0, empty), *((0, 0),) * (a.ndim - 1))) for a in outside]
    own = some(rng, vectors[rows], mask[rows], query_size)
    names = 'query_vectors', 'query_mask'
    return Source(
        {
            'train': Arrays(columns | dict(zip(names, own, strict=True))),
            'test': Arrays(columns | dict(zip(names, outside, strict=True))),
        },
        found.labels,
        f'sets of {patch_size} x {patch_size} patches of {found.content}',
    )


def patches(
    images: UInt8[np.ndarray, 'n h w c'],
    patch_size: int,
    stride: int = 1,
    *,
    min_std: float = 0.12,
    position_weight: float = 0.5,
) -> tuple[Float[np.ndarray, 'n t d'], Bool[np.ndarray, 'n t']]:
    """The vectors of the patches with contrast of each image, in raster order, and their mask.

    Those that have contrast come first; the padding behind them is 0.
    """
    n, h, w, c = images.shape
    if patch_size > min(h, w):
        raise ValueError(f'patch_size: expected at most {min(h, w)}, got {patch_size}')
    grey = images.astype(np.float32).mean(axis=3) / 255
    windows = np.lib.stride_tricks.sliding_window_view(grey, (patch_size, patch_size), (1, 2))
    windows = windows[:, ::stride, ::stride]
    places = [np.arange(0, size - patch_size + 1, stride, np.float32) for size in (h, w)]
    places = [2 * p / max(size - patch_size, 1) - 1 for p, size in zip(places, (h, w), strict=True)]
    grid = np.stack(np.meshgrid(*places, indexing='ij'), axis=-1).reshape(-1, 2)
    flat = windows.reshape(n, len(grid), patch_size**2)
    mask = flat.std(axis=2) > min_std
    looks = unit(flat - flat.mean(axis=2, keepdims=True))
    where = np.broadcast_to(np.float32(position_weight) * grid, (*mask.shape, 2))
    vectors = unit(np.concatenate([looks, where], axis=2))
    front = np.argsort(~mask, axis=1, kind='stable')
    mask = np.take_along_axis(mask, front, axis=1)
    vectors = np.take_along_axis(vectors, front[:, :, None], axis=1)
    return np.where(mask[:, :, None], vectors, np.float32(0)), mask


def some(
    rng: np.random.Generator,
    vectors: Float[np.ndarray, 'n t d'],
    mask: Bool[np.ndarray, 'n t'],
    size: int,
) -> list[np.ndarray]:
    """Random members of each set, and their mask: at most `size` of them."""
    size = min(size, mask.shape[1])
    chosen = np.argsort(np.where(mask, rng.random(mask.shape), 2), axis=1)[:, :size]
    return [
        np.take_along_axis(vectors, chosen[:, :, None], axis=1),
        np.take_along_axis(mask, chosen, axis=1),
    ]


def unit(x: Float[np.ndarray, '... d']) -> Float[np.ndarray, '... d']:
    """Rows to unit norm; 0 stays 0."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(norm > 0, norm, 1)
