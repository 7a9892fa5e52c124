import numpy as np
import pytest

from jaxsep.evals.detection import evaluate


def table():
    """Two images: a right box of class 0, a wrong one of class 1 which is missed; padding."""
    return {
        'boxes': np.float32([[[0, 0, 10, 10], [0, 0, 0, 0]], [[50, 50, 60, 60], [0, 0, 0, 0]]]),
        'scores': np.float32([[0.9, 0.0], [0.8, 0.0]]),
        'classes': np.int32([[0, -1], [1, -1]]),
        'true_boxes': np.float32([[[0, 0, 10, 10]], [[0, 0, 40, 40]]]),
        'true_classes': np.int32([[0], [1]]),
    }


def test_precision_is_the_mean_over_classes_and_sizes_are_apart():
    found = evaluate({'test': table()})
    assert found == pytest.approx(
        {'ap': 0.5, 'ap50': 0.5, 'ap75': 0.5, 'ap_small': 1.0, 'ap_medium': 0.0, 'ap_large': -1.0,
         'ar': 0.5}
    )  # fmt: skip
    found = evaluate({'test': table()}, sizes=(5.0, 20.0))
    assert (found['ap_small'], found['ap_medium'], found['ap_large']) == pytest.approx((-1, 1, 0))


def test_padding_counts_on_neither_side():
    padded = table()
    for name in ('true_boxes', 'true_classes'):
        fill = -1 if name == 'true_classes' else 0
        more = np.full_like(padded[name], fill)
        padded[name] = np.concatenate([padded[name], more], axis=1)
    assert evaluate({'test': padded}) == evaluate({'test': table()})
    nothing = table()
    nothing['classes'][:] = -1
    assert evaluate({'test': nothing})['ap'] == 0
    nothing['true_classes'][:] = -1
    assert evaluate({'test': nothing})['ap'] == -1


@pytest.mark.parametrize(
    'name, change, message',
    [
        ('boxes', lambda x: x[0], r"column 'boxes': expected 3 axes, got shape \(2, 4\)"),
        ('scores', lambda x: x * np.nan, "column 'scores' of split 'test' holds NaN"),
        ('true_classes', None, "no column 'true_classes' in split 'test'"),
    ],
)
def test_wrong_columns_are_named(name, change, message):
    columns = table()
    value = columns.pop(name)
    if change is not None:
        columns[name] = change(value)
    with pytest.raises(ValueError, match=message):
        evaluate({'test': columns})
