import numpy as np
import pytest

from jaxsep.evals import compatibility as evaluation
from jaxsep.metrics import compatibility


def test_compatibility_of_a_matrix_agrees_with_the_original(golden):
    data = {k.removeprefix('compat/'): v for k, v in golden('dsimplex').items()}
    matrix = data['matrix']
    np.testing.assert_array_equal(compatibility.violations(matrix), data['violations'] > 0)
    np.testing.assert_allclose(compatibility.average_compatibility(matrix), data['AC'], rtol=1e-12)
    each = [compatibility.average_accuracy(matrix[: i + 1, : i + 1]) for i in range(5)]
    np.testing.assert_allclose(100 * np.array(each), data['AA_per_task'], rtol=1e-12)
    np.testing.assert_allclose(100 * each[-1], data['AA'], rtol=1e-12)
    pairs = [compatibility.average_compatibility(matrix[: i + 1, : i + 1]) for i in range(1, 5)]
    np.testing.assert_allclose(pairs, data['AC_per_task'], rtol=1e-12)


def test_templates_and_identification_agree_with_the_original(golden):
    data = {k.removeprefix('identification/'): v for k, v in golden('dsimplex').items()}
    templates, classes = compatibility.class_templates(data['gallery'], data['gallery_labels'])
    np.testing.assert_allclose(templates, data['templates'], atol=1e-6)
    np.testing.assert_array_equal(classes, np.arange(4))
    found = compatibility.identification_accuracy(
        data['gallery'], data['gallery_labels'], data['query'], data['query_labels']
    )
    np.testing.assert_allclose(found, data['rank1'])


def test_a_tie_is_a_violation_and_zeros_count_unless_they_are_said_to_be_missing():
    matrix = np.array([[0.5, 0.0], [0.5, 0.0]])
    assert compatibility.average_compatibility(matrix) == 0
    assert compatibility.average_accuracy(matrix) == pytest.approx(1 / 3)
    assert compatibility.average_accuracy(matrix, zeros_are_missing=True) == 0.5
    assert compatibility.average_compatibility(matrix[:1, :1]) == 1


def test_a_model_is_compatible_with_itself_and_not_with_another_basis():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10)
    z = 3 * np.eye(4)[labels] + rng.normal(size=(40, 4)) * 0.1
    stages = {
        name: {'test': {'embedding': x, 'label': labels}}
        for name, x in (('a', z), ('b', z), ('turned', np.roll(z, 1, axis=1)))
    }
    found = evaluation.evaluate(stages)
    assert found['query_1_gallery_0'] == found['self_accuracy'] == 1
    assert found['query_2_gallery_0'] == found['query_2_gallery_1'] == 0
    assert found['cross_accuracy'] == pytest.approx(1 / 3)
    assert evaluation.evaluate(stages, models=('a', 'b'), classes=(1, 3))['average_accuracy'] == 1


def test_zero_features_are_finite_and_wrong_input_is_named():
    zero, labels = np.zeros((4, 2)), np.array([0, 0, 1, 1])
    assert compatibility.identification_accuracy(zero, labels, zero, labels) == 0.5
    with pytest.raises(ValueError, match='queries: expected at least one row'):
        compatibility.identification_accuracy(zero, labels, zero[:0], labels[:0])
    with pytest.raises(ValueError, match="models: no stage 'c'"):
        evaluation.evaluate({'a': {'test': {'embedding': zero, 'label': labels}}}, models=('c',))
