import numpy as np

from jaxsep.data.duplicates import first_of_each


def test_kept_rows_are_the_distinct_ones_in_their_first_places():
    rows = np.random.default_rng(0).integers(0, 2, (40, 2, 2), np.uint8)
    kept = first_of_each(rows)
    _, first = np.unique(rows.reshape(40, -1), axis=0, return_index=True)
    np.testing.assert_array_equal(kept, np.sort(first))
    assert len(first_of_each(rows[:0])) == 0
