"""The page on the 2018 study: its ablation is what its script writes from the results, made by the present recipes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edframe.contract.registry import Registry

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


def test_the_results_are_those_of_the_recipes(dropout, records):
    registry = Registry.discover()
    for dimension in (2, 3):
        planned = dict(dropout.planned(registry, dimension))
        assert len(planned) == len(dropout.RATES) * len(dropout.FOLDS[dimension])
        for key in (key for key, record in records.items() if record["dimension"] == dimension):
            assert planned[key].splits.fold == records[key]["fold"]
            assert planned[key].model.options.dropout == records[key]["dropout"]


def test_the_interval_is_that_of_student(dropout):
    """Oracle: SciPy's interval of the mean."""
    values = np.array([3.1, 2.4, 5.0, 4.2])
    mean, half = dropout.interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_a_rate_that_lacks_a_fold_has_no_row_yet(dropout):
    def record(rate, fold):
        return {"dimension": 2, "dropout": rate, "fold": fold, "nmae": 4.0, "l2": 1.0, "last_training_l2": 0.5}

    found = {f"{rate}{fold}": record(rate, fold) for rate in (0.0, 0.1) for fold in range(4)}
    del found["0.13"]
    rows = dropout.table(found, 2).splitlines()[2:]
    assert rows == ["| 0 | 4.00 ± 0.00 | – | 1 | 0.5 |"]
    assert dropout.table(found, 3) == ""
