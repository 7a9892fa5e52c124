"""One table of all benchmarks, on a terminal and in the README, from their JSON files."""

import itertools
import json
import pathlib
import re
from collections.abc import Iterable, Mapping

from experiments.measuring.processes import ROOT
from experiments.measuring.rows import Row, significant, with_unit

FOLDER = ROOT / 'experiments' / 'benchmarks'
BEGIN, END = '<!-- benchmarks -->', '<!-- /benchmarks -->'
HEAD = ('task', 'sizes', 'jaxsep takes', 'jaxsep / peer: below 1, jaxsep takes less')


def names() -> list[str]:
    """Every benchmark: a module of the folder."""
    return sorted(path.stem for path in FOLDER.glob('*.py') if not path.stem.startswith('_'))


def read(folder: pathlib.Path = FOLDER) -> dict[str, dict]:
    """What was measured, by benchmark."""
    return {
        name: json.loads((folder / f'{name}.json').read_text())
        for name in names()
        if (folder / f'{name}.json').exists()
    }


def rows_of(measured: Mapping[str, Mapping]) -> list[Row]:
    """The rows of several benchmarks, one after the other."""
    return [Row(**{k: v for k, v in row.items() if k != 'ratios'})
            for found in measured.values() for row in found['rows']]  # fmt: skip


def as_json(row: Row) -> dict:
    """A row with its ratios."""
    return {**row._asdict(), 'ratios': row.ratios()}


def lines(rows: Iterable[Row]) -> list[tuple[str, str, str, list[str]]]:
    """Task, sizes, what jaxsep takes, and a line of ratios for each quantity and failure."""
    found = []
    for (what, sizes), group in itertools.groupby(rows, key=lambda row: (row.what, row.sizes)):
        peers = list(group)
        taken = ', '.join(value_of(name, value) for name, value in peers[0].jaxsep.items())
        ratios = []
        for name in peers[0].jaxsep:
            shown = [
                f'{significant(row.ratios()[name])} {row.peer}'
                for row in peers
                if name in row.ratios()
            ]
            if shown:
                ratios.append(f'{name}: ' + '; '.join(shown))
        ratios += [f'{row.peer}: {row.failed}' for row in peers if row.failed]
        found.append((what, sizes, taken, ratios))
    return found


def value_of(quantity: str, value: float) -> str:
    """'2.3 ms' and '114 MB' by themselves, other quantities with their names."""
    shown = with_unit(quantity, value)
    return shown if quantity in ('time', 'memory') else f'{quantity} {shown}'


def plain(rows: Iterable[Row]) -> str:
    """The table for a terminal."""
    shown = []
    for what, sizes, taken, ratios in lines(rows):
        shown.append(f'{what} ({sizes}): {taken}' if sizes else f'{what}: {taken}')
        shown += [f'    {line}' for line in ratios]
    return '\n'.join([*shown, f'({HEAD[-1]})'])


def markdown(measured: Mapping[str, Mapping]) -> str:
    """The table for the README, and what it was measured with."""
    if not measured:
        return 'Nothing is measured yet.'
    cells = [(*rest, '<br>'.join(ratios)) for *rest, ratios in lines(rows_of(measured))]
    shown = [HEAD, ('---',) * len(HEAD), *cells]
    table = '\n'.join(
        '| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in shown
    )
    return f'{table}\n\n{measured_with(measured)}'


def measured_with(measured: Mapping[str, Mapping]) -> str:
    """Versions and cores, each as often as it differs between the benchmarks."""
    versions, cores, processors = {}, set(), set()
    for found in measured.values():
        here = found['environment']
        cores.add(here['cores'])
        processors.add(here['processor'])
        for name, version in here['versions'].items():
            versions.setdefault(name, set()).add(version)
    listed = ', '.join(f'{name} {" and ".join(sorted(v))}' for name, v in sorted(versions.items()))
    return (
        f'Each time is that of the fastest run; cores: {" or ".join(map(str, sorted(cores)))} of '
        f'{" or ".join(sorted(processors))}; {listed}.'
    )


def insert(readme: str, table: str) -> str:
    """The README with the part between the marks replaced."""
    pattern = re.compile(f'{re.escape(BEGIN)}.*?{re.escape(END)}', re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f'README.md: expected the marks {BEGIN} and {END}')
    return pattern.sub(lambda _: f'{BEGIN}\n{table}\n{END}', readme)


def write_readme() -> None:
    """Puts the table of what is measured into the README."""
    path = ROOT / 'README.md'
    path.write_text(insert(path.read_text(), markdown(read())))
