"""What a compiled program sends between devices, read from its text."""

import math
import re
from collections import Counter
from typing import NamedTuple

KINDS = ('all-gather', 'all-reduce', 'reduce-scatter', 'all-to-all', 'collective-permute')
SIZES = {
    'pred': 1, 's8': 1, 'u8': 1, 's16': 2, 'u16': 2, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4,
    'f32': 4, 's64': 8, 'u64': 8, 'f64': 8, 'c64': 8,
}  # fmt: skip
COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) .*\{$')
INSTRUCTION = re.compile(r'= (.*?) ([a-z\-]+)\((.*)$')
SHAPE = re.compile(r'\b(\w+)\[([\d,]*)\]')
CALLED = re.compile(
    r'(?:\w+_computations?|to_apply|body|condition|calls)=\{?(%[\w.\-]+(?:, ?%[\w.\-]+)*)'
)
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
GROUP = re.compile(r'replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\])')


class Collective(NamedTuple):
    """One instruction.

    Attributes:
      kind: one of `KINDS`.
      size: bytes that each device has of the result; of a reduce-scatter, of what is reduced.
      shape: as the program writes it.
      times: how often it runs in one run of the program.
    """

    kind: str
    size: int
    shape: str
    times: int


def collectives(text: str) -> list[Collective]:
    """The collectives of a program, given its HLO text; those in loops with their number of rounds.

    ValueError where the program does not tell how often one of them runs.
    """
    bodies, entry, name = {}, None, None
    for line in text.splitlines():
        start = COMPUTATION.match(line)
        if start:
            name = start[2]
            bodies[name] = []
            entry = name if start[1] else entry
        elif name is not None:
            bodies[name].append(line)
    times = Counter()

    def visit(name, count):
        times[name] += count
        for line in bodies[name]:
            rounds = TRIPS.search(line) if ' while(' in line else None
            factor = int(rounds[1]) if rounds else math.nan if ' while(' in line else 1
            for called in CALLED.findall(line):
                for inner in called.replace('%', '').split(','):
                    if inner.strip() in bodies:
                        visit(inner.strip(), count * factor)

    visit(entry, 1)
    result = [
        each._replace(times=times[name])
        for name, lines in bodies.items()
        for each in map(found, lines)
        if each
    ]
    for each in result:
        if not each.times >= 1:
            raise ValueError(f'{each.kind} of {each.shape}: the program does not tell how often')
    return result


def found(line: str) -> Collective | None:
    """The collective of an instruction, if it is one; the `-start` of an asynchronous one counts."""
    instruction = INSTRUCTION.search(line)
    if not instruction:
        return None
    shape, kind, operands = instruction.groups()
    begun = kind.endswith('-start')
    kind = kind.removesuffix('-start')
    if kind not in KINDS:
        return None
    parts = [bytes_of(part) for part in SHAPE.findall(shape)]
    size = max(parts) if begun and kind != 'all-reduce' else sum(parts)
    if kind == 'reduce-scatter':
        group = GROUP.search(operands)
        size *= len(group[1].split(',')) if group[1] else int(group[2])
    return Collective(kind, size, re.sub(r'\{[\d,]*\}', '', shape), 1)


def bytes_of(part: tuple[str, str]) -> int:
    """Bytes of ('f32', '4,8')."""
    kind, lengths = part
    return SIZES[kind] * math.prod(int(n) for n in lengths.split(',') if n)
