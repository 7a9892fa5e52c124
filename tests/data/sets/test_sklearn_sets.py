import numpy as np
import pytest
import sklearn.datasets

from jaxsep.data.source import load, take_all


def test_digits_are_those_of_scikit_learn():
    splits = load('digits').splits
    images = np.concatenate([take_all(splits[s])['image'] for s in ('train', 'test')])
    labels = np.concatenate([take_all(splits[s])['label'] for s in ('train', 'test')])
    assert images.dtype == np.uint8 and images.shape == (1797, 8, 8, 1)
    theirs = sklearn.datasets.load_digits()
    ours = {
        (np.rint(i[..., 0] / 255 * 16).astype(int).tobytes(), int(y))
        for i, y in zip(images, labels, strict=True)
    }
    assert ours == {
        (i.astype(int).tobytes(), int(y)) for i, y in zip(theirs.images, theirs.target, strict=True)
    }


def test_classes_are_selected_and_renumbered_in_the_order_given():
    found = load('digits', classes=(8, 3))
    assert found.labels['label'] == ('8', '3')
    counts = np.bincount(take_all(found.splits['train'])['label'])
    np.testing.assert_allclose(counts, [174 * 0.8, 183 * 0.8], atol=1)


@pytest.mark.parametrize(
    ('name', 'n', 'd'), [('iris', 150, 4), ('wine', 178, 13), ('breast_cancer', 569, 30)]
)
def test_tables_are_complete_and_standardised_by_the_training_rows(name, n, d):
    splits = {s: take_all(v) for s, v in load(name).splits.items()}
    assert sum(len(v['label']) for v in splits.values()) == n
    train = splits['train']['features']
    assert train.dtype == np.float32 and train.shape[1] == d
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-5)
    assert abs(splits['test']['features'].mean()) < 0.5


def test_raw_tables_keep_their_units():
    rows = take_all(load('iris', standardize=False).splits['train'])['features']
    theirs = {tuple(r) for r in sklearn.datasets.load_iris().data.astype(np.float32)}
    assert {tuple(r) for r in rows} <= theirs


def test_moons_without_noise_lie_on_two_circles():
    rows = take_all(load('moons', num_samples=50, noise=0.0).splits['train'])
    centre = np.where(rows['label'][:, None] == 0, [[0.0, 0.0]], [[1.0, 0.5]])
    np.testing.assert_allclose(np.linalg.norm(rows['features'] - centre, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('moons', {'num_samples': 2}),
        ('digits', {'classes': (3, 3)}),
        ('digits', {'classes': (12,)}),
        ('iris', {'test_fraction': 2.0}),
    ],
)
def test_impossible_options_are_refused(name, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load(name, **options)
