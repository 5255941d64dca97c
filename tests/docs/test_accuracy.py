"""The accuracy table: its page is that of its results, and its comparisons are of the recipes in configs/."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest

from edframe.config.resolve import resolve, varied
from edframe.contract.registry import Registry
from edframe.runs.directory import Run
from edframe.runs.events import Results


@pytest.fixture
def accuracy(script):
    return script("accuracy")


@pytest.fixture
def pages(script):
    return script("pages")


def test_the_page_is_what_the_results_say(accuracy):
    page = accuracy.PAGE.read_text(encoding="utf-8")
    assert accuracy.tables("small") in page
    (krr,) = [line for line in page.splitlines() if line.startswith("| krr | 4 |")]
    means = [r["metrics"]["nmae"]["mean"] for r in accuracy.results() if (r["model"], r["task"]) == ("krr", "random")]
    mean = sum(means) / 4
    half = 3.1824463 * math.sqrt(sum((m - mean) ** 2 for m in means) / 3) / 2  # Student's t of 3 degrees, tabulated
    assert f"| {mean:.3g} ({mean - half:.3g} – {mean + half:.3g}) |" in krr


@pytest.mark.parametrize("name", ["accuracy-random", "accuracy-corners", "accuracy-clusters"])
def test_the_small_budget_compares_the_recipes_of_the_folder(pages, name):
    registry = Registry.discover()
    tasks = {
        "clusters": {"splits.test": "n>2"}, "clusters-n1": {"splits.test": "n>1"},
        "small-clusters": {"data.options.li2o-clusters.sizes": [1, 2]}, None: {},
    }  # fmt: skip
    compared = pages.compared(name)
    assert len(compared.runs(registry)) == {"accuracy-random": 16, "accuracy-corners": 4, "accuracy-clusters": 6}[name]
    for plan in compared.runs(registry):
        recipe, _ = resolve(registry, pages.ROOT / "configs" / f"{plan.variant}.yaml")
        shared = {"data": compared.base.data.dump(), "splits.test": compared.base.splits.test, "splits.fold": plan.fold}
        if name == "accuracy-clusters":
            shared["training.augment"] = True
        wanted = varied(recipe.dump(), {**shared, **tasks[plan.condition.get("task")]}, registry, "").dump()
        assert {**plan.experiment.dump(), "name": "", "metrics": []} == {**wanted, "name": "", "metrics": []}


def test_the_full_budget_has_all_models_and_tasks_with_long_training(accuracy, pages):
    registry, seen = Registry.discover(), set()
    for recipe in accuracy.RECIPES["full"]:
        for plan in pages.compared(recipe).runs(registry):
            seen.add((plan.variant, plan.condition["task"], plan.fold, plan.seed))
            assert plan.experiment.training.steps == 60000
    assert {task for _, task, _, _ in seen} == set(accuracy.TASKS)
    assert len(seen) == 96 + 72


def test_a_finished_run_of_a_comparison_is_taken_once_into_the_results(
    accuracy, pages, finished, tmp_path, monkeypatch
):
    plan = pages.compared("accuracy-random").runs(Registry.discover())[0]
    result = accuracy.result("small", "accuracy-random", plan, Run(finished))
    (results,) = [event for event in Run(finished).events() if isinstance(event, Results)]
    assert result["metrics"]["nmae"] == asdict(results.metrics["nmae"])
    assert [result[key] for key in accuracy.IDENTITY] == ["small", "krr", "random", 0, 0]
    assert result["by_size"] == {}
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "accuracy.json")
    accuracy.keep([result, {**result, "fold": 1}])
    accuracy.keep([{**result, "seconds": 0.5}])
    kept = json.loads((tmp_path / "accuracy.json").read_text())
    assert [(line["fold"], line["seconds"]) for line in kept] == [(0, 0.5), (1, result["seconds"])]


TINY = """
data: {name: li-o-li, grid: 12, samples: 16}
featurizer: {name: sad}
splits: {validation: 2}
device: cpu
compare:
  recipe:
    unet: {model: {name: unet, widths: [4, 8], blocks: [0, 1]}, loss: l2, training.steps: 3}
    krr: {model: krr, featurizer: {name: gaussian, widths: [0.25]}, loss: l1}
  seeds: 1
"""


def test_runs_of_a_recipe_are_found_once_they_are_finished(pages, edframe, environment, tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.setattr(pages, "RECIPES", tmp_path)
    monkeypatch.setenv("EDFRAME_CACHE", environment["EDFRAME_CACHE"])
    assert pages.finished("tiny", tmp_path / "runs") == []
    assert "tiny: 0 of 2 runs are finished" in capsys.readouterr().out
    monkeypatch.setattr("edframe.comparison.report.write", lambda folder, *_, **__: folder / "compare.html")
    words = ("compare", tmp_path / "tiny.yaml", "--runs", tmp_path / "runs", "--out", tmp_path / "comparison")
    assert edframe(*words, report=False).code == 0
    finished = pages.finished("tiny", tmp_path / "runs")
    assert [(plan.variant, len(outcome.steps), len(outcome.samples)) for plan, outcome in finished] == [
        ("unet", 3, 5), ("krr", 0, 5)
    ]  # fmt: skip
    assert capsys.readouterr().out == ""
