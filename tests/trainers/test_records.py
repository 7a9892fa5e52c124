"""What a run writes while it goes."""

import io
import struct

import pytest

from jaxsep.trainers import records


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_plain_lines():
    stream = io.StringIO()
    progress = records.Progress(10, stream)
    progress.update(5, {'loss': 0.5})
    progress.say('saved')
    progress.close()
    first, second = stream.getvalue().splitlines()
    assert first.startswith('5/10  loss 0.5') and 'steps/s' in first and first.endswith('left')
    assert second == 'saved'
    assert '\r' not in stream.getvalue()


def test_a_terminal_gets_a_bar_that_redraws_itself():
    stream = Terminal()
    progress = records.Progress(10, stream)
    for step in (5, 10):
        progress.update(step, {'loss': 0.5})
    progress.close()
    assert stream.getvalue().count('\r\x1b[K') == 2
    assert stream.getvalue().count('\n') == 1
    assert '█' * 20 in stream.getvalue()


def test_durations_read_as_people_write_them():
    assert [records.duration(s) for s in (5, 75, 3675)] == ['0:05', '1:15', '1:01:15']


def test_tensorboard_events_are_written_where_it_is_installed(tmp_path):
    events = pytest.importorskip('tensorboardX.proto.event_pb2')
    record = records.Records(tmp_path, start_step=4)
    record.write(5, {'loss': 0.5, 'error': 0.25})
    record.close()
    (path,) = (tmp_path / 'events').iterdir()
    content, found = path.read_bytes(), []
    while content:  # length, its checksum, event, its checksum
        (length,) = struct.unpack('<Q', content[:8])
        found.append(events.Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    version, start, scalars = found
    assert version.file_version == 'brain.Event:2'
    assert start.step == 5 and start.session_log.status == events.SessionLog.START
    assert scalars.step == 5
    assert {x.tag: x.simple_value for x in scalars.summary.value} == {'loss': 0.5, 'error': 0.25}
    assert records.read(tmp_path / 'metrics.jsonl') == [{'step': 5, 'loss': 0.5, 'error': 0.25}]


def test_a_damaged_line_costs_no_other_line(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    path.write_bytes(b'{"step": 1, "loss": 2}\n{"st\xffp": 2, "loss": 2}\n{"step": 3, "lo\n7\n'
                     b'{"step": 4, "loss": 3}\n{"step": 5, "lo')  # fmt: skip
    kept = [{'step': 1, 'loss': 2}, {'step': 4, 'loss': 3}]
    assert records.read(path) == kept
    records.Records(tmp_path, start_step=4).close()
    assert records.read(path) == kept
