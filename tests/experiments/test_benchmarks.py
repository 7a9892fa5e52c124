"""The benchmarks: their common form, their meters, and that the README shows what was measured."""

import ast
import importlib
import json
import math
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import batch_size, gpu
from experiments.measuring import meters, processes, runner, table
from experiments.measuring.collectives import Collective, collectives
from experiments.measuring.rows import Row, against, with_unit

ROOT = pathlib.Path(__file__).parents[2]
ON_A_GPU = {'gpu'}
MEASURED = table.read()


def full_sizes(name):
    """SIZES['full'] of a benchmark, without importing it: it may need a peer."""
    source = (table.FOLDER / f'{name}.py').read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == 'SIZES':
            return json.loads(json.dumps(ast.literal_eval(node.value)['full']))


def test_every_benchmark_was_run():
    assert set(table.names()) - ON_A_GPU <= set(MEASURED) <= set(table.names())


@pytest.mark.parametrize('name', sorted(MEASURED))
def test_what_was_measured_are_the_full_sizes_and_ratios_follow_from_the_numbers(name):
    found = MEASURED[name]
    assert found['sizes'] == full_sizes(name)
    for row in found['rows']:
        assert row['failed'] or row['ratios']
        for quantity, ratio in row['ratios'].items():
            assert ratio == pytest.approx(row['jaxsep'][quantity] / row['other'][quantity])


def test_the_readme_shows_the_table_of_the_benchmarks():
    readme = (ROOT / 'README.md').read_text()
    assert table.insert(readme, table.markdown(MEASURED)) == readme


def test_a_row_has_a_ratio_for_what_both_sides_have_and_says_why_there_is_none():
    found = {
        'jaxsep': {'time': 1.0, 'memory': 3.0},
        'one': {'time': 4.0, 'memory': 2.0},
        'two': {'time': 0.5},
        'three': {'failed': 'three is not installed'},
    }
    rows = against('a task', '8 rows', ('time', 'memory'), found)
    assert [row.ratios() for row in rows] == [{'time': 0.25, 'memory': 1.5}, {'time': 2.0}, {}]
    (line,) = table.lines(rows)
    assert line[:3] == ('a task', '8 rows', '1 s, 3 B')
    assert line[3] == ['time: 0.25 one; 2 two', 'memory: 1.5 one', 'three: three is not installed']


def test_the_table_of_json_rows_is_that_of_the_rows():
    row = Row('a | b', 'n', 'peer', {'time': 0.002}, {'time': 0.004})
    here = {'versions': {'jax': '1'}, 'cores': 2, 'processor': 'P'}
    measured = {'x': {'rows': [json.loads(json.dumps(table.as_json(row)))], 'environment': here}}
    assert table.rows_of(measured) == [row]
    assert '| a \\| b | n | 2 ms | time: 0.5 peer |' in table.markdown(measured)
    assert 'cores: 2 of P; jax 1' in table.markdown(measured)


@pytest.mark.parametrize(
    ('quantity', 'value', 'shown'),
    [('time', 2.345, '2.3 s'), ('time', 0.0123, '12 ms'), ('memory', 114e6, '114 MB'),
     ('waiting', 0.0042, '0.42 %'), ('exponent of time', 1.04, '1'), ('memory', 0, '0 B')],
)  # fmt: skip
def test_numbers_have_units(quantity, value, shown):
    assert with_unit(quantity, value) == shown


def test_calls_are_timed_in_turn_after_one_that_does_not_count():
    seen = []
    times = meters.in_turn({name: lambda name=name: seen.append(name) for name in 'ab'}, 2)
    assert ''.join(seen) == 'ab' + 'abab'
    assert len(times['a'].seconds) == 2 and times['a'].fastest == min(times['a'].seconds)


def test_growth_is_what_a_call_needs_at_the_most():
    # Four arrays of 16 MB one after the other are never there together.
    grown, total = meters.growth(lambda: sum(float(np.ones(2**21).sum()) for _ in range(4)))
    assert total == 4 * 2**21
    assert 15e6 < grown < 24e6


def test_a_process_of_its_own_returns_the_result_or_says_why_not():
    assert processes.fresh(math.hypot, 3, 4) == 5.0
    assert processes.fresh(os.getenv, 'SHOWN', environment={'SHOWN': 'yes'}) == 'yes'
    assert processes.fresh(os.getenv, 'OMP_NUM_THREADS') == str(meters.cores())
    with pytest.raises(processes.NotHere, match='^not_there is not installed$'):
        processes.fresh(importlib.import_module, 'not_there')
    with pytest.raises(processes.Failed, match='^JSONDecodeError: '):
        processes.fresh(json.loads, '{')
    with pytest.raises(processes.Failed, match='^out of memory$'):
        processes.fresh(bytearray, 2**62)
    with pytest.raises(processes.Failed, match='^exit code -6$'):
        processes.fresh(os.abort)


