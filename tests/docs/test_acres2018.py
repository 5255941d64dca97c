"""The page on the 2018 study: its ablation is what its script writes from the results, made by the present recipes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edframe.comparison.outcome import Outcome
from edframe.config.resolve import resolve, varied
from edframe.contract.registry import Registry
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Step

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "acres2018.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dropout(script):
    return script("dropout")


@pytest.fixture(scope="module")
def records():
    return json.loads((DOCS / "results" / "dropout.json").read_text(encoding="utf-8"))


def test_the_tables_of_the_page_are_those_of_the_results(dropout, records):
    for dimension in {record["dimension"] for record in records.values()}:
        assert dropout.table(records, dimension) in PAGE


@pytest.mark.parametrize(("dimension", "steps"), [(2, 400), (3, 1000)])
def test_the_results_are_those_of_the_recipes(script, dropout, records, dimension, steps):
    registry, pages = Registry.discover(), script("pages")
    planned = set()
    for plan in pages.compared(dropout.RECIPES[dimension]).runs(registry):
        source = "acres2018-2d" if dimension == 2 else "acres2018"
        recipe, _ = resolve(registry, pages.ROOT / "configs" / f"{source}.yaml")
        values = {"model.dropout": float(plan.variant), "splits.fold": plan.fold, "training.steps": steps}
        expected = varied(recipe.dump(), values, registry, "").dump()
        assert {**plan.experiment.dump(), "name": "", "metrics": []} == {**expected, "name": "", "metrics": []}
        planned.add((float(plan.variant), plan.fold, plan.experiment.training.steps))
    kept = {(r["dropout"], r["fold"], r["steps"]) for r in records.values() if r["dimension"] == dimension}
    assert kept == planned


def test_a_finished_run_of_a_comparison_takes_the_place_of_the_same_rate_and_fold(script, dropout, finished, records):
    plan = next(iter(script("pages").compared("acres2018-dropout-2d").runs(Registry.discover())))
    new = dropout.record(2, plan, Outcome.read(Run(finished), plan.variant, plan.condition, plan.fold, plan.seed))
    events = Run(finished).events()
    nmae = [event.metrics["nmae"] for event in events if isinstance(event, Evaluated)]
    assert new["nmae"] == pytest.approx(np.mean(nmae), abs=1e-4)
    assert new["last_training_l2"] == pytest.approx(
        np.mean([event.loss for event in events if isinstance(event, Step)]), abs=1e-4
    )
    joined = dropout.joined(records, {"new": new})
    assert len(joined) == len(records)
    assert joined["new"] == new
    assert sum(records[name] == entry for name, entry in joined.items() if name != "new") == len(records) - 1


def test_the_interval_is_that_of_student(dropout):
    """Oracle: SciPy's interval of the mean."""
    values = np.array([3.1, 2.4, 5.0, 4.2])
    mean, half = dropout.interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_a_rate_that_lacks_a_fold_has_no_row_yet(dropout):
    def record(rate, fold):
        return {"dimension": 2, "dropout": rate, "fold": fold, "nmae": 4.0, "l2": 1.0, "last_training_l2": 0.5}

    by_name = {f"{rate}{fold}": record(rate, fold) for rate in (0.0, 0.1) for fold in range(4)}
    del by_name["0.13"]
    rows = dropout.table(by_name, 2).splitlines()[2:]
    assert rows == ["| 0 | 4.00 ± 0.00 | – | 1 | 0.5 |"]
    assert dropout.table(by_name, 3) == ""
