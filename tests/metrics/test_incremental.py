import numpy as np
import pytest

from jaxsep.evals import incremental, incremental_over_stages
from jaxsep.metrics.incremental import harmonic_mean, session_accuracies, summary

LABELS = np.array([0, 0, 1, 2, 2, 3])


def one_hot(predicted, k=4):
    return np.eye(k)[predicted]


def test_only_classes_seen_so_far_are_tested_and_may_be_answered():
    logits = one_hot([3, 3, 1, 2, 2, 3]) + 0.1 * one_hot([0, 1, 1, 2, 0, 3])
    found = session_accuracies(logits, LABELS, (2, 1, 1))
    np.testing.assert_allclose(found.accuracy, [2 / 3, 4 / 5, 4 / 6])
    # after session 0 the first row falls back to class 0, its second best answer
    np.testing.assert_allclose(found.base_accuracy, [0.75, 0.75, 0.5])
    np.testing.assert_allclose(found.new_accuracy, [0, 1, 1])


def test_new_rows_taken_for_base_classes_are_counted():
    found = session_accuracies(one_hot([0, 0, 1, 0, 2, 1]), LABELS, (2, 2))
    np.testing.assert_allclose(found.new_as_base, [0, 2 / 3])
    np.testing.assert_allclose(found.new_accuracy, [0, 0.25])


def test_a_model_per_session_is_judged_by_its_own_answers():
    after_first, after_second = one_hot([0, 0, 1, 0, 0, 0]), one_hot([2, 2, 2, 2, 2, 3])
    found = session_accuracies([after_first, after_second], LABELS, (2, 2))
    np.testing.assert_allclose(found.accuracy, [1, 0.5])
    assert summary(found)['performance_drop'] == 0.5
    splits = [{'test': {'logits': x, 'label': LABELS}} for x in (after_first, after_second)]
    stages = dict(zip(('encoder', 'a', 'b'), (splits[1], *splits), strict=True))
    assert incremental_over_stages.evaluate(stages, sizes=(2, 2)) == summary(found)


def test_one_model_and_the_same_model_every_session_agree():
    logits = np.random.default_rng(0).normal(size=(6, 4))
    single = incremental.evaluate({'test': {'logits': logits, 'label': LABELS}}, sizes=(1, 3))
    again = session_accuracies([logits, logits], LABELS, (1, 3))
    assert single == summary(again)


def test_the_harmonic_mean_is_zero_where_one_side_is():
    assert harmonic_mean(0.0, 0.9) == 0 and harmonic_mean(0.0, 0.0) == 0
    assert harmonic_mean(0.5, 0.5) == 0.5


@pytest.mark.parametrize('sizes', [(), (3, 2), (0, 1)])
def test_impossible_sessions_are_named(sizes):
    with pytest.raises(ValueError, match='sizes: expected positive numbers, at most 4'):
        session_accuracies(one_hot([0] * 6), LABELS, sizes)


def test_a_missing_session_is_named():
    with pytest.raises(ValueError, match='one array for each of 2 sessions, got 1'):
        session_accuracies([one_hot([0] * 6)], LABELS, (2, 2))
