import numpy as np
import pytest
import scipy.sparse.csgraph
import scipy.spatial
import sklearn.metrics

from jaxsep.evals import topology


def splits(gap=8.0, n=60):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    embedding = (gap * np.eye(3)[labels] + rng.normal(size=(n, 3))).astype(np.float32)
    return {'test': {'embedding': embedding, 'family': labels + 5, 'index': np.arange(n)}}


def bars(x):
    distances = scipy.spatial.distance.cdist(x, x)
    return np.sort(scipy.sparse.csgraph.minimum_spanning_tree(distances).data)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize('normalize', [True, False])
def test_agrees_with_scipy_and_scikit_learn(normalize):
    data = splits()
    x = data['test']['embedding'].astype(np.float64)
    x = unit(x) if normalize else x
    p = bars(x) / bars(x).max()
    ours = topology.evaluate(data, label='family', normalize=normalize)
    expected = {
        'persistence_score': p.mean(),
        'persistence_median': np.median(p),
        'topological_separability': 1 - p.mean(),
        'persistence_clusters': len(p) - np.argmax(np.diff(p)),
        'silhouette': sklearn.metrics.silhouette_score(x, data['test']['family']),
    }
    assert set(ours) == set(expected)
    for name, value in expected.items():
        assert isinstance(ours[name], float)
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, err_msg=name)


def test_needs_no_label_and_only_the_test_split():
    assert topology.NEEDS == ('test',)
    assert 'silhouette' not in topology.evaluate(splits())


def test_length_of_rows_matters_only_without_normalisation():
    data = splits()
    lengths = np.random.default_rng(1).uniform(1, 3, size=(60, 1)).astype(np.float32)
    longer = {'test': {'embedding': data['test']['embedding'] * lengths}}
    for normalize in (True, False):
        scores = [
            topology.evaluate(d, normalize=normalize)['persistence_score'] for d in (data, longer)
        ]
        assert (abs(scores[0] - scores[1]) < 1e-5) == normalize


def test_subsample_is_fixed_and_its_labels_follow():
    data = splits(n=90)
    first = topology.evaluate(data, label='family', max_points=60)
    assert first == topology.evaluate(data, label='family', max_points=60)
    # Separated classes stay separated only if labels are cut with the points.
    assert first['silhouette'] > 0.7
    rows = np.random.default_rng(0).permutation(90)[:60]
    p = bars(unit(data['test']['embedding'][rows].astype(np.float64)))
    np.testing.assert_allclose(first['persistence_score'], p.mean() / p.max(), rtol=1e-4)


def test_two_points_and_coinciding_points_are_measured():
    two = topology.evaluate({'test': {'embedding': np.eye(2, dtype=np.float32)}})
    assert two['persistence_score'] == 1.0 and two['persistence_clusters'] == 1.0
    same = topology.evaluate({'test': {'embedding': np.ones((5, 2), np.float32)}})
    assert same['persistence_score'] == 0.0 and same['persistence_clusters'] == 1.0


@pytest.mark.parametrize(
    'data, options, match',
    [
        ({'train': {}}, {}, "no split 'test'; there are: train"),
        (
            {'test': {'logits': np.ones((3, 2))}},
            {},
            "no column 'embedding' in split 'test'; there are: logits",
        ),
        ({'test': {'embedding': np.ones((1, 3))}}, {}, r'embedding: expected .* n >= 2'),
        (splits(), {'label': 'weight'}, "no column 'weight' in split 'test'; there are: .*family"),
        (splits(), {'max_points': 1}, 'max_points: expected at least 2'),
        (
            {'test': {'embedding': np.eye(3), 'y': np.zeros(3, int)}},
            {'label': 'y'},
            'y: expected at least 2 classes, got 1',
        ),
    ],
)
def test_wrong_input_is_named(data, options, match):
    with pytest.raises(ValueError, match=match):
        topology.evaluate(data, **options)
