import numpy as np
import pytest

from jaxsep.evals import spatial_retrieval


def table(vectors, labels):
    return {'test': {'vectors': np.asarray(vectors, np.float32), 'label': np.asarray(labels)}}


def test_it_is_the_mean_of_the_precisions_at_the_right_rows():
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(12, 3, 4)), np.arange(12) % 4
    expected = []
    for i in range(12):
        distance = [
            np.mean([min(np.linalg.norm(p - r) for r in vectors[j]) for p in vectors[i][:2]])
            for j in range(12)
        ]
        order = [j for j in np.argsort(distance) if j != i]
        right = np.array([labels[j] == labels[i] for j in order])
        precision = np.cumsum(right) / np.arange(1, 12)
        expected.append(precision[right].mean())
    # Three queries at a time: several chunks.
    found = spatial_retrieval.evaluate(table(vectors, labels), query_patches=2, chunk_size=5)
    assert found['spatial_map'] == pytest.approx(np.mean(expected), rel=1e-5)
    assert 0 <= found['spatial_recall@1'] <= 1


def test_patches_find_what_the_whole_does_not_show():
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(5, 4))
    # Row i and row i + 5 share one patch, at another place; the first patches tell nothing.
    first, second = rng.normal(size=(2, 5, 3, 4))
    first[:, 1], second[:, 2] = parts, parts
    vectors, labels = np.concatenate([first, second]), np.tile(np.arange(5), 2)
    by_patches = spatial_retrieval.evaluate(table(vectors, labels), reduction='min')
    assert by_patches['spatial_recall@1'] == 1
    whole = spatial_retrieval.evaluate(table(vectors, labels), query_patches=1, reference_patches=1)
    assert whole['spatial_recall@1'] < 1


def test_rows_without_a_partner_do_not_count():
    vectors = [[[0.0]], [[0.1]], [[5.0]]]
    assert spatial_retrieval.evaluate(table(vectors, [0, 0, 1]))['spatial_map'] == 1
    assert spatial_retrieval.evaluate(table(vectors, [0, 1, 2]))['spatial_map'] == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'query_patches': 4}, 'query_patches must be 1 to 3, got 4'),
        ({'reference_patches': 0}, 'reference_patches must be 1 to 3, got 0'),
        ({'reduction': 'max'}, "reduction must be one of .*, got 'max'"),
        ({'output': 'label'}, r"'label' must hold patches \[b, p, d\], got shape \(4,\)"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        spatial_retrieval.evaluate(table(np.zeros((4, 3, 2)), [0, 0, 1, 1]), **options)
