import numpy as np
import pytest

from jaxsep.data.source import take_all
from jaxsep.data.views import drawings_source
from jaxsep.evals import retrieval

N, V = 20, 3
GROUP = (np.arange(N) % 2).astype(np.int64)
NAMES = {'item': tuple(f'i{i}' for i in range(N)), 'style': ('a', 'b', 'c'), 'group': ('x', 'y')}


@pytest.fixture(scope='module')
def drawings():
    return np.random.default_rng(0).integers(0, 256, (N, V, 4, 5, 2), np.uint8)


def source_of(drawings, layout, seed=0, strata=GROUP):
    return drawings_source(
        drawings, {'group': GROUP}, NAMES,
        layout=layout, test_fraction=0.2, seed=seed, strata=strata,
    )  # fmt: skip


def test_rows_are_items_times_styles_and_each_shows_its_own_drawing(drawings):
    source = source_of(drawings, 'rows')
    assert source.labels == NAMES
    for split in source.splits.values():
        rows = take_all(split)
        assert all(rows[name].dtype == np.int32 for name in NAMES)
        np.testing.assert_array_equal(rows['image'], drawings[rows['item'], rows['style']])
        np.testing.assert_array_equal(rows['group'], GROUP[rows['item']])
        np.testing.assert_array_equal(rows['style'].reshape(-1, V), [[0, 1, 2]] * (len(split) // V))
        assert (np.diff(rows['item'].reshape(-1, V), axis=1) == 0).all()


def test_views_hold_all_drawings_of_an_item(drawings):
    source = source_of(drawings, 'views')
    assert set(source.labels) == {'item', 'group'}
    for split in source.splits.values():
        rows = take_all(split)
        np.testing.assert_array_equal(rows['views'], drawings[rows['item']])
        np.testing.assert_array_equal(rows['group'], GROUP[rows['item']])


def test_no_item_is_in_both_splits_and_both_layouts_divide_alike(drawings):
    items = {
        layout: [set(take_all(s)['item'].tolist()) for s in source_of(drawings, layout).splits.values()]
        for layout in ('rows', 'views')
    }  # fmt: skip
    assert items['rows'] == items['views']
    train, test = items['rows']
    assert not train & test and train | test == set(range(N))
    assert np.bincount(GROUP[sorted(test)]).tolist() == [2, 2]
    assert test != set(take_all(source_of(drawings, 'views', seed=1).splits['test'])['item'])


def test_retrieval_finds_items_across_styles(drawings):
    same = np.repeat(drawings[:, :1], V, axis=1)
    rows = take_all(source_of(same, 'rows', strata=None).splits['test'])
    table = {name: rows[name] for name in ('item', 'style')} | {'embedding': rows['image']}
    found = retrieval.evaluate({'test': table}, label='item', across='style', ks=(1,))
    assert found == {'recall@1': 1.0}


def test_unknown_layouts_are_refused(drawings):
    with pytest.raises(ValueError, match="layout: expected rows or views, got 'grid'"):
        source_of(drawings, 'grid')
