"""Public functions of losses and metrics, and arguments for them from what their signatures say.

A signature names the axes of every array: each name gets one length for the whole call. So a new
function needs no entry anywhere, unless its arguments mean something that no annotation says:
see `fuzz_losses`, `fuzz_metrics`.
"""

import importlib
import inspect
import pkgutil
import types
import typing
import zlib
from typing import NamedTuple

import fuzz_values as values
import jaxtyping
import numpy as np
from fuzz_makers import Below, Build, Fixed, Pattern, Shaped, Special, class_count
from fuzz_special import BY_NAME, SPECIAL

LARGEST_AXIS = 300


class Missing(Exception):
    """An argument whose values the annotation does not tell."""


def public_functions(*rooms):
    """Name -> function of everything public that the modules of the rooms define."""
    found = {}
    for room in rooms:
        package = importlib.import_module(f'jaxsep.{room}')
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            module = importlib.import_module(f'jaxsep.{room}.{info.name}')
            for name, thing in vars(module).items():
                own = getattr(thing, '__module__', None) == module.__name__
                if own and callable(thing) and not inspect.isclass(thing) and name[0] != '_':
                    found[f'{room}.{info.name}.{name}'] = thing
    return found


def special(name):
    return SPECIAL.get(name, Special())


def parameters(function):
    """(name, annotation, default) of every parameter that can be given; defaults may be `empty`."""
    hints = typing.get_type_hints(inspect.unwrap(function))
    return [
        (p.name, hints.get(p.name), p.default)
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]


def is_array(annotation):
    return inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray)


