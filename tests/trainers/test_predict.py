"""Named outputs of a whole split."""

import jax
import numpy as np
import pytest

from jaxsep.data.batches import padded_batches
from jaxsep.trainers.predict import make_predict
from jaxsep.trainers.state import make_mesh


def test_padding_is_cut_off_and_rows_keep_their_order():
    predict = make_predict(lambda w, batch: {'double': w * batch['x']}, make_mesh(4))
    x = np.arange(10, dtype=np.float32)
    table = predict(jax.numpy.float32(2), padded_batches({'x': x}, 4))
    np.testing.assert_array_equal(table['double'], 2 * x)


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match='batches: expected at least one, got none'):
        make_predict(lambda w, batch: {}, make_mesh(1))(None, [])
