"""The page of the model of molecules and its card have the numbers that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ROWS = [json.loads(line) for line in (ROOT / "docs/results/molecules.jsonl").read_text(encoding="utf-8").splitlines()]
CARD = ROOT / "plugins/edframe-models/src/edframe_models/molecules-hcnof/card.md"
OF = {"QM9, of the first 100": "qm9", "ethanol, frames of a trajectory": "ethanol", "the list, its test part": "list"}


@pytest.mark.parametrize("page", [CARD, ROOT / "docs/results/molecules.md"], ids=["card", "page"])
def test_errors_are_the_means_medians_and_largest_of_what_was_measured(page):
    _, _, text = page.read_text(encoding="utf-8").partition("<!-- errors -->\n")
    table, _, _ = text.partition("<!-- /errors -->")
    lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()[2:]]
    assert {line[0] for line in lines} == set(OF)
    for name, count, *numbers in lines:
        errors = [row["nmae"] for row in ROWS if row["of"] == OF[name]]
        base = [row["superposed atoms"] for row in ROWS if row["of"] == OF[name]]
        assert int(count) == len(errors)
        expected = [np.mean(errors), np.median(errors), np.max(errors), np.mean(base)]
        assert [float(x) for x in numbers] == pytest.approx(expected, abs=0.051)


def test_no_molecule_was_measured_twice():
    assert len({row["id"] for row in ROWS}) == len(ROWS)
