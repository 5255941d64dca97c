import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check, url):
    check(component("dataset", "store", {"path": str(url)}))
