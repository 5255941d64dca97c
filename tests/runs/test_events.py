"""Events are lines of JSON: written as they always were, read back as they were, and refused when they are damaged."""

from __future__ import annotations

import json
import math

import pytest

from edframe.errors import RunError
from edframe.runs.events import (
    Evaluated,
    Fit,
    Metric,
    Progress,
    Results,
    Step,
    Timing,
    Unconverged,
    Validation,
    read,
    to_dict,
    to_lines,
)

# What stands in metrics.jsonl of runs of the first version, and what it means.
LINES = {
    '{"event": "step", "step": 3, "loss": 0.5, "learning_rate": 0.001, "gradient_norm": 0.25, "seconds": 1.5, '
    '"marginal_error": 0.125, "sinkhorn.unconverged": 0.0}': Step(
        3, 0.5, 0.001, 0.25, 1.5, {"marginal_error": 0.125, "sinkhorn.unconverged": 0.0}
    ),
    '{"event": "validation", "step": 3, "nmae": 5.5, "seconds": 1.5}': Validation(3, 5.5, 1.5),
    '{"event": "fit", "step": 1, "samples": 79, "seconds": 2.5, "found": {"kernel width": 3.0}}': Fit(
        1, 79, 2.5, {"kernel width": 3.0}
    ),
    '{"event": "timing", "step": 3, "steps": 3, "data": 0.5, "forward": 1.0, "peak_memory": 1024}': Timing(
        3, 3, {"data": 0.5, "forward": 1.0}, 1024
    ),
    '{"event": "unconverged", "during": "training", "diagnostic": "unconverged", "count": 1, "of": 3, "step": 3}': (
        Unconverged("training", "unconverged", 1, 3, 3)
    ),
    '{"event": "sample", "id": "a", "group": 7, "nmae": 5.0, "l2": 0.25, "diagnostics": {"l2.x": 1.0}}': Evaluated(
        "a", {"nmae": 5.0, "l2": 0.25}, 7, {"l2.x": 1.0}
    ),
    '{"event": "sample", "id": "b", "nmae": 5.0}': Evaluated("b", {"nmae": 5.0}),
    '{"event": "summary", "samples": 2, "metrics": {"nmae": {"unit": "%", "mean": 5.0, "median": 5.0, "max": 6.0, '
    '"low": 4.0, "high": 6.0}}}': Results(2, {"nmae": Metric("%", 5.0, 5.0, 6.0, 4.0, 6.0)}),
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize(("line", "event"), LINES.items(), ids=lambda value: type(value).__name__)
def test_lines_of_existing_runs_are_read_and_written_alike(file, line, event):
    file.write_text(line + "\n")
    assert read(file) == [event]
    assert json.loads(to_lines([event])) == json.loads(line)


def test_numbers_that_are_not_finite_come_back(file):
    file.write_text(to_lines([Step(1, math.inf, 1e-3, math.nan, 0.5)]))
    (event,) = read(file)
    assert event.loss == math.inf
    assert math.isnan(event.gradient_norm)


def test_the_loss_of_a_validation_comes_back(file):
    file.write_text(to_lines([Validation(4, 5.0, 2.0, 0.125)]))
    assert json.loads(file.read_text())["loss"] == 0.125
    assert read(file) == [Validation(4, 5.0, 2.0, 0.125)]


def test_a_last_line_cut_short_by_a_kill_is_left_out_wherever_it_was_cut(file):
    first, second = Validation(1, 5.0, 2.0), Evaluated("ä", {"nmae": 5.0})
    whole = to_lines([first, second])
    for end in range(len(to_lines([first])) + 1, len(whole) - 1):
        file.write_text(whole[:end])
        assert read(file) == [first]


DAMAGED = {
    "not JSON": ('{"event": "st', r"is not JSON \(Unterminated string"),
    "no object": ("[1]", "holds list, not a JSON object"),
    "a field lacks": ('{"event": "step", "step": 1}', "is a step event without 'loss'"),
    "a text for a number": (
        '{"event": "validation", "step": 1, "nmae": "low", "seconds": 1}',
        "is a validation event whose 'nmae' is 'low': input should be a valid number",
    ),
    "a later edframe's": ('{"event": "restart"}', "has the event 'restart', which this edframe does not know"),
    "no event": ('{"step": 1}', "has the event None"),
}


@pytest.mark.parametrize(("line", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_named_in_one_sentence(file, line, sentence):
    file.write_text(f"{to_lines([Validation(1, 5.0, 2.0)])}{line}\n{to_lines([Validation(2, 5.0, 2.0)])}")
    with pytest.raises(RunError, match=rf"metrics\.jsonl, line 2, {sentence}.*; remove or fix that line$") as caught:
        read(file)
    assert "\n" not in str(caught.value)


def test_progress_is_plain_data_too():
    assert to_dict(Progress("fitting", 1, 2)) == {"event": "progress", "what": "fitting", "done": 1, "total": 2}
