"""What arrays can hold: patterns of floats, masks and class numbers that have bitten someone."""

import numpy as np

SMALLEST, LARGEST = 1e-30, 1e30


def normal(rng, shape):
    return rng.normal(size=shape)


def tiny(rng, shape):
    return SMALLEST * (1 + rng.random(shape)) * rng.choice([-1, 1], shape)


def huge(rng, shape):
    return LARGEST * rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape)


def mixed(rng, shape):
    """Every entry of another magnitude."""
    return 10 ** rng.uniform(-30, 30, shape) * rng.choice([-1, 1], shape)


def scaled(rng, shape):
    """Ordinary numbers times one factor."""
    return rng.normal(size=shape).clip(-5, 5) * 10 ** rng.uniform(-30, 29)


def rows_scaled(rng, shape):
    """Each row of another magnitude."""
    factors = 10 ** rng.uniform(-30, 29, (*shape[:-1], 1) if shape else ())
    return rng.normal(size=shape).clip(-5, 5) * factors


def far_from_zero(rng, shape):
    """Differences are small beside the values."""
    return 10 ** rng.uniform(0, 29) * (1 + 1e-6 * rng.normal(size=shape))


def zeros(rng, shape):
    return np.zeros(shape)


def constant(rng, shape):
    return np.full(shape, float(mixed(rng, ())))


def repeated_rows(rng, shape):
    """Rows of two kinds only."""
    if len(shape) < 2:
        return rng.choice([-1.0, 2.0], shape)
    kinds = rng.normal(size=(2, *shape[1:]))
    return kinds[rng.integers(0, 2, shape[0])]


def one_hot(rng, shape):
    if not shape:
        return np.ones(shape)
    places = rng.integers(0, shape[-1], shape[:-1])
    return np.eye(shape[-1])[places] * 10 ** rng.uniform(-30, 30)


def small_integers(rng, shape):
    """Ties everywhere."""
    return rng.integers(-2, 3, shape).astype(float)


def sparse(rng, shape):
    return mixed(rng, shape) * (rng.random(shape) < 0.2)


def denormal(rng, shape):
    return rng.integers(-3, 4, shape) * 1e-40


# The simplest first.
FLOATS = (
    zeros, small_integers, normal, repeated_rows, constant, tiny, huge, scaled, rows_scaled, mixed, one_hot, sparse, far_from_zero, denormal,
)  # fmt: skip


def no(rng, shape):
    return np.zeros(shape, bool)


def all_of_them(rng, shape):
    return np.ones(shape, bool)


def single(rng, shape):
    mask = np.zeros(shape, bool)
    if mask.size:
        mask.flat[rng.integers(mask.size)] = True
    return mask


def some(rng, shape):
    return rng.random(shape) < rng.choice([0.1, 0.5, 0.9])


MASKS = (all_of_them, no, single, some)


def one_class(rng, shape, count):
    return np.full(shape, rng.integers(count))


def any_class(rng, shape, count):
    return rng.integers(0, count, shape)


def all_classes(rng, shape, count):
    """In turn, and sorted."""
    return np.sort(np.arange(int(np.prod(shape))) % count).reshape(shape)


LABELS = (one_class, any_class, all_classes)


def between(low, high):
    """A pattern: uniform, with both ends among the values."""

    def draw(rng, shape):
        inside = rng.uniform(low, high, shape)
        return np.where(rng.random(shape) < 0.2, rng.choice([low, high], shape), inside)

    return draw


def positive(rng, shape):
    """Above 0, of any magnitude from 1e-3 to 1e3."""
    return 10 ** rng.uniform(-3, 3, shape)


def magnitudes(rng, shape):
    """0 and above, of any magnitude."""
    return np.abs(sparse(rng, shape) if rng.random() < 0.5 else mixed(rng, shape))


