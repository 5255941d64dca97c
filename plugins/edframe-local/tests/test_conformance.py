"""The checks that every component passes."""

from __future__ import annotations

import pytest

from edframe.testing import checks, component

SMALL = {"cutoff": 3.0, "pairs": 6, "radial": 3, "angular": 2, "triples": 20, "products": 10, "points": 2000}
OPTIONS = {
    ("featurizer", "local"): SMALL,
    ("featurizer", "local-network"): {**SMALL, "steps": 20, "width": 8, "inputs": 10, "table": 2000},
    ("model", "baseline"): {},
}


@pytest.mark.parametrize(
    ("kind", "name", "check"), [(*key, check) for key in OPTIONS for check in checks(key[0])], ids=str
)
def test_conformance(kind, name, check):
    check(component(kind, name, OPTIONS[kind, name]))
