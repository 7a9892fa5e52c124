import numpy as np
import pytest

from jaxsep.data.sets.planted_hierarchy import features
from jaxsep.data.source import load, take_all


def test_rows_are_a_parent_and_its_child_and_nothing_else_but_noise():
    source = load('planted_hierarchy', num_train=200, num_test=50, noise=0.0, seed=3)
    parents, children = features(32, 6, 4, 6, 3)
    for split in source.splits.values():
        rows = take_all(split)
        np.testing.assert_array_equal(rows['parent'], rows['child'] // 4)
        x = rows['features'].astype(float)
        a = np.sum(x * parents[rows['parent']], axis=1)
        b = np.sum(x * children[rows['child']], axis=1)
        left = x - a[:, None] * parents[rows['parent']] - b[:, None] * children[rows['child']]
        np.testing.assert_allclose(left, 0, atol=1e-6)
        assert 1 <= a.min() and a.max() <= 2 and 0.5 <= b.min() and b.max() <= 1.5


def test_parents_are_orthogonal_to_all_and_children_share_a_small_subspace():
    parents, children = features(32, 6, 4, 6, 0)
    np.testing.assert_allclose(parents @ parents.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(children @ parents.T, 0, atol=1e-12)
    assert np.linalg.matrix_rank(children) == 6
    np.testing.assert_allclose(np.linalg.norm(children, axis=1), 1)


def test_the_seed_decides_and_wrong_sizes_are_named():
    same, again, other = (
        take_all(load('planted_hierarchy', num_train=9, num_test=1, seed=s).splits['train'])
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(same['features'], again['features'])
    assert not np.array_equal(same['features'], other['features'])
    with pytest.raises(ValueError, match='dim: expected at least num_parents . child_dim = 12'):
        load('planted_hierarchy', dim=11)
    with pytest.raises(ValueError, match='num_test: expected at least 1 row, got 0'):
        load('planted_hierarchy', num_test=0)
