"""Finds methods by their path and describes them from their source, without importing jax.

There is no registry: `jaxsep/methods/<family>/<slug>.py` with a function `make` is a method.
"""

import ast
import difflib
import importlib
import json
import pathlib
from typing import NamedTuple

METHODS = pathlib.Path(__file__).parent / 'methods'


class Entry(NamedTuple):
    """What is known of a method before it is imported.

    Attributes:
      name: <family>/<slug>.
      paper: first line of the module's docstring: the paper, its authors and year.
      keywords: keyword-only arguments of `make`; True where there is no default.
    """

    name: str
    paper: str
    keywords: dict[str, bool]
    defaults: dict[str, object]


def names() -> list[str]:
    """All methods as <family>/<slug>."""
    paths = sorted(METHODS.glob('*/*.py'))
    return [f'{path.parent.name}/{path.stem}' for path in paths if path.stem != '__init__']


def describe(name: str) -> Entry:
    """Reads a method's docstring and the signature of its `make`; ValueError for unknown names."""
    known = names()
    if name not in known:
        raise ValueError(f'config.method: there is no method {name!r}{nearest(name, known)}')
    tree = ast.parse((METHODS / f'{name}.py').read_text())
    keywords, defaults = signature(tree, 'make')
    return Entry(name, (ast.get_docstring(tree) or '').split('\n')[0], keywords, defaults)


def signature(tree: ast.Module, function: str) -> tuple[dict[str, bool], dict[str, object]]:
    """Keyword-only arguments of a function: whether each is needed, and literal defaults."""
    found = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
    keywords, defaults = {}, {}
    for argument, default in zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True):
        keywords[argument.arg] = default is None
        if isinstance(default, ast.Constant | ast.Tuple | ast.Dict):
            defaults[argument.arg] = ast.literal_eval(default)
    return keywords, defaults


def evaluations() -> dict[str, dict[str, bool]]:
    """Name -> options (and whether each is needed) of every evaluation in jaxsep/evals."""
    return options_of('evals', 'evaluate')


def encoders() -> dict[str, dict[str, bool]]:
    """Name -> options of every pretrained encoder in jaxsep/models/pretrained."""
    return options_of('models/pretrained', 'load')


def options_of(room: str, function: str) -> dict[str, dict[str, bool]]:
    """Name -> options (and whether each is needed) of the files of a room that define `function`."""
    found = {}
    for path in sorted((METHODS.parent / room).glob('*.py')):
        tree = ast.parse(path.read_text())
        if any(isinstance(n, ast.FunctionDef) and n.name == function for n in tree.body):
            found[path.stem], _ = signature(tree, function)
    return found


def check_keywords(
    where: str, name: str, keywords: dict[str, bool], given: dict, facts: tuple[str, ...] = ()
) -> None:
    """ValueError where `given` holds a keyword that is not known, or misses a needed one.

    Args:
      where: the config key, for the message.
      name: whose keywords they are.
      facts: keywords that are filled in from the data.
    """
    for keyword in given:
        if keyword not in keywords:
            hint = nearest(keyword, list(keywords))
            raise ValueError(f'{where}: {name} has no argument {keyword!r}{hint}')
    for keyword, required in keywords.items():
        if required and keyword not in given and keyword not in facts:
            raise ValueError(f'{where}: {name} needs the argument {keyword!r}')


def load(name: str):
    """The method's module. Imports jax."""
    return importlib.import_module('jaxsep.methods.' + name.replace('/', '.'))


def nearest(name: str, known: list[str]) -> str:
    """'; did you mean ...?', or the possible names where nothing is near."""
    near = difflib.get_close_matches(name, known, 3, cutoff=0.5)
    if near:
        return '; did you mean ' + ' or '.join(repr(n) for n in near) + '?'
    return f'; there are {", ".join(known)}' if known else ''


def listing(root: pathlib.Path) -> str:
    """A line per method: name, paper, config, and the verdict its experiment reached.

    Args:
      root: the checkout with configs/ and experiments/.
    """
    rows = [('method', 'paper', 'config', 'measured')]
    for name in names():
        config = root / 'configs' / f'{name}.py'
        measured = root / 'experiments' / f'{name}.json'
        summary = json.loads(measured.read_text())['summary'] if measured.exists() else 'not yet'
        shown = f'configs/{name}.py' if config.exists() else 'none'
        rows.append((name, describe(name).paper, shown, summary))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return '\n'.join(
        '  '.join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
