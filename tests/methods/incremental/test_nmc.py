import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.incremental import nmc

RNG = np.random.default_rng(0)
LABEL = np.arange(30, dtype=np.int32) % 3
DATA = {'features': (RNG.normal(size=(30, 5)) + 4 * np.eye(5)[LABEL]).astype(np.float32)}


@pytest.mark.parametrize('metric', ['euclidean', 'cosine', 'lda'])
def test_classes_are_told_and_those_without_rows_never(metric):
    estimator = nmc.make(num_classes=4, metric=metric)
    fitted = jax.jit(estimator.fit)(jax.random.key(0), {**DATA, 'label': LABEL})
    found = jax.jit(estimator.outputs)(fitted, DATA)
    assert np.mean(np.argmax(found['logits'], axis=1) == LABEL) > 0.9
    assert np.all(np.isneginf(found['logits'][:, 3]))
    np.testing.assert_allclose(jnp.sum(found['embedding'] ** 2, axis=1), 1, rtol=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="metric: expected 'euclidean', 'cosine' or 'lda'"):
        nmc.make(num_classes=2, metric='l1')
    with pytest.raises(ValueError, match='shrinkage: expected 0 < shrinkage <= 1, got 2.0'):
        nmc.make(num_classes=2, metric='lda', shrinkage=2.0)
    with pytest.raises(ValueError, match="label: no column 'kind'; there are"):
        nmc.make(num_classes=2, label='kind').fit(jax.random.key(0), DATA)
