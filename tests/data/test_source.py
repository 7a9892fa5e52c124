import subprocess
import sys

import numpy as np
import pytest

from jaxsep.data import source
from jaxsep.data.source import Arrays, Rows, Split, available, load, select, take_all


def numbers(n=6):
    return Arrays({'features': np.arange(2.0 * n).reshape(n, 2), 'label': np.arange(n) % 3})


def test_take_gives_rows_in_the_order_asked_and_their_index():
    taken = numbers().take(np.array([4, 0, 4]))
    np.testing.assert_array_equal(taken['features'][:, 0], [8, 0, 8])
    np.testing.assert_array_equal(taken['index'], [4, 0, 4])
    assert taken['index'].dtype == np.int32


def test_taking_nothing_gives_no_rows():
    taken = numbers().take(np.array([], int))
    assert taken['features'].shape == (0, 2)
    assert taken['index'].shape == (0,)


def test_taking_beyond_the_end_is_an_index_error():
    with pytest.raises(IndexError):
        numbers().take(np.array([6]))


def test_rows_of_a_split_equal_the_selected_arrays():
    rows, columns = np.array([5, 1, 2]), {'label': np.array([7, 8, 9])}
    lazy, held = Rows(numbers(), rows, columns), select(numbers(), rows, columns)
    assert isinstance(lazy, Split) and isinstance(held, Split)
    for name, values in take_all(held).items():
        np.testing.assert_array_equal(take_all(lazy)[name], values)
    np.testing.assert_array_equal(source.column(lazy, 'label'), [7, 8, 9])
    np.testing.assert_array_equal(source.column(lazy, 'features')[:, 0], [10, 2, 4])


@pytest.mark.parametrize(
    ('columns', 'message'),
    [
        ({}, 'at least one'),
        ({'index': np.zeros(2)}, 'row number'),
        ({'a': np.zeros(2), 'b': np.zeros(3)}, 'equal lengths'),
    ],
)
def test_wrong_columns_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Arrays(columns)


def test_data_sets_are_found_by_their_files():
    assert {'glyphs', 'digits', 'iris', 'wine', 'breast_cancer', 'moons'} <= set(available())
    assert {'npz:', 'tfds:'} <= set(available())


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('glyhps', {}, 'did you mean glyphs'),
        ('npx:a.npz', {}, 'did you mean npz:<address>'),
        ('npz', {}, 'npz:<address>'),
        ('npz:', {}, 'no address'),
        ('glyphs', {'sedd': 1}, "no option 'sedd': did you mean seed"),
        ('digits', {'image_size': 32}, 'classes, seed, test_fraction'),
        ('npz:nowhere.npz', {'path': 'x'}, "no option 'path'"),
        ('moons', {'modifiers': [{'name': 'longtail'}]}, 'did you mean long_tail'),
        ('moons', {'modifiers': [{}]}, 'unknown modifier None'),
        ('moons', {'modifiers': [{'name': 'long_tail'}]}, "needs the option 'imbalance'"),
        ('moons', {'modifiers': [{'name': 'long_tail', 'imbalence': 3}]}, 'mean imbalance'),
        ('glyphs', {'test_fraction': 1.0}, 'test_fraction: expected .* got 1.0'),
    ],
)
def test_wrong_names_and_options_are_refused_naming_the_nearest(name, options, message):
    with pytest.raises(ValueError, match=message):
        load(name, **options)


def test_modifiers_are_applied_in_order():
    steps = (
        {'name': 'select_classes', 'classes': ('lower',)},
        {'name': 'with_counts', 'counts': (5,)},
    )
    loaded = load('moons', num_samples=40, modifiers=steps)
    assert len(loaded.splits['train']) == 5
    assert loaded.labels == {'label': ('lower',)}


@pytest.mark.parametrize('name', ['moons', 'digits'])
def test_loading_twice_gives_the_same_and_every_label_is_in_every_split(name):
    first, second = load(name, seed=3), load(name, seed=3)
    for split in ('train', 'test'):
        once, again = take_all(first.splits[split]), take_all(second.splits[split])
        for column, values in once.items():
            np.testing.assert_array_equal(values, again[column])
        for label, names in first.labels.items():
            assert once[label].dtype == np.int32
            assert 0 <= once[label].min() and once[label].max() < len(names)


def test_sources_load_without_importing_jax():
    program = (
        'import sys; from jaxsep.data.source import load; from jaxsep.data import batches; '
        'from jaxsep.data.sets import tfds_source; load("moons"); load("glyphs", image_size=8); assert "jax" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', program], check=True)
