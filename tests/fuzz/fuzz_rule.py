"""When a result that is not finite is a bug: the one place where that is decided.

1. Of ordinary numbers, 0 or from 1e-4 to 1e4 in magnitude, everything is finite: the value and, of
   a loss, its gradient in every array of floats.
2. Of other finite numbers an entry of the result may be infinite or NaN only if the true one cannot
   be represented: the same function in float64, of the same arguments, gives a number whose
   magnitude is beyond the largest of the result's dtype, or within a factor of the number of entries
   that were given (for the sums of a mean). Where float64 gives NaN, that is a bug too.
3. What is not finite by definition, as the logarithm of an empty sum, is documented: `Special`
   names the phrase, which the docstring of the function or its module must hold; NaN never is,
   unless the phrase says so.
4. An exception is a bug, unless it is a ValueError that names an argument of the function.
"""

import re
from typing import NamedTuple

import fuzz_signatures as signatures
import jax
import jax.numpy as jnp
import numpy as np


class Case(NamedTuple):
    """One call: a plan, and everything that is drawn.

    Attributes:
      patterns: of the arrays of floats, in turn.
      same: arrays of equal shapes are equal.
      half: the arrays of floats are bfloat16.
    """

    plan: int
    patterns: tuple
    same: bool
    seed: int
    half: bool = False


class Subject:
    """A function under test, its programs kept for the next case."""

    def __init__(self, name, function, differentiated):
        self.name, self.function, self.differentiated = name, function, differentiated
        self.calls, self.programs, self.refused = {}, {}, 0

    def call(self, plan):
        if plan not in self.calls:
            self.calls[plan] = signatures.call(self.name, self.function, plan)
        return self.calls[plan]

    def arrays(self, case):
        """Argument -> numpy arrays, floats rounded to bfloat16 if asked."""
        rng = np.random.default_rng(case.seed)
        patterns = signatures.Patterns(
            case.patterns, case.same, signatures.special(self.name).limits
        )
        drawn = {k: draw(rng, patterns) for k, draw in self.call(case.plan).drawn.items()}
        return jax.tree.map(lambda x: _plain(x, case.half), drawn)

    def results(self, case, arrays, double=False):
        """Every floating array of the value, and the gradients in every floating argument."""
        call = self.call(case.plan)
        if double:
            arrays = jax.tree.map(lambda x: x.astype(np.float64) if _floating(x) else x, arrays)
        if call.on_host:
            found = call.function(**call.fixed, **arrays)
            return [np.asarray(x) for x in jax.tree.leaves(found) if _floating(np.asarray(x))], []
        with jax.enable_x64(double):
            key = case.plan, case.half, double
            if key not in self.programs:
                self.programs[key] = jax.jit(program(call, self.differentiated))
            return jax.tree.map(np.asarray, self.programs[key](arrays))

    def complaint(self, case):
        """What is wrong with a case; empty if nothing is."""
        arrays = self.arrays(case)
        try:
            found = self.results(case, arrays)
        except Exception as error:  # noqa: BLE001
            names = [name for name, _, _ in signatures.parameters(self.function)]
            if isinstance(error, ValueError) and any(
                re.search(rf'\b{n}\b', str(error)) for n in names
            ):
                self.refused += 1
                return ''
            return f'{type(error).__name__}: {str(error)[:300]}'
        return self.judge(case, arrays, found)

    def judge(self, case, arrays, found):
        entries = sum(x.size for x in jax.tree.leaves(arrays) if _floating(x))
        true = None
        for part, kind in zip(found, ('value', 'gradient'), strict=True):
            for number, result in enumerate(part):
                result = result.astype(np.float64)
                wrong = ~np.isfinite(result)
                if kind == 'value':
                    wrong &= ~self.documented(result)
                if not wrong.any():
                    continue
                if _ordinary(arrays):
                    return f'{kind} {number} of ordinary numbers: {_shown(result[wrong])}'
                if true is None:
                    true = self.results(case, arrays, double=True)
                dtype = found[kind == 'gradient'][number].dtype
                largest = float(jnp.finfo(dtype).max) / max(entries, 1)
                exact = np.asarray(true[kind == 'gradient'][number], np.float64)
                wrong &= ~(np.abs(exact) > largest)
                if wrong.any():
                    return (
                        f'{kind} {number}: {_shown(result[wrong])} where float64 gives '
                        f'{_shown(exact[wrong])}'
                    )
        return ''

    def documented(self, result):
        """Where a value that is not finite is what the docstring says."""
        phrase = signatures.special(self.name).infinite
        return np.full(result.shape, bool(phrase)) & (np.isinf(result) | ('NaN' in phrase))


def program(call, differentiated):
    """Arrays -> the floating parts of the result, and the gradients of the sum of all of them."""

    def of_floats(floats, others):
        arrays = jax.tree.map(lambda x, y: y if x is None else x, floats, others, is_leaf=_is_none)
        arrays = jax.tree.map(_keys, arrays, is_leaf=_is_seeds)
        found = call.function(**call.fixed, **arrays)
        return [
            x for x in jax.tree.leaves(found) if jnp.issubdtype(jnp.result_type(x), jnp.floating)
        ]

    def run(arrays):
        floats = jax.tree.map(lambda x: x if _floating(x) else None, arrays)
        others = jax.tree.map(lambda x: None if _floating(x) else x, arrays)
        if not differentiated:
            return of_floats(floats, others), []
        found, pull_back = jax.vjp(lambda floats: of_floats(floats, others), floats)
        return found, jax.tree.leaves(pull_back([jnp.ones_like(x) for x in found])[0])

    return run


def _ordinary(arrays):
    sizes = [np.abs(x.astype(np.float64)) for x in jax.tree.leaves(arrays) if _floating(x)]
    return all(((x == 0) | ((x > 1e-4) & (x < 1e4))).all() for x in sizes)


def _plain(x, half):
    x = np.asarray(x)
    if not _floating(x):
        return x
    return x.astype(jnp.bfloat16 if half else np.float32)


def _floating(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def _is_none(x):
    return x is None


def _is_seeds(x):
    return isinstance(x, signatures.Seeds)


def _keys(x):
    if not _is_seeds(x):
        return x
    numbers = x.numbers
    return jax.vmap(jax.random.key)(numbers) if numbers.ndim else jax.random.key(numbers)


def _shown(x):
    return np.array2string(np.unique(x)[:4], precision=3)
