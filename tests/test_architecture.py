"""The arrows of the house, held by reading every import in the tree."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted((ROOT / 'jaxsep').rglob('*.py'))
CONFIGS = sorted((ROOT / 'configs').rglob('*.py'))
# A room may import the rooms of lower number, and itself.
FLOORS = {
    'method': 0, 'errors': 0, 'archives': 0, 'ops': 0,
    'losses': 1, 'metrics': 1, 'models': 1, 'data': 1,
    'algorithms': 2,
    'methods': 3, 'evals': 3,
    'trainers': 3, 'report': 4, 'catalog': 4, 'encoding': 4, 'configuration': 5, 'command_line': 5,
    'session': 6, 'main': 7,
}  # fmt: skip
ALONE = {'evals': {'metrics', 'algorithms', 'losses', 'ops'}, 'trainers': {'method', 'errors'}}


def room(path):
    parts = path.relative_to(ROOT / 'jaxsep').with_suffix('').parts
    return parts[0]


def imports(path):
    """Dotted names of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_the_house_only(path):
    here = room(path)
    for name in imports(path):
        if not name.startswith('jaxsep.'):
            continue
        there = name.split('.')[1]
        if there == here or there == '__version__':
            continue
        assert there in FLOORS, f'{name}: no such room'
        allowed = there in ALONE.get(here, {there}) and FLOORS[there] < FLOORS[here]
        assert allowed, f'{path.name} in {here} may not import {name}'


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_families_do_not_import_one_another(path):
    if room(path) == 'methods':
        assert not [n for n in imports(path) if n.startswith('jaxsep.methods')]


@pytest.mark.parametrize(
    'path', [*SOURCES, *CONFIGS, *(ROOT / 'tests').rglob('*.py'), *(ROOT / 'experiments').rglob('*.py')],
    ids=lambda p: str(p.relative_to(ROOT)),
)  # fmt: skip
def test_no_file_is_over_500_lines(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_tensorflow_and_no_torch(path):
    assert not {n.split('.')[0] for n in imports(path)} & {'tensorflow', 'torch'}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_configs_import_only_ml_collections_and_the_defaults(path):
    for name in imports(path):
        assert name.split('.')[0] == 'ml_collections' or name.startswith('configs.defaults'), name


@pytest.mark.parametrize(
    'module',
    ['jaxsep.main', 'jaxsep.data.source'],
)
def test_what_answers_before_work_begins_does_not_import_jax(module):
    code = f'import sys, {module}; sys.exit("jax" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0


def test_every_room_of_the_tests_mirrors_one_of_the_package():
    rooms = {p.name for p in (ROOT / 'jaxsep').iterdir() if p.is_dir() and p.name != '__pycache__'}
    tested = {p.name for p in (ROOT / 'tests').iterdir() if p.is_dir() and p.name != '__pycache__'}
    assert tested - {'golden', 'fuzz'} <= rooms | {'experiments'}
