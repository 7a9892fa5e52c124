"""A file system that refuses is told in one line, and nothing half-written stays."""

import errno
import os
import pathlib

import pytest

from jaxsep.errors import NotWritten
from jaxsep.trainers import events, records
from jaxsep.trainers.writing import last_good, refusal, write_whole, writing

FULL = pathlib.Path('/dev/full')
full = pytest.mark.skipif(
    not FULL.exists() or not pathlib.Path('/proc/self/fd').exists(),
    reason='there is no /dev/full, where no room is ever left',
)


def test_the_newest_checkpoint_is_the_one_with_the_highest_number(tmp_path):
    assert last_good(tmp_path / 'checkpoints') == 'none was saved'
    for name in ('9', '40', '100', '120.orbax-checkpoint-tmp', 'unreadable-110'):
        (tmp_path / 'checkpoints' / name).mkdir(parents=True)
    assert last_good(tmp_path / 'checkpoints') == 'step 100'


def test_a_refusal_is_recognised_in_what_tensorstore_says():
    said = ValueError("RESOURCE_EXHAUSTED: Failed to write 957 bytes [os_error_code='28']")
    assert refusal(said) == 'No space left on device'
    assert refusal(OSError(errno.EROFS, 'Read-only file system')) == 'Read-only file system'
    assert refusal(ValueError('shapes differ')) is None


def test_the_message_names_what_where_why_and_what_is_safe(tmp_path):
    (tmp_path / 'checkpoints' / '40').mkdir(parents=True)
    with pytest.raises(NotWritten) as caught:
        with writing('step 60', tmp_path):
            raise OSError(errno.ENOSPC, 'No space left on device')
    assert str(caught.value) == (
        f'step 60 cannot be written in {tmp_path} (No space left on device); '
        'last good checkpoint: step 40'
    )
    (tmp_path / 'checkpoints' / '50').mkdir()  # its save was under way
    assert str(caught.value).endswith('; last good checkpoint: step 50')
    with pytest.raises(NotWritten, match='device.; the rest is there'):
        with writing('report.html', tmp_path, 'the rest is there'):
            raise OSError(errno.ENOSPC, 'No space left on device')


def test_other_errors_keep_their_names(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with writing('step 60', tmp_path):
            1 / 0  # noqa: B018


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'results.json'
    write_whole(path, 'first')
    write_whole(path, 'second')
    assert path.read_text() == 'second'
    (tmp_path / 'results.tmp').mkdir()
    with pytest.raises(OSError):
        write_whole(path, 'third')
    assert path.read_text() == 'second'


@full
def test_on_a_full_disk_the_old_file_stays_and_no_temporary_one(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('before')
    (tmp_path / 'results.tmp').symlink_to(FULL)
    with pytest.raises(OSError, match='No space left'):
        write_whole(path, 'after')
    assert [p.name for p in tmp_path.iterdir()] == ['results.json']
    assert path.read_text() == 'before'


def fill_up(path):
    """From now on what this process writes to the open file finds no room."""
    found = [fd for fd in pathlib.Path('/proc/self/fd').glob('*') if fd.resolve() == path.resolve()]
    assert found, f'{path} is not open'
    with FULL.open('wb') as device:
        for fd in found:
            os.dup2(device.fileno(), int(fd.name))


@full
@pytest.mark.parametrize('file', ['metrics.jsonl', 'events/*'])
def test_metrics_that_find_no_room_name_their_step_and_can_be_closed(tmp_path, file, monkeypatch):
    monkeypatch.setattr(events, 'FLUSH_SECONDS', 0)
    record = records.Records(tmp_path)
    record.write(30, {'loss': 0.6})
    (path,) = tmp_path.glob(file)
    fill_up(path)
    message = f'metrics.jsonl of step 35 cannot be written in {tmp_path} .No space left on device.'
    with pytest.raises(NotWritten, match=message):
        record.write(35, {'loss': 0.5})
    record.close()
    assert records.read(tmp_path / 'metrics.jsonl')[0] == {'step': 30, 'loss': 0.6}
