import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "open"])
@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check, cube, tmp_path, periodic):
    cube("a/1.cube")
    cube("a/2.cube", positions=((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)), electrons=9.7, seed=1)
    check(component("dataset", "cube", {"files": f"{tmp_path}/a/*", "periodic": periodic}))
