"""The evaluation of one logit per row against scikit-learn, and its refusals."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from jaxsep.evals import binary_classification


@pytest.mark.parametrize('shape', [(-1,), (-1, 1)])
def test_agrees_with_sklearn(shape):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    logits = (rng.normal(size=40) + labels).round(1).astype(np.float32)
    table = {'logits': logits.reshape(shape), 'label': labels}
    found = binary_classification.evaluate({'test': table})
    assert found['auc'] == pytest.approx(roc_auc_score(labels, logits))
    assert found['logloss'] == pytest.approx(
        log_loss(labels, 1 / (1 + np.exp(-logits.astype(float))))
    )
    assert found['accuracy'] == pytest.approx(np.mean((logits > 0) == labels))


def test_probabilities_are_clipped_as_click_through_rates_are_reported():
    table = {'logits': np.array([-1e4, 1e4], np.float32), 'label': np.array([1, 0])}
    found = binary_classification.evaluate({'test': table})
    assert found == pytest.approx({'auc': 0, 'logloss': -np.log(1e-6), 'accuracy': 0})


@pytest.mark.parametrize(
    'logits, labels, message',
    [
        (
            np.ones((3, 2)),
            np.array([0, 1, 1]),
            "output 'logits': expected one logit per row, got 2",
        ),
        (np.ones(3), np.array([1, 1, 1]), 'expected labels 0 and 1, both present'),
        (np.ones(3), np.array([1, 2, 1]), 'expected labels 0 and 1, both present'),
    ],
)
def test_wrong_tables_are_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        binary_classification.evaluate({'test': {'logits': logits, 'label': labels}})
