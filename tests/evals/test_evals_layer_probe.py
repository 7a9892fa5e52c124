"""Probes of several outputs with few labels, and the means of outputs."""

import numpy as np
import pytest

from jaxsep.evals import layer_probe, linear_probe, output_means


def splits(seed=0):
    rng = np.random.default_rng(seed)

    def split(n):
        labels = np.arange(n) % 3
        good = rng.normal(size=(n, 4)) + 3 * np.eye(3, 4)[labels]
        other = rng.normal(size=(n, 2, 2)) + np.eye(3, 4)[labels].reshape(n, 2, 2)
        return {
            'good': good.astype(np.float32),
            'other': other.astype(np.float32),
            'label': labels,
        }

    return {'train': split(90), 'test': split(60)}


def test_all_labels_once_is_the_linear_probe_of_each_output():
    data = splits()
    data['train'] = {name: values[:15] for name, values in data['train'].items()}
    found = layer_probe.evaluate(data, outputs=('good', 'other'), per_class=0)
    for output in ('good', 'other'):
        whole = linear_probe.evaluate(data, output=output, l2=1e-2)
        assert found[f'{output}_probe_accuracy'] == whole['linear_probe_accuracy']
    assert found['good_probe_accuracy'] > found['other_probe_accuracy'] + 0.1


def test_accuracy_is_the_mean_over_the_draws_which_follow_from_the_seed():
    data = splits(1)
    options = dict(outputs=('other',), per_class=5, seed=3)
    found = layer_probe.evaluate(data, **options, draws=2)
    rng, each = np.random.default_rng(3), []
    for _ in range(2):
        rows = layer_probe.few_rows(data['train']['label'], 5, rng)
        train = {name: values[rows] for name, values in data['train'].items()}
        result = linear_probe.evaluate({**data, 'train': train}, output='other', l2=1e-2)
        each.append(result['linear_probe_accuracy'])
    assert found == {'other_probe_accuracy': np.mean(each)}
    assert layer_probe.evaluate(data, **options, draws=1) == {'other_probe_accuracy': each[0]}


def test_rows_are_drawn_once_each_and_alike_from_every_class():
    labels = np.array([0] * 9 + [4] * 2 + [1] * 6)
    rows = layer_probe.few_rows(labels, 3, np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows) and np.all(np.diff(rows) > 0)
    assert np.bincount(labels[rows]).tolist() == [3, 3, 0, 0, 2]
    assert layer_probe.few_rows(labels, 0, np.random.default_rng(0)).tolist() == list(range(17))


def test_means_are_those_of_the_test_rows():
    table = {'share': np.array([0.25, 0.75, 0.5]), 'wide': np.ones((3, 2))}
    assert output_means.evaluate({'test': table}, outputs=('share',)) == {'share': 0.5}
    with pytest.raises(ValueError, match="output 'wide': expected one number per row, got 2"):
        output_means.evaluate({'test': table}, outputs=('wide',))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'outputs': ()}, 'outputs: expected at least one name, got none'),
        ({'outputs': ('good',), 'draws': 0}, 'draws must be at least 1, got 0'),
        ({'outputs': ('good',), 'per_class': -1}, 'per_class must be at least 0, got -1'),
        ({'outputs': ('best',)}, "no column 'best' in split 'train'; there are: good, label"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        layer_probe.evaluate(splits(), **options)
