"""No file of a checkpoint can change without being noticed."""

import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxsep.trainers import checksums


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp('saved') / 'tree'
    noise = np.random.default_rng(0).normal(size=(100, 30)).astype(np.float32)
    with ocp.StandardCheckpointer(temporary_path_class=checksums.Summed) as saver:
        saver.save(path, {'w': noise, 'zeros': np.zeros(5, np.float32)})
    return path


def files(path):
    return [p for p in sorted(path.rglob('*')) if p.is_file() and p.name not in checksums.LATER]


def test_every_file_has_its_sum_when_the_checkpoint_gets_its_name(saved):
    sums = json.loads((saved / checksums.FILE).read_text())
    assert set(sums) == {p.relative_to(saved).as_posix() for p in files(saved)} - {checksums.FILE}
    assert any(p.stat().st_size > 10_000 for p in files(saved)), 'the array is among them'
    checksums.check(saved)


def test_one_flipped_bit_is_noticed_in_every_file(saved):
    rng = np.random.default_rng(0)
    for path in files(saved):
        content = path.read_bytes()
        for _ in range(20):
            flipped = bytearray(content)
            flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            with pytest.raises(ValueError):
                checksums.check(saved)
        path.write_bytes(content)
    checksums.check(saved)


def test_what_is_missing_or_cut_off_is_named(saved):
    path = max(files(saved), key=lambda p: p.stat().st_size)
    content, name = path.read_bytes(), path.relative_to(saved).as_posix()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f'{name} is not as it was written'):
        checksums.check(saved)
    path.unlink()
    with pytest.raises(ValueError, match=f'{name} is missing'):
        checksums.check(saved)
    path.write_bytes(content)


def test_a_checkpoint_from_before_there_were_sums_passes(tmp_path):
    (tmp_path / 'state').write_bytes(b'as it was')
    checksums.check(tmp_path)


def test_the_sum_is_that_of_the_whole_file(tmp_path):
    import zlib

    content = np.random.default_rng(0).bytes(checksums.CHUNK * 2 + 17)
    (tmp_path / 'large').write_bytes(content)
    assert checksums.of_file(tmp_path / 'large') == zlib.crc32(content)
