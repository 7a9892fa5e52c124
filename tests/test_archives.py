import concurrent.futures
import os
import pathlib
import pickle
import sys

import numpy as np
import pytest

from jaxsep.archives import (
    Archive,
    decoded,
    fetch,
    folder,
    members,
    read_deb,
    unpickle_array,
)

FILES = {'package/a.txt': b'first', 'package/b/c.bin': bytes(range(256))}


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """npm(script): a program `npm` on PATH that runs these lines in the working folder.

    With `name` it is another program.
    """
    place = tmp_path / 'bin'
    place.mkdir()
    monkeypatch.setenv('PATH', f'{place}{os.pathsep}{os.environ["PATH"]}')

    def install(script, content=b'', name='npm'):
        (place / 'content').write_bytes(content)
        program = place / name
        program.write_text(f'#!/bin/sh\nCONTENT={place}/content\nCALLS={place}/calls\n{script}\n')
        program.chmod(0o755)
        return place / 'calls'

    return install


@pytest.mark.parametrize('kind', ['pypi', 'npm', 'deb'])
def test_members_are_the_files_that_were_packed(packed, kind):
    found = members(packed(kind, 'thing', FILES))
    assert {name: read() for name, read in found.items()} == FILES
    assert found['package/a.txt']() == b'first'  # again, out of order


def test_what_was_fetched_is_kept_and_not_fetched_again(packed, npm):
    archive, data = packed('npm', '@scope/thing@1.0.0', FILES, keep=False)
    calls = npm('echo "$@" >> $CALLS; cp $CONTENT thing-1.0.0.tgz', data)
    path = fetch(archive)
    assert path.read_bytes() == data and path.name == 'thing-1.0.0.tgz'
    assert fetch(archive) == path and fetch(archive).read_bytes() == data
    (call,) = calls.read_text().splitlines()
    assert call.startswith('pack ') and call.endswith(' @scope/thing@1.0.0')
    assert os.listdir(folder(archive)) == ['thing-1.0.0.tgz']


def test_wheels_are_downloaded_by_pip_without_dependencies_or_builds(packed, npm, monkeypatch):
    archive, data = packed('pypi', 'thing==1.0', FILES, keep=False)
    calls = npm('echo "$@" >> $CALLS; cp $CONTENT thing-1.0-py3-none-any.whl', data)
    monkeypatch.setattr(sys, 'executable', str(calls.parent / 'npm'))
    assert fetch(archive).read_bytes() == data
    words = calls.read_text().split()
    assert words[:3] == ['-m', 'pip', 'download'] and words[-1] == 'thing==1.0'
    assert {'--no-deps', '--only-binary=:all:'} <= set(words)


def test_debian_packages_are_downloaded_by_apt_get_in_one_version(packed, npm):
    archive, data = packed('deb', 'thing=1:1.0~a-1', FILES, keep=False)
    calls = npm('echo "$@" >> $CALLS; cp $CONTENT thing_1%3a1.0_all.deb', data, name='apt-get')
    assert members(archive)['package/a.txt']() == b'first'
    words = calls.read_text().split()
    assert 'download' in words and words[-1] == 'thing=1:1.0~a-1'
    assert os.listdir(folder(archive)) == ['thing_1%3a1.0_all.deb']


def test_an_unknown_debian_package_is_reported_in_one_line(packed, npm):
    archive, _ = packed('deb', 'thing=1', FILES, keep=False)
    npm('echo "W: run as root" >&2; echo "E: No such thing" >&2; exit 100', name='apt-get')
    with pytest.raises(OSError) as caught:
        fetch(archive)
    message = str(caught.value)
    assert '\n' not in message and 'E: No such thing' in message and 'W: ' not in message
    assert '`apt-get download thing=1`' in message and str(folder(archive)) in message


def test_without_apt_get_the_message_says_so(packed, monkeypatch, tmp_path):
    archive, _ = packed('deb', 'thing=1', FILES, keep=False)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(OSError, match='apt-get is not installed.*apt-get download thing=1'):
        fetch(archive)


@pytest.mark.parametrize('damage', ['no ar', 'no data', 'data cut', 'header cut', 'no tar'])
def test_damaged_debian_packages_are_named(packed, tmp_path, damage):
    _, data = packed('deb', 'thing=1', FILES, keep=False)
    broken = {
        'no ar': b'PK' + data[2:],
        'no data': data.replace(b'data.tar.xz', b'more.tar.xz'),
        'data cut': data[:-40],
        'header cut': data[:100],
        'no tar': data.replace(b'7zXZ', b'7zip'),
    }
    path = tmp_path / 'thing.deb'
    path.write_bytes(broken[damage])
    with pytest.raises(ValueError, match=f'{path}: .*data.tar'):
        read_deb(path)


def test_a_wrong_checksum_names_both_and_nothing_is_kept(packed, npm):
    archive, data = packed('npm', 'thing@1.0.0', FILES, keep=False)
    npm('cp $CONTENT thing.tgz', data + b'!')
    with pytest.raises(ValueError, match=rf'thing@1.0.0.*expected sha256 {archive.sha256}, got '):
        fetch(archive)
    assert os.listdir(folder(archive)) == []


