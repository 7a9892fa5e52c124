from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.metrics.binary import average_precision
from jaxsep.metrics.interpolated_precision import (
    average_precision_voc07,
    mean_average_precision_of_classes,
)


def eleven_points(scores, labels, recalls=tuple(Fraction(i, 10) for i in range(11))):
    """Threshold by threshold, from the definition."""
    total = 0.0
    for recall in recalls:
        best = 0.0
        for threshold in scores:
            kept = scores >= threshold
            reached = Fraction(int(labels[kept].sum()), int(labels.sum()))
            if (reached if isinstance(recall, Fraction) else float(reached)) >= recall:
                best = max(best, labels[kept].mean())
        total += best / 11
    return total


def test_it_is_the_golden_value_but_for_the_rounding_of_its_recalls(golden):
    g = golden('off_the_shelf')
    scores, labels = jnp.asarray(g['ap/score'], jnp.float32), jnp.asarray(g['ap/y'])
    # The fixture asks ten positives for a recall of 0.30000000000000004.
    rounded = eleven_points(g['ap/score'], g['ap/y'], np.arange(11) * 0.1)
    assert rounded == pytest.approx(float(g['ap/voc07_11pt']), rel=1e-12)
    found = average_precision_voc07(scores, labels)
    assert float(found) == pytest.approx(eleven_points(g['ap/score'], g['ap/y']), rel=1e-5)
    assert float(average_precision(scores, labels)) == pytest.approx(
        float(g['ap/sklearn']), rel=1e-5
    )


@pytest.mark.parametrize('num_values', [3, 1000])
def test_it_is_the_definition_with_ties_and_without(num_values):
    rng = np.random.default_rng(num_values)
    for size in (4, 10, 23):
        scores = rng.integers(0, num_values, size).astype(np.float32)
        labels = rng.integers(0, 2, size)
        labels[0] = 1
        found = average_precision_voc07(jnp.asarray(scores), jnp.asarray(labels))
        assert float(found) == pytest.approx(eleven_points(scores, labels), rel=1e-5)


def test_perfect_hopeless_and_empty_rankings():
    scores = jnp.arange(10.0)
    assert average_precision_voc07(scores, scores >= 7).item() == 1
    worst = average_precision_voc07(scores, scores < 1).item()
    assert worst == pytest.approx(0.1)
    assert average_precision_voc07(scores, jnp.zeros(10, bool)).item() == 0
    assert average_precision_voc07(scores[:0], jnp.zeros(0, bool)).item() == 0
    mask = scores > 2
    masked = average_precision_voc07(scores, scores % 3 == 0, mask)
    alone = average_precision_voc07(scores[3:], (scores % 3 == 0)[3:])
    assert masked.item() == pytest.approx(alone.item())


def test_the_mean_is_over_the_classes_that_occur():
    scores = jnp.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5], [0.4, 0.8, 0.9]])
    labels = jnp.array([0, 0, 1])
    found = mean_average_precision_of_classes(scores, labels, average_precision)
    first = average_precision(scores[:, 0], labels == 0)
    assert found.item() == pytest.approx((first.item() + 1.0) / 2)
