"""Writes the README's table of methods from the experiments' JSON files.

python -m experiments.table
"""

import json
import pathlib
import re

from jaxsep import catalog

ROOT = pathlib.Path(__file__).parents[1]
BEGIN, END = '<!-- methods -->', '<!-- /methods -->'


def rows(root: pathlib.Path = ROOT) -> list[tuple[str, ...]]:
    """(method, paper, claim, measured, verdict) of every method in the tree."""
    found = []
    for name in catalog.names():
        path = root / 'experiments' / f'{name}.json'
        measured = json.loads(path.read_text()) if path.exists() else None
        link = f'[`{name}`](jaxsep/methods/{name}.py)'
        if measured is None:
            found.append((link, catalog.describe(name).paper, '', 'not yet', ''))
            continue
        shown = '<br>'.join(describe(c, measured['runs']) for c in measured['comparisons'])
        verdict = f'[{measured["verdict"]}](experiments/{name}.json)'
        found.append((link, catalog.describe(name).paper, measured['claim'], shown, verdict))
    return found


def describe(comparison: dict, runs: dict) -> str:
    """`metric`: mean +- spread of both sides."""
    metric = comparison['metric']

    def side(who):
        if not isinstance(who, str):
            return f'{who:g}'
        numbers = runs[who]['metrics'][metric]
        return f'{who} {numbers["mean"]:.3f} ± {numbers["spread"]:.3f}'

    return f'{metric}: {side(comparison["larger"])}, {side(comparison["smaller"])}'


def markdown(table: list[tuple[str, ...]]) -> str:
    """The table in Markdown."""
    head = ('method', 'paper', 'claim tested', 'measured (mean ± spread over 3 seeds)', 'verdict')
    lines = [head, ('---',) * len(head), *table]
    return '\n'.join(
        '| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in lines
    )


def insert(readme: str, table: str) -> str:
    """The README with the part between the marks replaced."""
    pattern = re.compile(f'{re.escape(BEGIN)}.*?{re.escape(END)}', re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f'README.md: expected the marks {BEGIN} and {END}')
    return pattern.sub(lambda _: f'{BEGIN}\n{table}\n{END}', readme)


if __name__ == '__main__':
    path = ROOT / 'README.md'
    path.write_text(insert(path.read_text(), markdown(rows())))
