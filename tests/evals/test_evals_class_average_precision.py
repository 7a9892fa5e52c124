import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jaxsep.evals import class_average_precision


def test_it_is_the_mean_of_scikit_learns_average_precisions():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40)
    found = class_average_precision.evaluate({'test': {'logits': logits, 'label': labels}})
    expected = [average_precision_score(labels == k, logits[:, k]) for k in range(3)]
    assert found['class_map'] == pytest.approx(np.mean(expected), rel=1e-5)
    assert found['class_map_voc07'] != found['class_map']


def test_scores_that_name_the_class_are_perfect():
    labels = np.array([0, 2, 1, 1])
    logits = np.eye(3, dtype=np.float32)[labels]
    found = class_average_precision.evaluate({'test': {'logits': logits, 'label': labels}})
    assert found == {'class_map': 1.0, 'class_map_voc07': 1.0}