def unit_rows(rng, shape):
    """Rows of unit norm, some of them alike."""
    x = rng.normal(size=shape) if rng.random() < 0.5 else repeated_rows(rng, shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def probabilities(rng, shape):
    """Rows that sum to 1, some of one entry only."""
    x = rng.dirichlet(np.ones(shape[-1]), shape[:-1]) if rng.random() < 0.7 else one_hot(rng, shape)
    return x / x.sum(axis=-1, keepdims=True)


def boxes(rng, shape):
    """Corners in order, sides from 0 to 1000, sometimes all the same."""
    corners = rng.uniform(0, 1000, (*shape[:-1], 2))
    sides = rng.choice([0.0, 1e-3, 10.0, 1000.0], (*shape[:-1], 2)) * rng.random((*shape[:-1], 2))
    found = np.concatenate([corners, corners + sides], axis=-1)
    return np.broadcast_to(found.reshape(-1, 4)[0], shape) if rng.random() < 0.2 else found


def predicted_boxes(rng, shape):
    """Corners in any order, up to 1000 pixels or a few."""
    return rng.normal(size=shape) * rng.choice([1.0, 300.0])


def counts(rng, shape):
    """Whole numbers from 0, mostly 0 at times."""
    return rng.integers(0, 10, shape) * (rng.random(shape) < rng.choice([0.05, 0.5, 1.0]))


def symmetric(rng, shape):
    """A non-negative symmetric matrix with zeros on its diagonal: distances."""
    x = np.abs(normal(rng, shape))
    x = x + np.swapaxes(x, -1, -2)
    return x * (1 - np.eye(shape[-1]))


def ascending(rng, shape):
    """Non-negative rows in ascending order."""
    return np.sort(np.abs(mixed(rng, shape) if rng.random() < 0.5 else small_integers(rng, shape)))


def descending(rng, shape):
    return ascending(rng, shape)[..., ::-1]


def log_means(rng, shape):
    """Logarithms of running means, some of nothing."""
    return np.where(rng.random(shape) < 0.3, -np.inf, rng.uniform(-20, 20, shape))


def pixels(rng, sizes):
    """Classes of pixels, some without one."""
    found = rng.integers(0, sizes.get('k', 4), sizes['...'])
    return np.where(rng.random(found.shape) < rng.choice([0, 0.2, 1]), 255, found).astype(np.int32)


def classes(rng, sizes):
    """Class numbers from -1, none, on."""
    return rng.integers(-1, sizes.get('c', 4), sizes['...']).astype(np.int32)


def rates(rng, sizes):
    return 10 ** rng.uniform(-0.3, 0.3) * np.cumsum(rng.uniform(0.1, 2, 5))


def qualities(rng, sizes):
    return rng.uniform(20, 30) + np.cumsum(rng.uniform(0.1, 3, 5))


def gram(rng, shape):
    """A product of a matrix with itself, of any magnitude; often of low rank."""
    x = rng.normal(size=(rng.integers(1, shape[0] + 2), shape[0])) * 10 ** rng.uniform(-15, 14)
    return x.T @ x


def moments(rng, sizes):
    from jaxsep.metrics.unit_matching import UnitMoments

    p, q = 3, 4
    a, b = rng.normal(size=(5, p)) * 10 ** rng.uniform(-15, 15), rng.normal(size=(5, q))
    a = a * (rng.random(p) < 0.7)
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    return UnitMoments(
        np.asarray(5.0),
        a.mean(axis=0),
        b.mean(axis=0),
        (x * x).sum(axis=0),
        (y * y).sum(axis=0),
        x.T @ y,
    )


def clusters(rng, sizes):
    from jaxsep.metrics.mapss import Cluster, Precision

    s, p, k = sizes['s'], 3, sizes['k']
    rows, dual, differences = rng.uniform(-1, 1, (3, s, p, k))
    variances, inverse = rng.random((2, s, p))
    given = Precision(rows, dual, rng.uniform(-1, 1, (s, p, p)), variances, inverse, rng.random(s))
    return Cluster(rng.uniform(-1, 1, (s, k)), differences, given)
