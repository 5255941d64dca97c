import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("name", ["l1", "l2", "smooth-l1"])
@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance(check, name):
    check(component("loss", name))
