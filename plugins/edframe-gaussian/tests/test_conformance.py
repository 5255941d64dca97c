"""The checks that every featurizer must pass, run with the options that change what is computed."""

import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("check", checks("featurizer"), ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian", {}),
        ("gaussian", {"channels": "per_atom"}),
        ("atoms", {}),
        ("atoms", {"widths": ()}),
        ("sad", {}),
        ("sad", {"widths": ()}),
    ],
    ids=["gaussian", "gaussian-per-atom", "atoms", "atoms-densities-alone", "sad", "sad-densities-alone"],
)
def test_conformance(check, name, options):
    check(component("featurizer", name, options))