def test_the_others_go_on_where_a_peer_fails_and_nothing_does_without_jaxsep():
    found = processes.of_each(json.loads, ('{"time": 1.0}', '{', '{"time": 2.0}'))
    assert list(found.values())[::2] == [{'time': 1.0}, {'time': 2.0}]
    assert found['{']['failed'].startswith('JSONDecodeError')
    with pytest.raises(processes.Failed):
        processes.of_each(json.loads, ('{', '{"time": 1.0}'))


def test_a_benchmark_runs_from_the_command_line(tmp_path, capsys):
    readme = (ROOT / 'README.md').read_bytes()
    assert runner.main(['--quick', '--output', str(tmp_path), 'kmeans']) == 0
    found = json.loads((tmp_path / 'kmeans.json').read_text())
    assert [row['peer'] for row in found['rows']] == ['scikit-learn']
    assert found['environment']['cores'] == meters.cores()
    assert 'k-means (60 rows of 3, 4 clusters' in capsys.readouterr().out
    assert (ROOT / 'README.md').read_bytes() == readme


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [(['nothing'], "no benchmark 'nothing'"), (['kmeans', '--set', 'rows=x'], '--set rows=x')],
)
def test_a_wrong_argument_is_named(arguments, told, capsys):
    with pytest.raises(SystemExit, match='2'):
        runner.main(arguments)
    assert told in capsys.readouterr().err


def test_collectives_are_read_with_their_bytes_and_rounds():
    def rows(x):
        def add(total, _):
            return total + jax.lax.psum(jnp.sum(x) * total, 'd'), None

        everything = jax.lax.all_gather(x, 'd', tiled=True)
        total, _ = jax.lax.scan(add, jnp.ones(5) + everything.sum(), length=3)
        return jax.lax.psum_scatter(everything * total.sum(), 'd', tiled=True)

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ('d',))
    split = jax.shard_map(
        rows, mesh=mesh, in_specs=jax.P('d'), out_specs=jax.P('d'), check_vma=False
    )
    text = jax.jit(split).lower(jax.ShapeDtypeStruct((8, 2), np.float32)).compile().as_text()
    found = {(each.kind, each.size, each.times) for each in collectives(text)}
    assert found == {('all-gather', 64, 1), ('all-reduce', 20, 3), ('reduce-scatter', 64, 1)}


def test_a_collective_in_a_loop_of_unknown_length_is_an_error():
    text = """HloModule m
%body (p: f32[4]) -> f32[4] {
  ROOT %r = f32[4]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%add
}
ENTRY %main (x: f32[4]) -> f32[4] {
  ROOT %w = f32[4]{0} while(%x), condition=%cond, body=%body
}
"""
    with pytest.raises(ValueError, match=r'all-reduce of f32\[4\]: .* does not tell how often'):
        collectives(text)
    known = text.replace('body=%body', 'body=%body, backend_config={"known_trip_count":{"n":"7"}}')
    assert collectives(known) == [Collective('all-reduce', 16, 'f32[4]', 7)]


def test_the_exponent_of_a_power_law_is_found():
    sizes = {str(2**k): {'time': 3 * 2.0 ** (1.5 * k)} for k in (3, 4, 6)}
    assert batch_size.exponent(sizes, 'time') == pytest.approx(1.5)


def test_without_a_gpu_it_is_said_in_one_line():
    if jax.default_backend() == 'gpu':
        pytest.skip('there is a GPU')
    with pytest.raises(processes.NotHere, match='^needs a gpu, jax found cpu$'):
        gpu.measure(**gpu.SIZES['full'])


def test_the_peak_of_a_card_is_that_of_its_name_or_as_given():
    assert gpu.peak_of('NVIDIA H100 80GB HBM3', 0) == 989e12
    assert gpu.peak_of('NVIDIA A100-SXM4-40GB', 0) == 312e12
    assert gpu.peak_of('something new', 0) is None and gpu.peak_of('something new', 7.0) == 7.0


@pytest.mark.slow
@pytest.mark.parametrize('name', table.names())
def test_every_benchmark_runs_at_tiny_sizes(name):
    try:
        found = processes.fresh(runner.run, name, True, {})
    except processes.NotHere as reason:
        pytest.skip(str(reason))
    assert found['rows'] and all(row['ratios'] or row['failed'] for row in found['rows'])
