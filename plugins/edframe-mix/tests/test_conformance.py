import pytest

from edframe.testing import checks, component

MIXES = {
    "default": {},
    "pointwise": {"weights": {"l1": 0.5, "l2": 2.0}},
    "scheduled": {"weights": {"l1": 1.0, "l2": {"from": 0.0, "to": 3.0, "steps": 100}}},
}


@pytest.mark.parametrize("options", MIXES.values(), ids=MIXES)
@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance(check, options):
    check(component("loss", "mix", options))
