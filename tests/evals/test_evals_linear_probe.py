"""The linear probe evaluation against scikit-learn, and its invariances."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from jaxsep.evals import linear_probe


def splits(seed=0):
    rng = np.random.default_rng(seed)

    def split(n):
        labels = rng.choice(3, n, p=[0.6, 0.3, 0.1])
        embeddings = rng.normal(size=(n, 4)) + np.eye(3, 4)[labels]
        return {'embedding': embeddings.astype(np.float32), 'label': labels}

    return {'train': split(90), 'test': split(60)}


def test_both_accuracies_agree_with_sklearn_on_standardised_embeddings():
    data = splits()
    train, test = data['train'], data['test']
    mean, std = train['embedding'].mean(0), train['embedding'].std(0)
    reference = LogisticRegression(C=1 / (0.01 * 90), tol=1e-8, max_iter=1000)
    reference.fit((train['embedding'] - mean) / std, train['label'])
    predicted = reference.predict((test['embedding'] - mean) / std)
    got = linear_probe.evaluate(data, l2=0.01)
    assert got['linear_probe_accuracy'] == pytest.approx(np.mean(predicted == test['label']))
    balanced = balanced_accuracy_score(test['label'], predicted)
    assert got['linear_probe_balanced_accuracy'] == pytest.approx(balanced)


def test_shift_scale_and_constant_features_change_nothing():
    data = splits(1)
    plain = linear_probe.evaluate(data)
    for split in data.values():
        split['embedding'] = split['embedding'] * np.float32([1, 100, 0.01, 5]) + 3
        split['embedding'][:, 3] = 0.1
    without = {name: dict(split) for name, split in splits(1).items()}
    for split in without.values():
        split['embedding'][:, 3] = 0
    assert linear_probe.evaluate(data) == linear_probe.evaluate(without)
    assert plain.keys() == {'linear_probe_accuracy', 'linear_probe_balanced_accuracy'}


def test_test_labels_never_seen_in_training_count_as_errors():
    data = splits(2)
    seen = linear_probe.evaluate(data)['linear_probe_accuracy']
    extra = {name: np.concatenate([a, a]) for name, a in data['test'].items()}
    extra['label'][60:] = 9
    got = linear_probe.evaluate({'train': data['train'], 'test': extra})
    assert got['linear_probe_accuracy'] == pytest.approx(seen / 2)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'l2': 0.0}, 'l2 must be positive, got 0.0'),
        ({'max_steps': 0}, 'max_steps must be at least 1, got 0'),
        ({'label': 'face'}, "no column 'face' in split 'train'; there are: embedding, label"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        linear_probe.evaluate(splits(), **options)