def members(annotation):
    """The types of a union, or the one there is."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def is_named_tuple(annotation):
    return (
        inspect.isclass(annotation)
        and issubclass(annotation, tuple)
        and hasattr(annotation, '_fields')
    )


def kind_of(annotation):
    dtypes = str(annotation.dtypes)
    if 'float32' in dtypes:
        return 'float'
    if 'int32' in dtypes:
        return 'int'
    if 'bool' in dtypes:
        return 'bool'
    return 'key' if 'key' in dtypes else 'float'  # the rest is `Shaped`, any dtype


def axes_of(annotation):
    """The names of the axes that an annotation mentions, in order; of fields too."""
    if is_array(annotation):
        found = annotation.dim_str.replace('#', '').split()
        return [axis for axis in found if axis[0] not in '*.' and not axis.isdigit()]
    if is_named_tuple(annotation):
        parts = typing.get_type_hints(annotation).values()
    else:
        parts = typing.get_args(annotation)
    return [axis for part in parts for axis in axes_of(part)]


def shape_of(annotation, sizes):
    shape = ()
    for axis in annotation.dim_str.replace('#', '').split():
        if axis[0] in '*.':
            shape += tuple(sizes['...'])
        else:
            shape += (int(axis) if axis.isdigit() else sizes[axis],)
    return shape


def plans(name, function):
    """The lengths of the axes for each of a handful of calls: all 1, few, many in one axis each."""
    axes = list(dict.fromkeys(a for _, hint, _ in parameters(function) for a in axes_of(hint)))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    drawn = [dict.fromkeys(axes, 1) | {'...': (1,)}]
    for longest in (None, *axes[:3]):
        sizes = {axis: int(rng.integers(2, 6)) for axis in axes} | {
            '...': (int(rng.integers(2, 6)),)
        }
        if longest:
            sizes[longest] = LARGEST_AXIS
        drawn.append(sizes)
    drawn.append({axis: int(rng.integers(6, 13)) for axis in axes} | {'...': (2, 3)})
    fixed = []
    for sizes in drawn:
        sizes = sizes | special(name).sizes(sizes)
        if sizes not in fixed:
            fixed.append(sizes)
    return fixed


class Call(NamedTuple):
    """A function with everything about its arguments that is the same in every case of a plan.

    Attributes:
      fixed: argument -> Python value.
      drawn: argument -> (rng, patterns of floats) -> a pytree of numpy arrays.
      on_host: it takes numpy arrays and is not for use under jit.
    """

    name: str
    function: object
    fixed: dict
    drawn: dict
    on_host: bool


class Seeds(NamedTuple):
    """Stands for random keys, one for each number."""

    numbers: np.ndarray


class Patterns:
    """Gives each array of floats its pattern, in turn; with `same`, equal shapes get equal arrays."""

    def __init__(self, patterns, same, limits):
        self.patterns, self.same, self.limits = patterns, same, limits
        self.made, self.known = 0, {}

    def draw(self, rng, shape):
        if self.same and shape in self.known:
            return self.known[shape]
        pattern = self.patterns[self.made % len(self.patterns)]
        self.made += 1
        smallest, largest = self.limits
        found = np.clip(pattern(rng, shape), -largest, largest)
        self.known[shape] = np.where(np.abs(found) < smallest, 0.0, found)
        return self.known[shape]


def call(name, function, number):
    """The call of plan `number`; Missing if an argument cannot be told from its annotation."""
    sizes = plans(name, function)[number]
    known = parameters(function)
    own = special(name).arguments
    fixed, drawn = {}, {}
    for argument, hint, default in known:
        given = own.get(argument, BY_NAME.get(argument, default))
        if argument == 'chunk_size' and default is None:
            given = Fixed(variants=(None, 'auto', 4))
        if isinstance(given, Pattern) and not has_arrays(hint):
            given = default  # a Python number here, where other functions take an array
        if isinstance(given, Fixed):
            fixed[argument] = given.of(sizes, number)
        elif isinstance(given, Pattern | Below | Build | Shaped) or needs_array(hint, default):
            drawn[argument] = drawer(name, argument, hint, given, sizes)
        elif default is not inspect.Parameter.empty:
            continue
        else:
            raise Missing(
                f'{name}: the annotation {hint} of {argument!r} does not say what to give; add it to '
                'the table of tests/fuzz/fuzz_losses.py or fuzz_metrics.py'
            )
    on_host = special(name).on_host or any(only_numpy(hint) for _, hint, _ in known)
    return Call(name, function, fixed, drawn, on_host)


def only_numpy(hint):
    arrays = [choice for choice in members(hint) if is_array(choice)]
    return bool(arrays) and all(choice.array_type is np.ndarray for choice in arrays)


def has_arrays(hint):
    """Whether a type is an array or holds some."""
    return is_array(hint) or is_named_tuple(hint) or any(map(has_arrays, typing.get_args(hint)))


def needs_array(hint, default):
    """Whether arrays are given: where there is no number as default, and masks and the like always."""
    choices = members(hint)
    numbers = any(choice in (float, int, bool, str) for choice in choices)
    if default is not inspect.Parameter.empty and numbers:
        return False
    return any(map(has_arrays, choices))


def drawer(name, argument, hint, given, sizes):
    """(rng, patterns) -> the arrays of one argument."""
    if isinstance(given, Build):
        return lambda rng, patterns: given.make(rng, sizes)
    choice = next(c for c in members(hint) if has_arrays(c))
    if is_named_tuple(choice):
        fields = {
            field: drawer(name, field, part, special(name).arguments.get(field), sizes)
            for field, part in typing.get_type_hints(choice).items()
        }
        return lambda rng, patterns: choice(
            **{f: draw(rng, patterns) for f, draw in fields.items()}
        )
    if not is_array(choice):  # Sequence[Float[Array, '...']]
        draw = drawer(name, argument, typing.get_args(choice)[0], given, sizes)
        return lambda rng, patterns: [draw(rng, patterns) for _ in range(2)]
    kind = kind_of(choice)
    shape = given.shape(sizes) if isinstance(given, Shaped) else shape_of(choice, sizes)
    if kind == 'key':
        return lambda rng, patterns: Seeds(rng.integers(0, 2**31, shape).astype(np.uint32))
    if kind == 'bool':
        return lambda rng, patterns: values.MASKS[rng.integers(len(values.MASKS))](rng, shape)
    if kind == 'int':
        limit = (given if isinstance(given, Below) else Below(class_count)).of(sizes)

        def integers(rng, patterns):
            return values.LABELS[rng.integers(len(values.LABELS))](rng, shape, limit).astype(
                np.int32
            )

        return integers
    if isinstance(given, Pattern):
        return lambda rng, patterns: given.draw(rng, shape).astype(np.float32)
    return lambda rng, patterns: patterns.draw(rng, shape).astype(np.float32)
