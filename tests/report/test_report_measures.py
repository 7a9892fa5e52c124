import json
import re

import numpy as np
import pytest

from jaxsep.report import __main__ as command
from jaxsep.report import measures, page, plots
from jaxsep.report.measures import compare, separability

ALIASES = {
    'fisher_trace': 'fisher_trace_Sw_inv_Sb',
    'fisher_max_eigenvalue': 'fisher_max_eig',
    'fisher_trace_ratio_balanced': 'fisher_trace_ratio_class_balanced',
    'ho_basu_f1': 'F1_ho_basu',
    'uniformity': 'uniformity_t2',
    'effective_rank': 'effective_rank_centred',
    'tolerance': 'tolerance_same_class_mean',
    'persistence_score': 'ph_mean_normalised',
}


@pytest.fixture(scope='module')
def toy(golden):
    arrays = golden('separability_metrics')
    return arrays['A_toy/X'], arrays['A_toy/y']


def bent(x):
    """Another embedding of the same shape: its programs are compiled already."""
    return np.tanh(x)


@pytest.fixture(scope='module')
def compared(toy):
    x, y = toy
    return compare({'whole': x, 'bent <b>': bent(x)}, {'y': y, 'odd & even': y % 2 == 1})


def test_values_are_those_of_the_original_codes(golden, compared):
    arrays = golden('separability_metrics')
    found = compared['embeddings']['whole']
    values = {**found['general'], **found['labels']['y']['measures']}
    known = {key: arrays.get(f'A_toy/{ALIASES.get(key, key)}') for key in values}
    known = {key: value for key, value in known.items() if value is not None}
    assert len(known) >= 22
    for key, value in known.items():
        np.testing.assert_allclose(values[key], value, rtol=1e-7, err_msg=key)


def test_neural_collapse_with_a_classifier_is_that_of_the_original_code(golden):
    c = {
        key[2:]: value
        for key, value in golden('separability_metrics').items()
        if key.startswith('C/')
    }
    found = separability(c['H'], c['y'], weights=c['W'], bias=c['b'])['labels']['label']['measures']
    for key, name in {
        'nc1': 'NC1_trace_SwSbpinv_over_K',
        'nc2_weights': 'NC2_W_etf',
        'nc3_product': 'NC3_W_H',
        'nc3_self_duality': 'NC3_self_duality',
        'nc3_bias': 'NC_Wh_b',
        'nc4': 'NC4_mismatch',
        'nc2_equinorm': 'NC2_equinorm_means',
    }.items():
        np.testing.assert_allclose(found[key], c[name], rtol=1e-7, atol=1e-12, err_msg=key)


def test_the_result_is_json_and_every_measure_is_described(compared):
    assert json.loads(json.dumps(compared, allow_nan=False)) == compared
    for result in compared['embeddings'].values():
        keys = [
            *result['general'],
            *(key for c in result['labels'].values() for key in c['measures']),
        ]
        for key in keys:
            described = measures.measure(key)
            assert described.meaning and described.better in page.ARROWS


def test_an_embedding_equals_itself(toy):
    x, _ = toy
    pair = compare({'a': x, 'b': 2 * x[:, ::-1]})['pairs'][0]
    assert pair['linear_cka'] == pytest.approx(1) and pair['procrustes'] == pytest.approx(
        0, abs=1e-9
    )
    assert pair['mutual_knn'] == 1


def test_points_used_says_how_many(toy):
    found = separability(*toy, max_pairs_points=20, k=3)
    assert found['points_used'] == {'pairs': 20, 'persistence': 40, 'other': 40}
    assert 'loo_knn3_euclidean' in found['labels']['label']['measures']


@pytest.mark.filterwarnings('error')
def test_collapsed_points_give_no_nan(toy):
    found = separability(np.ones_like(toy[0]), np.arange(40) % 3)
    json.dumps(found, allow_nan=False)
    assert found['labels']['label']['measures']['silhouette_euclidean'] == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'labels': np.zeros(40, int)}, 'label: expected at least two classes'),
        (
            {'labels': {'y': np.full(40, np.nan)}},
            'y: expected a label for each point, got nan in row 0',
        ),
        ({'k': 40}, 'k: expected fewer neighbours'),
        ({'bias': np.zeros(3)}, 'bias: expected weights'),
        (
            {'labels': np.arange(40) % 2, 'weights': np.zeros((3, 5))},
            'weights: expected one row per',
        ),
    ],
)
def test_wrong_arguments_are_named(toy, options, message):
    with pytest.raises(ValueError, match=message):
        separability(toy[0], **options)


def test_the_page_is_whole_and_escapes_names(toy, compared):
    x, y = toy
    labels = {'y': y, 'odd & even': y % 2 == 1}
    text = page.separability_page('<i>t', compared, {'whole': x, 'bent <b>': bent(x)}, labels)
    assert '<i>t' not in text and 'bent <b>' not in text and 'odd &amp; even' in text
    assert '<script' not in text and not re.search(r'(src|href)="(?!data:)', text)
    assert text.count('<figure>') == text.count('</figure>') >= 10


def test_the_page_of_a_run_is_written_whatever_came_out(toy):
    x, y = toy
    text = page.run_page(
        'run', {'loss': 0.5, 'name': '<x>'}, {'loss': ([1, 2], [0.7, 0.5])},
        {'before': np.full_like(x, np.nan), 'after': x}, {'y': y, 'same': y * 0},
    )  # fmt: skip
    assert '&lt;x&gt;' in text and 'same: expected at least two classes' in text
    assert 'before: expected finite numbers' in text and 'Label: y' in text


def test_principal_axes_keep_distances_of_planar_points():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(7, 2)) @ np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    for points in (plane, plane.T @ plane):
        xy, shares = plots.principal_components(points)
        if points is plane:
            np.testing.assert_allclose(
                np.linalg.norm(xy[0] - xy[3]), np.linalg.norm(plane[0] - plane[3]), rtol=1e-9
            )
        assert shares.sum() == pytest.approx(1)


def test_many_classes_have_no_legend_and_it_says_so():
    xy, names = np.random.default_rng(0).normal(size=(200, 2)), [str(c) for c in range(50)]
    _, words = plots.projection(xy, np.array([0.5, 0.1]), np.arange(200) % 50, names)
    assert '50 classes: no legend' in words


def test_the_command_prints_and_writes(tmp_path, toy, capsys):
    x, y = toy
    np.savez(tmp_path / 'e.npz', embeddings=x, y=y)
    out = [str(tmp_path / name) for name in ('out.html', 'out.json')]
    assert command.main([str(tmp_path / 'e.npz'), '--html', out[0], '--json', out[1]]) == 0
    said = capsys.readouterr().out
    assert 'silhouette' in said and 'y: 3 classes' in said and f'written: {out[0]}' in said
    with open(out[1]) as stream:
        assert json.load(stream)['embeddings']['embeddings']['n'] == 40
