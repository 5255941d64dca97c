"""Progress of a dataset's slow work: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

LINE_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """While open, ``advance(done, total)`` shows how far ``what`` has come."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(highlight=False)
    if not console.is_terminal:
        lines = Lines(what)

        def advance(done: int, total: int) -> None:
            if line := lines.line(done, total):
                print(line, flush=True)

        yield advance
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # One DFT calculation may take minutes, so speed is estimated over the last hour.
    with Progress(
        *columns, TextColumn("left"), TimeRemainingColumn(), console=console, speed_estimate_period=3600
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def stopping_keeps_what_is_done() -> Iterator[None]:
    """While open, Ctrl-C ends the command in one sentence that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped; what is done is saved, and the same command continues.", err=True)
        raise typer.Exit(130) from None


class Lines:
    """What is printed of some work where there is no terminal: a line every LINE_EVERY seconds, with the time left."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()
        self._first: int | None = None

    def line(self, done: int, total: int, detail: str = "") -> str | None:
        """The line that is due when ``done`` of ``total`` pieces are; None when none is."""
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if done < total and now - self._said < LINE_EVERY:
            return None
        self._said = now
        speed = (done - self._first) / max(now - self._began, 1e-9)
        left = f"{_span((total - done) / speed)} left" if done < total and speed else ""
        return ", ".join(filter(None, (f"{self._what}: {done}/{total}", detail, left)))


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
