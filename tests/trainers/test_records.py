"""What a run writes while it goes."""

import io

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
    record = records.Records(tmp_path)
    record.write(1, {'loss': 0.5})
    record.close()
    assert list((tmp_path / 'events').iterdir())
    assert records.read(tmp_path / 'metrics.jsonl') == [{'step': 1, 'loss': 0.5}]
