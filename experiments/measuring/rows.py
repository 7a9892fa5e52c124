"""The form of a benchmark's result: what jaxsep takes beside what a peer takes for the same."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Numbers = Mapping[str, float]


class Row(NamedTuple):
    """jaxsep and one peer on one task.

    Attributes:
      what: the task, 'NT-Xent, value and gradient'.
      sizes: of the task, '16,384 rows of 128'.
      peer: who else does it, or what is least possible.
      jaxsep: quantity -> number, in the units of `UNITS`; less is better for every quantity.
      other: the same of the peer.
      failed: why the peer has no numbers.
    """

    what: str
    sizes: str
    peer: str
    jaxsep: Numbers
    other: Numbers = {}
    failed: str = ''

    def ratios(self) -> dict[str, float]:
        """Of each quantity that both have, jaxsep / peer: below 1, jaxsep takes less."""
        return {
            name: value / self.other[name]
            for name, value in self.jaxsep.items()
            if self.other.get(name)
        }


class Measured(NamedTuple):
    """What a benchmark returns: rows of the table, and everything else worth keeping."""

    rows: list[Row]
    details: Mapping[str, Any]


UNITS = {
    'time': 's', 'processor time': 's', 'memory': 'B', 'waiting': '%', 'exponent of time': '',
    'exponent of memory': '',
}  # fmt: skip
"""Of each quantity; those that are called 'bytes ...' are in bytes."""


def against(
    what: str, sizes: str, quantities: Sequence[str], found: Mapping[str, Mapping[str, Any]]
) -> list[Row]:
    """Rows of jaxsep, the first of what was found, and each of the others.

    Args:
      found: peer -> a dict with the quantities that it has, or {'failed': reason}.
    """
    (_, ours), *peers = found.items()
    ours = {name: ours[name] for name in quantities}
    return [
        Row(what, sizes, peer, ours, failed=each['failed'])
        if 'failed' in each
        else Row(what, sizes, peer, ours, {name: each[name] for name in ours if name in each})
        for peer, each in peers
    ]


def with_unit(quantity: str, value: float) -> str:
    """A number as people read it: '2.3 ms', '114 MB', '0.4 %'."""
    unit = 'B' if quantity.startswith('bytes') else UNITS[quantity]
    if unit == 's':
        for factor, name in ((1, 's'), (1e3, 'ms'), (1e6, 'µs')):
            if value * factor >= 1 or name == 'µs':
                return f'{significant(value * factor)} {name}'
    if unit == 'B':
        for factor, name in ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB'), (1, 'B')):
            if value >= factor or name == 'B':
                return f'{significant(value / factor)} {name}'
    if unit == '%':
        return f'{significant(100 * value)} %'
    return significant(value)


def significant(value: float) -> str:
    """Two digits that count, all digits before the point."""
    if value == 0:
        return '0'
    return f'{value:.2g}' if abs(value) < 10 else f'{value:.0f}'
