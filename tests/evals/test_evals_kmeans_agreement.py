import numpy as np
import pytest

from jaxsep.evals import kmeans_agreement


def table(spread):
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    rows = np.eye(4)[label] + spread * rng.normal(size=(90, 4))
    return {'test': {'embedding': rows.astype(np.float32), 'label': label * 5}}


def test_separate_classes_are_found_whatever_their_length_and_noise_is_not():
    separate = table(0.05)
    separate['test']['embedding'] *= np.linspace(1, 9, 90, dtype=np.float32)[:, None]
    found = kmeans_agreement.evaluate(separate)
    assert found == {'kmeans_nmi': pytest.approx(1), 'kmeans_ari': pytest.approx(1)}
    mixed = kmeans_agreement.evaluate(table(50.0))
    assert mixed['kmeans_nmi'] < 0.2
    assert abs(mixed['kmeans_ari']) < 0.1
