"""Progress where there is no terminal: a line every ten seconds, with the time left."""

from __future__ import annotations

from pathlib import Path

import pytest

from edframe.cli import progress
from edframe.cli.display import Display
from edframe.config.resolve import resolve
from edframe.runs.events import Progress, Step


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test lets pass."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_a_line_every_ten_seconds_with_the_time_left(clock, capsys):
    with progress.progress("work") as advance:
        for done in range(61):  # a piece each two seconds
            advance(done, 60)
            clock(2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["work: 5/60, 1 min 50 s left", "work: 10/60, 1 min 40 s left"]
    assert lines[-1] == "work: 60/60"
    assert len(lines) == 12


def test_what_was_done_before_does_not_count_as_speed(clock, capsys):
    with progress.progress("work") as advance:
        advance(100, 200)
        clock(10)
        advance(110, 200)
    assert capsys.readouterr().out == "work: 110/200, 1 min 30 s left\n"


def test_training_and_evaluation_have_such_lines(clock, registry, capsys):
    experiment, _ = resolve(registry, settings=["training.steps=1000"])
    with Display(experiment, Path("runs/one")) as display:
        for step in range(1, 12):
            display.show(Step(step, 0.5, 1e-3, 0.1, 4.0 * step))
            clock(4)
        for done in range(1, 5):
            display.show(Progress("evaluation", done, 4))
            clock(11)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines == [
        "training: 1000",
        "training: 4/1000, loss 0.5, 1 h 6 min left",
        "training: 7/1000, loss 0.5, 1 h 6 min left",
        "training: 10/1000, loss 0.5, 1 h 6 min left",
        "evaluation: 4",
        "evaluation: 2/4, 22 s left",
        "evaluation: 3/4, 11 s left",
    ]
