"""TensorBoard: event files in the run's folder ``tensorboard``, one for each session of the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams

from edframe.runs.directory import Run

SHOWN = {"validation/nmae": 0.0, "test/nmae": 0.0}
"""Columns of the table of runs, next to the configuration."""


class TensorBoard:
    """An event file, written in this thread: torch's SummaryWriter would lose the last two minutes when the run is
    killed, and print a traceback from its own thread when the disk is full."""

    def __init__(self, run: Run, parameters: Mapping[str, str | float]) -> None:
        folder = run.path / "tensorboard"
        folder.mkdir(exist_ok=True)
        session = len(list(folder.glob("events.out.tfevents.*")))  # files are read in the order of their names
        self._file = (folder / f"events.out.tfevents.{session:06d}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        # What former sessions wrote from this step on, so all of it, is dropped by readers: it is logged again.
        self._write(step=0, session_log=SessionLog(status=SessionLog.START))
        configuration, begin, _ = hparams(dict(parameters), SHOWN)  # type: ignore[no-untyped-call]
        self._write(summary=configuration)
        self._write(summary=begin)
        self._file.flush()

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """One point at ``step`` for each number."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._write(step=step, summary=Summary(value=values))
        self._file.flush()

    def close(self, status: str) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
