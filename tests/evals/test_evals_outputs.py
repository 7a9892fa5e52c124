"""Evaluations of a method's own outputs: accuracy, sphere, class frequency."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from jaxsep.evals import accuracy, class_frequency, sphere


def test_accuracy_counts_the_largest_logit():
    table = {'logits': np.eye(3, dtype=np.float32)[[0, 1, 2, 2]], 'label': np.array([0, 1, 2, 0])}
    assert accuracy.evaluate({'test': table}) == {'accuracy': 0.75}


def test_sphere_agrees_with_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(9, 4)).astype(np.float32), np.arange(9) % 3
    found = sphere.evaluate({'test': {'embedding': z, 'label': labels}})
    unit = z.astype(float) / np.linalg.norm(z.astype(float), axis=1, keepdims=True)
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    potential = np.mean([np.exp(-2 * np.sum((unit[i] - unit[j]) ** 2)) for i, j in pairs])
    same = [unit[i] @ unit[j] for i, j in pairs if labels[i] == labels[j]]
    np.testing.assert_allclose(found['negative_uniformity'], -np.log(potential), rtol=1e-5)
    np.testing.assert_allclose(found['tolerance'], np.mean(same), rtol=1e-4, atol=1e-6)


def test_class_frequency_correlates_sizes_with_means():
    labels = np.repeat([0, 1, 2, 3], [40, 20, 10, 5])
    values = np.array([0.5, 0.6, 0.3, 0.1])[labels]
    found = class_frequency.evaluate({'train': {'tau': values, 'label': labels}}, output='tau')
    expected = spearmanr([40, 20, 10, 5], [0.5, 0.6, 0.3, 0.1])[0]
    np.testing.assert_allclose(found['class_frequency_spearman'], expected)
    np.testing.assert_allclose([found['head_mean'], found['tail_mean']], [0.5, 0.1], rtol=1e-6)


def test_constant_values_have_no_correlation():
    table = {'tau': np.full(6, 0.3), 'label': np.array([0, 0, 0, 1, 1, 2])}
    assert class_frequency.evaluate({'train': table}, output='tau')['class_frequency_spearman'] == 0


def test_an_output_with_several_numbers_per_row_is_refused():
    table = {'tau': np.ones((4, 2)), 'label': np.array([0, 0, 1, 1])}
    with pytest.raises(ValueError, match="output 'tau': expected one number per row, got 2"):
        class_frequency.evaluate({'train': table}, output='tau')
