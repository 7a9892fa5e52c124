import numpy as np
import pytest

from jaxsep.evals.branch_silence import evaluate

BRANCHES = ((0,), (1, 2), (3,))


def table(heard, classes):
    stems = np.zeros((len(heard), 3, 5), np.float32)
    stems[:, :, 2] = np.asarray(heard, np.float32) * 0.1
    return {'test': {'stems': stems, 'true_classes': np.asarray(classes, np.int32)}}


def test_silent_when_absent_and_heard_when_present_is_right():
    found = evaluate(table([[1, 1, 0], [0, 1, 1]], [[0, 1], [2, 3]]), branches=BRANCHES)
    assert found == {'absent_silent': 1.0, 'present_heard': 1.0, 'branches_right': 1.0}


def test_shares_are_over_absent_and_over_present_stems():
    found = evaluate(table([[1, 0, 1], [0, 1, 1]], [[0, 1], [2, -1]]), branches=BRANCHES)
    assert found['present_heard'] == pytest.approx(2 / 3)
    assert found['absent_silent'] == pytest.approx(1 / 3)
    assert found['branches_right'] == pytest.approx(1 / 2)


def test_what_does_not_occur_counts_as_right():
    assert evaluate(table([[0, 0, 0]], [[-1, -1]]), branches=BRANCHES)['present_heard'] == 1
    both = evaluate(table([[1, 1, 1]], [[0, 1]]), branches=((0,), (1,), (0, 1)))
    assert both['absent_silent'] == 1


def test_another_number_of_stems_is_named():
    with pytest.raises(ValueError, match="output 'stems': expected .b, 2, t."):
        evaluate(table([[1, 1, 1]], [[0, 1]]), branches=((0,), (1,)))
