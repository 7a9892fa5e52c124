"""The retrieval evaluation against a loop over pairs of groups, and its refusals."""

import numpy as np
import pytest

from jaxsep.evals import retrieval


def glyph_split(seed=0, faces=3, characters=8):
    rng = np.random.default_rng(seed)
    face, character = np.divmod(rng.permutation(faces * characters), characters)
    centres = rng.normal(size=(characters, 6))
    embeddings = centres[character] + rng.normal(size=(faces * characters, 6))
    return {'embedding': embeddings.astype(np.float32), 'label': character + 50, 'face': face}


def recall(queries, query_labels, gallery, gallery_labels, k, own=False):
    similarities = queries @ gallery.T
    if own:
        np.fill_diagonal(similarities, -np.inf)
    nearest = np.argsort(-similarities, axis=1, kind='stable')[:, :k]
    return np.mean((gallery_labels[nearest] == query_labels[:, None]).any(axis=1))


def test_across_a_column_is_the_mean_over_its_ordered_pairs():
    data = glyph_split()
    z = data['embedding'] / np.linalg.norm(data['embedding'], axis=1, keepdims=True)
    expected = {}
    for k in (1, 3):
        values = []
        for a in range(3):
            for b in range(3):
                if a != b:
                    own, other = data['face'] == a, data['face'] == b
                    labels = data['label']
                    values.append(recall(z[own], labels[own], z[other], labels[other], k))
        expected[f'recall@{k}'] = np.mean(values)
    got = retrieval.evaluate({'test': data}, across='face', ks=(1, 3))
    assert got == pytest.approx(expected)


def test_without_a_column_every_point_is_sought_among_all_others():
    data = glyph_split(1)
    z = data['embedding'] / np.linalg.norm(data['embedding'], axis=1, keepdims=True)
    labels = data['label']
    got = retrieval.evaluate({'test': data})
    expected = {f'recall@{k}': recall(z, labels, z, labels, k, own=True) for k in (1, 5)}
    assert got == pytest.approx(expected)


def test_pairs_without_a_common_label_are_left_out():
    data = glyph_split(2)
    alone = data['face'] == 2
    before = retrieval.evaluate(
        {'test': {name: values[~alone] for name, values in data.items()}}, across='face'
    )
    data['label'][alone] += 1000
    assert retrieval.evaluate({'test': data}, across='face') == pytest.approx(before)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'across': 'font'}, "no column 'font' in split 'test'; there are: embedding, face, label"),
        ({'ks': ()}, 'ks must hold'),
        ({'ks': (0,)}, 'ks must hold'),
        ({'label': 'letter'}, "no column 'letter'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        retrieval.evaluate({'test': glyph_split()}, **options)


def test_a_column_of_one_value_has_no_pairs():
    data = glyph_split()
    data['face'][:] = 4
    with pytest.raises(ValueError, match="'face' has one"):
        retrieval.evaluate({'test': data}, across='face')
