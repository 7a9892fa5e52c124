import numpy as np
import pytest

from jaxsep.data.splits import stratified


def test_parts_are_disjoint_complete_and_ascending():
    labels = np.random.default_rng(0).integers(0, 5, 57)
    train, test = stratified(labels, 0.3, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(57))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


def test_every_class_is_divided_alike():
    labels = np.repeat([0, 1, 2], [10, 40, 1])
    _, test = stratified(labels, 0.2, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[test], minlength=3), [2, 8, 0])


def test_another_seed_divides_otherwise():
    labels = np.zeros(100, int)
    assert set(stratified(labels, 0.5, 0)[1]) != set(stratified(labels, 0.5, 1)[1])


def test_single_rows_per_class_still_give_a_test_row():
    train, test = stratified(np.arange(4), 0.2, seed=0)
    assert (len(train), len(test)) == (3, 1)


@pytest.mark.parametrize('fraction', [0.0, 1.0, -0.1, float('nan')])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(ValueError, match='test_fraction'):
        stratified(np.zeros(4, int), fraction, 0)
