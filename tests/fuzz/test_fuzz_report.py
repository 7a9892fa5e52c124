"""The report on embeddings and labels of any kind: a ValueError that names them, or finite numbers."""

import json
import re

import fuzz_values as values
import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxsep.report import __main__ as command
from jaxsep.report import inputs, measures

DTYPES = (
    np.float32, np.float64, np.float16, jnp.bfloat16, np.int8, np.int32, np.int64, np.uint8, bool,
    object, complex, 'U8', 'S8', 'M8[s]',
)  # fmt: skip
LAYOUTS = (
    'plain',
    'fortran',
    'reversed',
    'every second',
    'transposed',
    'broadcast',
    'read-only',
    'list',
)
LABELS = (
    'integers', 'large integers', 'strings', 'bytes', 'truth values', 'floats', 'NaN', 'objects', 'None',
    'one class', 'all different', 'matrix', 'too few', 'list', 'reversed', 'dates', 'complex',
)  # fmt: skip
WRONG = {'NaN', 'None', 'one class', 'all different', 'matrix', 'too few', 'dates', 'complex'}
SIZES = ((1, 1), (2, 3), (3, 1), (4, 7), (7, 2), (60, 300), (300, 5))
MEASURED = ((4, 1, 2), (7, 9, 3), (300, 5, 3))


def laid_out(x, layout):
    """The same numbers (but for 'broadcast', of which all rows are the first) in other strides."""
    if layout == 'fortran':
        return np.asfortranarray(x)
    if layout == 'reversed':
        return np.ascontiguousarray(x[::-1])[::-1]
    if layout == 'every second':
        wide = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
        wide[::2, ::3] = x
        return wide[::2, ::3]
    if layout == 'transposed':
        return np.ascontiguousarray(x.T).T
    if layout == 'broadcast':
        return np.broadcast_to(x[:1], x.shape)
    if layout == 'read-only':
        x = x.copy()
        x.flags.writeable = False
    return x.tolist() if layout == 'list' else x


def embedding(rng, n, d, pattern, dtype, layout, spoilt):
    x = pattern(rng, (n, d)).astype(np.float32)
    if spoilt:
        x[rng.integers(n), rng.integers(d)] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(all='ignore'):
        if (
            dtype in (object, complex, 'U8', 'S8')
            or np.issubdtype(dtype, np.inexact)
            or dtype == jnp.bfloat16
        ):
            return laid_out(x.astype(dtype), layout)
        return laid_out(np.nan_to_num(x).clip(-100, 100).astype(np.int64).astype(dtype), layout)


def column(rng, n, kind, count):
    """Labels of n points, of at most `count` classes, and each of them where n allows it."""
    codes = rng.permutation(np.arange(n) % count)
    names = {
        'strings': np.array(['', 'a', 'ü b', 'nan']), 'bytes': np.array([b'', b'a', b'\xff', b'nan']),
        'truth values': np.array([True, False, True, False]), 'floats': np.array([-0.5, 1e30, 0.0, 1e-30]),
        'large integers': np.array([2**63 - 1, -(2**63), 0, 5]), 'dates': np.array([1, 2, 3, 4], 'M8[s]'),
        'objects': np.array([1, 'a', True, 2.5], object), 'None': np.array([None, 'x', 'y', 'z'], object),
        'complex': np.array([1j, 2j, 3j, 4j]),
    }  # fmt: skip
    if kind in names:
        return names[kind][codes]
    if kind == 'NaN':
        return np.where(codes == 0, np.nan, codes.astype(float))
    changed = {
        'one class': codes * 0, 'all different': np.arange(n), 'matrix': codes[:, None],
        'too few': codes[1:], 'list': codes.tolist(), 'reversed': np.ascontiguousarray(codes[::-1])[::-1],
    }  # fmt: skip
    return changed.get(kind, codes)


def copied(x):
    return x if isinstance(x, list) else x.copy()


def same_as(x, y):
    """Whether nothing has changed, NaN included."""
    return repr(x) == repr(y) if isinstance(x, list) else x.tobytes() == y.tobytes()


def drawing(examples):
    return hypothesis.settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip


SEEDS = st.integers(0, 2**32 - 1)
PATTERNS = st.sampled_from(values.FLOATS)


