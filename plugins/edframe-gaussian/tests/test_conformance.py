"""The checks that every featurizer must pass, run with the options that change what is computed."""

import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("check", checks("featurizer"), ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian", {}),
        ("gaussian", {"channels": "per_atom"}),
        ("sad", {}),
        ("sad", {"widths": ()}),
    ],
    ids=["gaussian", "gaussian-per-atom", "sad", "sad-densities-alone"],
)
def test_conformance(check, name, options):
    check(component("featurizer", name, options))
