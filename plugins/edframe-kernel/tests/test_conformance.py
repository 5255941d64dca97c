import pytest

from edframe.testing import checks, component

# The cells of the checks are too small for waves below the default of ``low-g``, which it refuses.
OPTIONS = {"coulomb": {}, "low-g": {"below": 3.0}, "mmd": {}, "energy": {}}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance(check, name):
    check(component("loss", name, OPTIONS[name]))
