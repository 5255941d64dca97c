import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check):
    check(component("dataset", "li-o-li", {"grid": 12, "samples": 8}))
