"""CRC-32 of the files of a checkpoint, written before the checkpoint gets its name.

A truncated file is noticed by orbax and TensorStore, a flipped bit in the numbers of an array is
not: it comes back as another number.
"""

import asyncio
import json
import pathlib
import zlib

import orbax.checkpoint as ocp

FILE = 'checksums.json'
LATER = ('_CHECKPOINT_METADATA', 'commit_success.txt')  # written by orbax after the sums
CHUNK = 1 << 20


class Summed(ocp.path.atomicity.AtomicRenameTemporaryPath):
    """Where orbax writes a checkpoint until it is whole; writes the sums in orbax's thread."""

    async def finalize(self) -> None:
        """Adds the sums and gives the directory its final name."""
        await asyncio.to_thread(write, pathlib.Path(self.get()))
        await super().finalize()


def write(directory: pathlib.Path) -> None:
    """Sums all files below the directory, but for those of `LATER`."""
    paths = (path for path in sorted(directory.rglob('*')) if path.is_file())
    names = [path.relative_to(directory).as_posix() for path in paths]
    sums = {name: of_file(directory / name) for name in names if name not in LATER}
    (directory / FILE).write_text(json.dumps(sums, indent=0) + '\n')


def check(directory: pathlib.Path) -> None:
    """Raises ValueError naming the first file that is missing or not as it was written.

    A checkpoint without sums, written by jaxsep before it had them, passes.
    """
    directory = pathlib.Path(directory)
    if not (directory / FILE).exists():
        return
    try:
        sums = json.loads((directory / FILE).read_bytes())
    except ValueError as error:
        raise ValueError(f'{FILE} is not as it was written') from error
    for name, expected in sums.items():
        if not (directory / name).exists():
            raise ValueError(f'{name} is missing')
        if of_file(directory / name) != expected:
            raise ValueError(f'{name} is not as it was written')


def of_file(path: pathlib.Path) -> int:
    """CRC-32 of a file's bytes, read in pieces."""
    total = 0
    with path.open('rb') as file:
        while piece := file.read(CHUNK):
            total = zlib.crc32(piece, total)
    return total
