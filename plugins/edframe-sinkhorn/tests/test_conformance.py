import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance(check):
    check(component("loss", "sinkhorn"))


@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance_with_options(check):
    check(component("loss", "sinkhorn", {"blur": 1.5, "tol": 1e-5}))
