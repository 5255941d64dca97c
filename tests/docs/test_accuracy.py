"""The accuracy table: its commands are valid, its page is that of its results, and what is finished stays so."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest

from edframe.runs.directory import Run
from edframe.runs.events import Results


@pytest.fixture
def accuracy(script):
    return script("accuracy")


def test_the_page_is_what_the_results_say(accuracy):
    page = accuracy.PAGE.read_text(encoding="utf-8")
    assert accuracy.tables("small") in page
    (krr,) = [line for line in page.splitlines() if line.startswith("| krr | 4 |")]
    means = [r["metrics"]["nmae"]["mean"] for r in accuracy.results() if (r["model"], r["task"]) == ("krr", "random")]
    mean = sum(means) / 4
    half = 3.1824463 * math.sqrt(sum((m - mean) ** 2 for m in means) / 3) / 2  # Student's t of 3 degrees, tabulated
    assert f"| {mean:.3g} ({mean - half:.3g} – {mean + half:.3g}) |" in krr


@pytest.mark.parametrize("budget", ["small", "full"])
def test_every_command_is_valid(accuracy, budget, edframe):
    plans = list(accuracy.planned(budget))
    assert len({plan.name for plan in plans}) == len(plans)
    kinds = {(plan.model, plan.task): plan for plan in plans if plan.fold == 0 and plan.seed == 0}
    for plan in kinds.values():
        recipe = str(accuracy.ROOT / plan.command("cpu")[1])
        assert edframe("config", "show", recipe, *plan.command("cpu")[2:]).code == 0


def test_a_finished_run_is_read_and_not_made_again(accuracy, finished, tmp_path, monkeypatch):
    plan = accuracy.Planned("small", "unet", "random", 0, 0)
    monkeypatch.setattr(accuracy, "RUNS", tmp_path)
    (tmp_path / "small" / plan.name).mkdir(parents=True)
    (tmp_path / "small" / plan.name / "run").symlink_to(finished)
    monkeypatch.setattr(accuracy, "edframe", lambda *_: pytest.fail("it was run again"))
    found = accuracy.carry_out(plan, "cpu")
    (results,) = [event for event in Run(finished).events() if isinstance(event, Results)]
    assert found["metrics"]["nmae"] == asdict(results.metrics["nmae"])
    assert found["by_size"] == {}
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "accuracy.json")
    accuracy.keep(found)
    accuracy.keep({**found, "fold": 1})
    assert [result["fold"] for result in json.loads((tmp_path / "accuracy.json").read_text())] == [0, 1]
