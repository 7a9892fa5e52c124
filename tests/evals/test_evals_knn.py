"""The kNN evaluation on golden splits, and its refusals."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxsep.evals import knn


def splits(seed=0):
    rng = np.random.default_rng(seed)

    def split(n):
        labels = rng.integers(0, 3, n)
        embeddings = rng.normal(size=(n, 4)) + 2 * np.eye(3, 4)[labels]
        return {'embedding': embeddings.astype(np.float32), 'label': labels, 'index': np.arange(n)}

    return {'train': split(30), 'test': split(20)}


@pytest.mark.parametrize('k', [1, 5])
def test_accuracy_equals_the_golden_value(golden, k):
    arrays = golden('separability_metrics')
    data = {
        split: {
            'embedding': arrays[f'B/X_{split}'].astype(np.float32),
            'digit': arrays[f'B/y_{split}'],
        }
        for split in ('train', 'test')
    }
    got = knn.evaluate(data, label='digit', k=k, metric='euclidean')
    assert got == {'knn_accuracy': float(arrays[f'B/knn{k}_acc'])}


def test_cosine_accuracy_agrees_with_sklearn_for_any_label_values():
    data = splits()
    for split in data.values():
        split['label'] = np.array([-7, 100, 3])[split['label']]
    train, test = data['train'], data['test']
    reference = KNeighborsClassifier(5, metric='cosine').fit(train['embedding'], train['label'])
    expected = reference.score(test['embedding'], test['label'])
    assert knn.evaluate(data)['knn_accuracy'] == pytest.approx(expected)


def test_images_and_integers_are_taken_as_flat_rows():
    data = splits()
    for split in data.values():
        split['embedding'] = np.round(10 * split['embedding']).astype(np.int32).reshape(-1, 2, 2)
    shaped = knn.evaluate(data, metric='euclidean')
    for split in data.values():
        split['embedding'] = split['embedding'].reshape(-1, 4).astype(np.float32)
    assert shaped == knn.evaluate(data, metric='euclidean')


@pytest.mark.parametrize(
    'options, message',
    [
        ({'label': 'digit'}, "no column 'digit' in split 'train'; there are: embedding, index"),
        ({'k': 31}, 'between 1 and the 30 training points, got 31'),
        ({'k': 0}, 'between 1 and the 30 training points, got 0'),
        ({'metric': 'dot'}, "got 'dot'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        knn.evaluate(splits(), **options)


def test_missing_splits_and_unusable_columns_are_named():
    data = splits()
    with pytest.raises(ValueError, match="no split 'train'; there are: test"):
        knn.evaluate({'test': data['test']})
    data['test']['embedding'][3, 1] = np.nan
    with pytest.raises(ValueError, match="'embedding' of split 'test' holds NaN"):
        knn.evaluate(data)
    data['test']['label'] = np.zeros((20, 2), int)
    with pytest.raises(ValueError, match=r'one label per example, got shape \(20, 2\)'):
        knn.evaluate(data)
