import pytest

from edframe.testing import checks, component

# The densities of the checks fill a periodic box, which ``sliced`` refuses unless it is told to cut them all the same.
# In a skewed cell the cut is another one, so that check is run as it is: ``sliced`` must refuse.
OPTIONS = {"wasserstein": {}, "sliced": {"max_near_cut": 1.0}}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance(check, name):
    skewed = str(check) == "skewed_cell_is_exact_or_refused"
    check(component("loss", name, {} if skewed else OPTIONS[name]))
