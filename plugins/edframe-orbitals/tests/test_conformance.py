"""The checks that every component passes."""

from __future__ import annotations

import pytest

from edframe.testing import checks, component

SMALL = {"orbital_steps": 3, "orbital_points": 60, "table": 600, "steps": 10, "width": 8, "members": 2}


@pytest.mark.parametrize("check", checks("featurizer"), ids=str)
def test_conformance(check):
    check(component("featurizer", "orbitals", SMALL))