def test_another_file_in_the_cache_is_refused_and_left_there(packed):
    archive = packed('pypi', 'thing==1.0', FILES)
    other = archive._replace(sha256='0' * 64)
    with pytest.raises(ValueError, match=rf'expected sha256 0+, got {archive.sha256}.*remove'):
        fetch(other)
    assert len(os.listdir(folder(archive))) == 1


def test_a_download_that_stops_halfway_leaves_nothing(packed, npm):
    archive, data = packed('npm', 'thing@1.0.0', FILES, keep=False)
    npm('head -c 50 $CONTENT > thing.tgz; exit 1', data)
    with pytest.raises(OSError, match='thing@1.0.0'):
        fetch(archive)
    assert os.listdir(folder(archive)) == []


def test_without_network_one_line_names_package_reason_and_folder(packed, npm):
    archive, _ = packed('npm', 'thing@1.0.0', FILES, keep=False)
    npm('echo "npm warn old" >&2; echo "npm error code ENOTFOUND" >&2; exit 1')
    with pytest.raises(OSError) as caught:
        fetch(archive)
    message = str(caught.value)
    assert '\n' not in message and 'ENOTFOUND' in message
    assert '`npm pack thing@1.0.0`' in message and str(folder(archive)) in message


def test_without_npm_the_message_says_so(packed, monkeypatch, tmp_path):
    archive, _ = packed('npm', 'thing@1.0.0', FILES, keep=False)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(OSError, match='npm is not installed.*npm pack thing@1.0.0'):
        fetch(archive)


def test_without_pip_the_message_says_so(packed, npm, monkeypatch):
    archive, _ = packed('pypi', 'thing==1.0', FILES, keep=False)
    calls = npm('echo "python: No module named pip" >&2; exit 1')
    monkeypatch.setattr(sys, 'executable', str(calls.parent / 'npm'))
    with pytest.raises(OSError, match='No module named pip.*pip download.*thing==1.0'):
        fetch(archive)


def test_several_at_once_all_get_the_whole_file(packed, npm):
    archive, data = packed('npm', 'thing@1.0.0', FILES, keep=False)
    npm('head -c 50 $CONTENT > thing.tgz; sleep 0.1; cp $CONTENT thing.tgz', data)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [archive] * 4))
    assert set(paths) == {folder(archive) / 'thing.tgz'}
    assert paths[0].read_bytes() == data
    assert os.listdir(folder(archive)) == ['thing.tgz']


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path / 'file'))
    with pytest.raises(OSError, match='JAXSEP_CACHE'):
        fetch(Archive('npm', 'thing@1.0.0', '0' * 64))


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="kind: expected one of pypi, npm, deb, got 'rpm'"):
        fetch(Archive('rpm', 'thing', '0' * 64))


def test_decoded_arrays_are_read_again_until_archive_or_name_changes(packed):
    archive = packed('pypi', 'thing==1.0', FILES)
    made = []

    def decode():
        made.append(1)
        return {'x': np.arange(3), 'names': np.array(['a', 'bc'])}

    for _ in range(2):
        arrays = decoded([archive], 'thing-8', decode)
        assert arrays['names'].tolist() == ['a', 'bc'] and arrays['x'].tolist() == [0, 1, 2]
    assert len(made) == 1
    decoded([archive], 'thing-16', decode)
    decoded([archive._replace(sha256='1' * 64)], 'thing-8', decode)
    assert len(made) == 3


def test_a_damaged_file_of_decoded_arrays_is_made_anew(packed):
    archive = packed('pypi', 'thing==1.0', FILES)
    decoded([archive], 'thing', lambda: {'x': np.arange(100)})
    (path,) = folder(archive).glob('*.npz')
    for damaged in (path.read_bytes()[:200], b'', b'not an archive'):
        path.write_bytes(damaged)
        assert decoded([archive], 'thing', lambda: {'x': np.arange(5)})['x'].tolist() == [*range(5)]
        with np.load(path) as file:
            assert file['x'].tolist() == [0, 1, 2, 3, 4]


def test_arrays_are_decoded_even_where_they_cannot_be_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path / 'nowhere'))
    archive = Archive('npm', 'thing@1.0.0', '0' * 64)
    assert decoded([archive], 'thing', lambda: {'x': np.ones(2)})['x'].tolist() == [1, 1]


@pytest.mark.parametrize('dtype', ['u1', '<f4', '>i2', '?', 'U3'])
@pytest.mark.parametrize('protocol', [3, 4])
def test_pickled_arrays_come_back(dtype, protocol):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for module in (b'numpy._core', b'numpy.core') if protocol == 3 else (b'numpy._core',):
        data = pickle.dumps(array, protocol=protocol).replace(b'numpy._core', module)
        np.testing.assert_array_equal(unpickle_array(data), array)


class Touch:
    """Pickles as the call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_pickles_of_anything_else_are_refused_and_not_run(tmp_path):
    path = tmp_path / 'touched'
    objects = np.empty(1, object)
    objects[0] = Touch(path)
    for thing in (Touch(path), objects, np.array([None]), [1, 2], np.float32(1), print):
        with pytest.raises(ValueError, match='pickle refused'):
            unpickle_array(pickle.dumps(thing, protocol=4))
    for damaged in (b'', b'garbage', pickle.dumps(np.arange(9), protocol=4)[:-9]):
        with pytest.raises(ValueError, match='pickle refused'):
            unpickle_array(damaged)
    assert not path.exists()
