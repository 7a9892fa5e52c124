"""How arguments are made whose values no annotation tells."""

from collections.abc import Callable
from typing import NamedTuple

import fuzz_values as values
import numpy as np

CLASSES = 4


class Fixed(NamedTuple):
    """A Python value, the same in all cases of a plan.

    Attributes:
      value: the value, or sizes -> value.
      variants: several values in its place, one for each plan in turn.
    """

    value: object = None
    variants: tuple = ()

    def of(self, sizes, number):
        if self.variants:
            return self.variants[number % len(self.variants)]
        return self.value(sizes) if callable(self.value) else self.value


class Pattern(NamedTuple):
    """Floats of the shape that the annotation says: (rng, shape) -> array."""

    draw: Callable


class Below(NamedTuple):
    """Integers from 0 to limit - 1; the limit may depend on the sizes."""

    limit: int | Callable

    def of(self, sizes):
        return max(self.limit(sizes) if callable(self.limit) else self.limit, 1)


class Build(NamedTuple):
    """Any arrays: (rng, sizes) -> pytree of numpy arrays."""

    make: Callable


class Shaped(NamedTuple):
    """Any floats, of a shape that the annotation leaves open: sizes -> shape."""

    shape: Callable


class Special(NamedTuple):
    """What is special about one function.

    Attributes:
      arguments: argument or field of an argument -> `Fixed`, `Pattern`, `Below` or `Build`.
      sizes: sizes -> the sizes that must be others.
      on_host: it is not for use under jit.
      infinite: a phrase of its docstring (or that of its module or of what it returns) that says
        when results are not finite.
      limits: the magnitudes that arrays of floats may have beside 0, where that is less than all;
        `limited` is the phrase that says so.
    """

    arguments: dict = {}
    sizes: Callable = lambda sizes: {}
    on_host: bool = False
    infinite: str = ''
    limits: tuple = (0.0, np.inf)
    limited: str = ''


def class_count(sizes):
    """Class numbers fit the axis of classes if there is one."""
    return min(sizes.get(axis, CLASSES) for axis in 'kc')


def integers(low, high, *axes):
    """Build: integers from low to high, both included; bounds and axes from the sizes."""

    def make(rng, sizes):
        ends = [end(sizes) if callable(end) else end for end in (low, high)]
        return rng.integers(ends[0], ends[1] + 1, [sizes[axis] for axis in axes]).astype(np.int32)

    return Build(make)


def permutation(rows, of=None):
    """Build: different integers, as many as `rows`, below the length of `of`."""

    def make(rng, sizes):
        return rng.permutation(sizes[of or rows])[: sizes[rows]].astype(np.int32)

    return Build(make)


def at_least(**least):
    """The sizes of these axes are at least that."""
    return lambda sizes: {axis: max(sizes[axis], number) for axis, number in least.items()}


def at_most(**most):
    return lambda sizes: {axis: min(sizes[axis], n) for axis, n in most.items() if axis in sizes}


def cloud(sizes):
    """A few sources of at least two points each, the reference and the output."""
    most = {'s': 4, 'p': 30, 'k': 30}
    return {
        axis: min(max(sizes[axis], 1 + (axis == 'p')), n)
        for axis, n in most.items()
        if axis in sizes
    }


def no_more(axis, than):
    """The first axis is no longer than the second."""
    return lambda sizes: {axis: min(sizes[axis], sizes[than])}


def few(axis, most):
    """A number for `k` and the like: most, or as many as there are of the axis without one."""
    return Fixed(lambda sizes: max(1, min(most, sizes[axis] - 1)))


UNIT, POSITIVE, SHARES = map(Pattern, (values.unit_rows, values.positive, values.between(0, 1)))
BOXES, PREDICTED = Pattern(values.boxes), Pattern(values.predicted_boxes)
MAGNITUDES, COSINES = Pattern(values.magnitudes), Pattern(values.between(-1, 1))
ASCENDING, DESCENDING = Pattern(values.ascending), Pattern(values.descending)
PROBABILITIES, COUNTS = Pattern(values.probabilities), Pattern(values.counts)
