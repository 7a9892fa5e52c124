"""Rows seen through frozen encoders: columns, order, cache, and what a wrong config is told."""

import json
import pathlib
import sys
import types

import numpy as np
import pytest

from experiments.run import load_config
from jaxsep import encoding, main
from jaxsep.data.source import Arrays, Source
from jaxsep.models.pretrained import Pretrained

DIGITS = 'configs/separability/topological_separability.py:smoke'
QUIET = {
    'evals_while_training': (), 'select.metric': '', 'select.use': 'last',
    'num_steps': 4, 'report': False, 'num_devices': 1,
}  # fmt: skip
CLUSTERS = {
    'name': 'clusters', 'method': 'separability/ppp', 'evals': {'clustering': {'label': 'label'}},
}  # fmt: skip


def staged(*stages):
    config = load_config(DIGITS, QUIET, seed=0)
    config.evals = {}
    make, config.make = config.make.to_dict(), {}
    config.method = ''
    learn = {'method': 'separability/topological_separability', 'make': make}
    config.stages = tuple({**(learn if 'method' not in s else {}), **s} for s in stages)
    return config


def source_of(rows):
    columns = {'features': np.arange(2.0 * rows).reshape(rows, 2), 'label': np.arange(rows) % 2}
    return Source({'train': Arrays(columns)}, {'label': ('even', 'odd')})


def doubled(calls):
    def encode(split):
        calls.append(len(split))
        rows = split.take(np.arange(len(split)))
        return {'embedding': 2 * rows['features'], 'label': rows['label']}

    return encode


def test_a_split_is_encoded_once_when_it_is_first_read_and_keeps_its_rows():
    calls = []
    encoded = encoding.encode(source_of(6), [doubled(calls)]).splits['train']
    assert len(encoded) == 6 and not calls
    taken = encoded.take(np.array([5, 0]))
    assert set(taken) == {'embedding', 'label', 'index'}
    np.testing.assert_array_equal(taken['embedding'], [[20, 22], [0, 2]])
    np.testing.assert_array_equal(taken['index'], [5, 0])
    encoded.take(np.arange(3))
    assert calls == [6]


def test_outputs_of_several_stages_stand_side_by_side_under_their_names():
    tables = [{'embedding': np.full(3, i), 'label': np.arange(3)} for i in range(2)]
    encoders = [
        encoding.of_stage(name, lambda split, t=table: t, ('label',), ())
        for name, table in zip('ab', tables, strict=True)
    ]
    rows = encoding.encode(source_of(3), encoders).splits['train'].take(np.arange(3))
    np.testing.assert_array_equal(rows['a/embedding'], 0)
    np.testing.assert_array_equal(rows['b/embedding'], 1)


def test_an_output_that_is_not_there_is_named():
    encode = encoding.of_stage(
        '', lambda split: {'embedding': 0, 'label': 0}, ('label',), ('codes',)
    )
    with pytest.raises(ValueError, match=r"no output 'codes'; there are \['embedding'\]"):
        encode(None)


def test_what_is_cached_depends_on_weights_and_rows(tmp_path, monkeypatch):
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path))
    rows = {'tokens': np.arange(6).reshape(2, 3)}
    path = encoding.cached('weights', rows)
    assert path == encoding.cached('weights', {'tokens': np.arange(6).reshape(2, 3)})
    others = [('other', rows), ('weights', {'tokens': np.arange(6).reshape(3, 2)}),
              ('weights', {'tokens': 1 + np.arange(6).reshape(2, 3)})]  # fmt: skip
    assert path not in [encoding.cached(*other) for other in others]
    encoding.keep(path, {'embedding': np.ones(2)})
    with np.load(path) as file:
        np.testing.assert_array_equal(file['embedding'], 1)


def test_a_pretrained_encoder_beside_another_has_columns_under_its_name(tmp_path, monkeypatch):
    """The second time they come from the cache."""
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path))
    module = types.SimpleNamespace(load=lambda *, scale: Pretrained(scale, None, f'fake {scale}'))
    monkeypatch.setitem(sys.modules, 'jaxsep.models.pretrained.fake', module)
    calls = []

    def make_predict(outputs):
        def run(scale, batches):
            calls.append(scale)
            return {
                'embedding': scale * source_of(6).splits['train'].take(np.arange(6))['features']
            }

        return run

    for prefix in ('', 'fake'):
        encode = encoding.pretrained(
            prefix, {'name': 'fake', 'scale': 3.0}, ('label',), make_predict, 4
        )
        table = encode(source_of(6).splits['train'])
        name = f'{prefix}/embedding' if prefix else 'embedding'
        assert set(table) == {name, 'label'}
        np.testing.assert_array_equal(table[name][1], [6, 9])
    assert calls == [3.0]


def test_an_estimator_is_fitted_on_the_outputs_of_the_stage_before(tmp_path):
    config = staged({'name': 'learn'}, {**CLUSTERS, 'encoder': {'stages': ('learn',)}})
    results = main.run(config, tmp_path)
    assert -1 <= results['train/adjusted_rand_index'] <= 1
    first = json.loads((pathlib.Path(tmp_path) / 'results.json').read_text())
    assert main.run(config, tmp_path) == first, 'finished stages are read back'


def test_a_stage_that_takes_nothing_over_starts_afresh_with_its_own_seed(tmp_path):
    def first_loss(stage):
        path = tmp_path / stage / 'metrics.jsonl'
        return json.loads(path.read_text().splitlines()[0])['loss']

    fresh = {'take_over': False}
    config = staged(
        {'name': 'a', 'log_every': 1},
        {'name': 'same', 'log_every': 1, **fresh},
        {'name': 'other', 'log_every': 1, **fresh, 'seed_offset': 7},
    )
    main.run(config, tmp_path)
    assert first_loss('same') == first_loss('a') != first_loss('other')


@pytest.mark.parametrize(
    ('encoder', 'message'),
    [
        ({'name': 'minlim'}, "no pretrained encoder 'minlim'"),
        ({'stages': ('lern',)}, "there is no stage 'lern' before 'clusters'"),
        ({'outputs': ('embedding',)}, "expected 'name'"),
        ({'stages': ('learn',), 'output': 'x'}, "stages has no argument 'output'; did you mean 'outputs'"),
        ({'stages': ('learn',), 'pretrained': {'layer': 3}}, "config.encoder.pretrained: expected 'name'"),
        ({'stages': ('learn',), 'pretrained': {'name': 'minilm', 'lajer': 3}}, "did you mean 'layer'"),
    ],
)  # fmt: skip
def test_a_wrong_encoder_is_named_before_anything_is_made(encoder, message, tmp_path):
    config = staged({'name': 'learn'}, {**CLUSTERS, 'encoder': encoder})
    with pytest.raises(ValueError, match=message):
        main.prepare(config, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()
