"""TensorBoard's event files, where tensorboardX is installed."""

import importlib.util
import os
import pathlib
import socket
import time

FLUSH_SECONDS = 120  # a flush waits for the disk


def open_events(directory: pathlib.Path, purge_step: int) -> 'Events | None':
    """TensorBoard events; None where tensorboardX is not installed."""
    if importlib.util.find_spec('tensorboardX') is None:
        return None
    return Events(directory, purge_step)


class Events:
    """TensorBoard events, written by the thread that calls, so that errors come out here.

    Args:
      purge_step: TensorBoard forgets what an earlier run wrote from this step on.
    """

    def __init__(self, directory: pathlib.Path, purge_step: int):
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        directory.mkdir(parents=True, exist_ok=True)
        name = f'events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}'
        self._writer = RecordWriter(str(directory / name))
        self._write(file_version='brain.Event:2')
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(step=purge_step, session_log=start)
        self._flushed = time.monotonic()

    def _write(self, **content) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._writer.write(event.SerializeToString())

    def write(self, step: int, metrics: dict[str, float]) -> None:
        values = [self._summary.Value(tag=k, simple_value=v) for k, v in metrics.items()]
        self._write(step=step, summary=self._summary(value=values))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        self._writer.close()
