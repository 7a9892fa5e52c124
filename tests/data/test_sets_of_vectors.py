import numpy as np
import pytest

from jaxsep.data.sets import patch_sets
from jaxsep.data.source import load


def test_patches_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 5, 6, 1)).astype(np.uint8)
    images[1, :4] = 90
    found, mask = patch_sets.patches(images, 4, min_std=0.2)
    for image, vectors, kept in zip(images[..., 0] / 255, found, mask, strict=True):
        expected = []
        for i in range(2):
            for j in range(3):
                patch = image[i : i + 4, j : j + 4].ravel()
                if patch.std() > 0.2:
                    look = patch - patch.mean()
                    place = 0.5 * np.array([2 * i / 1 - 1, 2 * j / 2 - 1])
                    v = np.concatenate([look / np.linalg.norm(look), place])
                    expected.append(v / np.linalg.norm(v))
        assert kept.sum() == len(expected)
        np.testing.assert_allclose(vectors[kept], np.reshape(expected, (-1, 18)), atol=1e-5)
        assert not vectors[~kept].any() and not (np.diff(kept.astype(int)) > 0).any()


@pytest.fixture(scope='module')
def source():
    return load('patch_sets', num_queries=10, num_documents=60, query_size=4, seed=1)


def test_queries_of_train_are_of_their_document_those_of_test_are_not(source):
    for split, own in (('train', True), ('test', False)):
        columns = source.splits[split].columns
        count = 60 if own else 10
        assert columns['query_mask'][:count].all() and not columns['query_mask'][count:].any()
        queries, documents = columns['query_vectors'], columns['document_vectors']
        best = np.einsum('bqd,btd->bqt', queries, documents).max(2)[:count]
        assert (best > 1 - 1e-5).all() == own
        assert documents.shape[2] == 18 and columns['document_mask'].any(1).all()


def test_the_corpus_of_both_splits_is_one(source):
    train, test = (source.splits[name].columns for name in ('train', 'test'))
    for name in ('document_vectors', 'document_mask', 'label'):
        assert train[name] is test[name]
    assert (load('patch_sets', num_queries=10, num_documents=60, query_size=4, seed=1)
            .splits['test'].columns['query_vectors'] == test['query_vectors']).all()  # fmt: skip


def test_images_may_come_from_any_source_and_wrong_ones_are_named():
    found = load('patch_sets', images=dict(name='digits', classes=(3, 5)), num_queries=4, stride=2)
    assert set(found.splits['test'].columns['label']) == {0, 1}
    assert found.splits['test'].columns['document_vectors'].shape[1] <= 9
    with pytest.raises(ValueError, match='images: expected a source of images'):
        load('patch_sets', images=dict(name='iris'))
    with pytest.raises(ValueError, match='num_queries, num_documents'):
        load('patch_sets', num_documents=5)
    with pytest.raises(ValueError, match='stride'):
        load('patch_sets', stride=0)


def test_multivector_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 3)).astype(np.float16)
    queries = rng.normal(size=(2, 2, 3)).astype(np.float32)
    np.savez(tmp_path / 'a.npz', document_vectors=rows, document_lengths=[3, 1, 2],
             query_vectors=queries)  # fmt: skip
    columns = load(f'multivector:{tmp_path}/a.npz').splits['test'].columns
    assert columns['document_mask'].tolist() == [
        [True, True, True], [True, False, False], [True, True, False],
    ]  # fmt: skip
    np.testing.assert_array_equal(
        columns['document_vectors'][columns['document_mask']], rows.astype(np.float32)
    )
    assert columns['query_mask'].tolist() == [[True, True], [True, True], [False, False]]
    np.testing.assert_array_equal(columns['query_vectors'][:2], queries)
    short = load(f'multivector:{tmp_path}/a.npz', max_document_size=2).splits['train'].columns
    np.testing.assert_array_equal(short['document_vectors'][2], rows[4:].astype(np.float32))
    assert short['document_vectors'].shape == (3, 2, 3)


@pytest.mark.parametrize(
    'arrays, message',
    [
        (dict(x=np.ones(3)), r"an array named document_vectors, there are \['x'\]"),
        (dict(document_vectors=np.ones((4, 2))), 'document_lengths: .* the sum 4'),
        (dict(document_vectors=np.ones(4)), r'expected floats \[n, t, d\] or \[m, d\]'),
        (dict(document_vectors=np.ones((2, 3, 2)), document_mask=np.ones((2, 2))), 'document_mask'),
        (
            dict(document_vectors=np.ones((1, 3, 2)), query_vectors=np.ones((2, 3, 2))),
            'at most 1 queries of 2 dimensions',
        ),
        (dict(document_vectors=np.full((1, 1, 1), np.nan)), 'NaN'),
    ],
)
def test_files_without_sets_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(ValueError, match=message):
        load(f'multivector:{tmp_path}/a.npz')