def check_inputs(examples):
    """Points and labels are understood whatever their dtype and strides, or refused by name."""
    drawn = 0

    @drawing(examples)
    @hypothesis.given(
        SEEDS, st.sampled_from(SIZES), PATTERNS, st.sampled_from(DTYPES), st.sampled_from(LAYOUTS),
        st.booleans(), st.sampled_from(LABELS), st.integers(2, 4),
    )  # fmt: skip
    def check(seed, size, pattern, dtype, layout, spoilt, kind, count):
        nonlocal drawn
        drawn += 1
        rng = np.random.default_rng(seed)
        x = embedding(rng, *size, pattern, dtype, layout, spoilt)
        before = copied(x)
        try:
            points = inputs.check_points('mine', x)
        except ValueError as error:
            assert str(error).startswith('mine: expected'), error
        else:
            assert points.shape == size and np.isfinite(points).all()
            assert points.dtype in (np.float32, np.float64)
            np.testing.assert_array_equal(points, np.array(before).astype(points.dtype))
        assert same_as(x, before)

        y = column(rng, size[0], kind, count)
        before = copied(y)
        try:
            found = inputs.check_labels('kind', y, size[0])
        except ValueError as error:
            assert str(error).startswith('kind: expected'), error
        else:
            assert kind not in WRONG
            plain = [str(value) for value in np.asarray(y).tolist()]
            assert len(set(plain)) == len(found.names) == len(set(found.codes.tolist()))
            assert len({*zip(plain, found.codes.tolist(), strict=True)}) == len(found.names)
        assert same_as(y, before)

    check()
    return drawn


def check_measures(examples):
    """The whole report: every number is finite or None, and can be written as JSON."""
    drawn = 0

    @drawing(examples)
    @hypothesis.given(
        SEEDS, st.sampled_from(MEASURED), PATTERNS, st.sampled_from(DTYPES[:9]),
        st.sampled_from(LAYOUTS), st.sampled_from(('integers', 'strings', 'objects', 'reversed')),
    )  # fmt: skip
    def check(seed, size, pattern, dtype, layout, kind):
        nonlocal drawn
        drawn += 1
        n, d, count = size
        rng = np.random.default_rng(seed)
        x, y = embedding(rng, n, d, pattern, dtype, layout, False), column(rng, n, kind, count)
        before = copied(x), copied(y)
        try:
            found = measures.separability(x, {'mine': y}, k=2)
        except ValueError as error:
            assert re.match(r'embeddings: expected|mine: expected', str(error)), error
        else:
            json.dumps(found, allow_nan=False)
            assert found['labels']['mine']['measures']['loo_knn1_euclidean'] is not None
        assert same_as(x, before[0]) and same_as(y, before[1])

    check()
    return drawn


def check_command(examples, folder, capsys):
    """The command says one line and 2, or 0 and numbers."""
    drawn = 0

    @drawing(examples)
    @hypothesis.given(
        SEEDS, PATTERNS, st.sampled_from(DTYPES), st.booleans(), st.sampled_from(LABELS), st.sampled_from(SIZES[:5])
    )  # fmt: skip
    def check(seed, pattern, dtype, spoilt, kind, size):
        nonlocal drawn
        drawn += 1
        rng = np.random.default_rng(seed)
        size = size if kind in WRONG or spoilt else (7, 9)  # one size of what is measured
        x = embedding(rng, *size, pattern, dtype, 'plain', spoilt)
        y = np.asarray(column(rng, size[0], kind, 3))
        np.savez(folder / 'e.npz', points=x, mine=y)
        code = command.main([str(folder / 'e.npz'), '--json', str(folder / 'e.json'), '--k', '2'])
        said = capsys.readouterr()
        if code:
            assert code == 2 and said.out == '' and said.err.count('\n') == 1, said
            assert said.err.startswith('error: '), said
        else:
            found = json.loads((folder / 'e.json').read_text())
            assert found['embeddings']['points']['n'] == len(x)

    check()
    return drawn


def test_inputs_are_understood_or_refused_by_name(record_property):
    record_property('cases', check_inputs(200))


def test_reports_have_finite_numbers(record_property):
    record_property('cases', check_measures(3))


@pytest.mark.slow
def test_inputs_are_understood_or_refused_by_name_for_many(record_property):
    record_property('cases', check_inputs(3000))


@pytest.mark.slow
def test_reports_have_finite_numbers_for_many(record_property):
    record_property('cases', check_measures(150))


@pytest.mark.slow
def test_the_command_answers_any_file(tmp_path, capsys, record_property):
    record_property('cases', check_command(60, tmp_path, capsys))
