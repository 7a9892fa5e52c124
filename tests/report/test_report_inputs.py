import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxsep.report import __main__ as command
from jaxsep.report import inputs

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 0, 0, 1, 1, 1])


def bad(value):
    x = X.copy()
    x[4, 1] = x[2, 0] = value
    return x


CASES = {
    'nan': ({'embeddings': bad(np.nan)}, [], 'got 2 NaN or infinite values, the first in row 2'),
    'infinite': ({'embeddings': bad(np.inf)}, [], 'the first in row 2'),
    'pickle': ({'embeddings': np.array([{}, {}])}, [], 'embeddings'),
    'no matrix': ({'label': Y}, [], r'expected a matrix.*label int64\[6\]'),
    'length': (
        {'embeddings': X, 'label': Y[:4]},
        [],
        'label: expected one label for each of the 6',
    ),
    'one class': ({'embeddings': X, 'label': Y * 0}, [], "at least two classes, got only '0'"),
    'k': ({'embeddings': X, 'label': Y}, ['--k', '6'], 'k: expected fewer neighbours than the 6'),
    'column': (
        {'embeddings': X, 'label': Y},
        ['--labels', 'lable'],
        "no column 'lable'; there is label",
    ),
    'rows': ({'a': X, 'b': X[:5]}, [], 'same number of points in each, got a 6, b 5'),
    'label nan': ({'a': X, 'y': np.where(Y == 1, np.nan, 0)}, [], 'y: .* got nan in row 3'),
    'target': ({'a': X}, ['--html', 'no/such/place.html'], 'directory that exists'),
}


@pytest.mark.parametrize('case', CASES)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, capsys, case):
    arrays, options, message = CASES[case]
    np.savez(tmp_path / 'e.npz', **arrays)
    assert command.main([str(tmp_path / 'e.npz'), *options]) == 2
    said = capsys.readouterr()
    assert said.out == '' and said.err.count('\n') == 1
    assert re.search(message, said.err), said.err


def test_what_is_no_npz_file_is_named(tmp_path, capsys):
    (tmp_path / 'e.npz').write_text('hello')
    for path in (tmp_path / 'e.npz', tmp_path / 'missing.npz', tmp_path):
        assert command.main([str(path)]) == 2
        said = capsys.readouterr().err
        assert str(path) in said and said.count('\n') == 1


def test_errors_and_help_are_answered_without_jax(tmp_path):
    code = 'import sys; from jaxsep.report.__main__ import main; main(["missing.npz"]); sys.exit("jax" in sys.modules)'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, cwd=tmp_path
    )
    assert done.returncode == 0 and b'missing.npz' in done.stderr
    assert time.perf_counter() - started < 10  # the promise is 0.5 s; this machine may be busy
    done = subprocess.run(
        [sys.executable, '-m', 'jaxsep.report', '--help'],
        env=environment,
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0 and b'--html' in done.stdout


def test_labels_of_all_kinds_become_sorted_classes():
    for values, names in (
        (np.array(['b', 'a', 'b']), ('a', 'b')),
        (np.array([True, False, True]), ('False', 'True')),
        (np.array([b'y', b'x', b'y']), ('x', 'y')),
        (np.array([7, -2, 7]), ('-2', '7')),
    ):
        column = inputs.check_labels('y', values, 3)
        assert column.names == names and column.codes.tolist() == [1, 0, 1]


def test_a_column_of_different_values_is_left_out_and_said(tmp_path):
    np.savez(tmp_path / 'e.npz', x=X, y=Y, index=np.arange(6))
    _, labels, notes = inputs.read([tmp_path / 'e.npz'])
    assert list(labels) == ['y'] and notes == ['index: left out, every value is different']


def test_a_failed_write_keeps_the_old_file(tmp_path):
    target = tmp_path / 'out.json'
    target.write_text('old')
    with pytest.raises(UnicodeEncodeError):
        command.write(str(target), '\ud800')
    assert target.read_text() == 'old' and os.listdir(tmp_path) == ['out.json']
    command.write(str(target), json.dumps([1]))
    assert target.read_text() == '[1]'


@pytest.mark.parametrize('nothing', [None, float('nan')])
def test_objects_without_a_label_are_refused_as_floats_are(nothing):
    values = np.array(['a', 'b', nothing, 'a', 'b', 'a'], object)
    with pytest.raises(
        ValueError, match=f'kind: expected a label for each point, got {nothing} in row 2'
    ):
        inputs.check_labels('kind', values, 6)
