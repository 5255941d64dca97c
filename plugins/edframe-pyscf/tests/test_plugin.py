"""The light module: what it offers, what it refuses, and what it does not import."""

import subprocess
import sys

import pytest
from edframe_pyscf.plugin import LiOLiConfig, edframe_datasets
from pydantic import ValidationError


def test_importing_the_plugin_imports_neither_torch_nor_pyscf():
    heavy = ("torch", "pyscf", "numpy", "pymatgen", "zarr")
    code = f"import sys, edframe_pyscf.plugin; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_offers_the_li_o_li_set_and_calls_it_a_reconstruction():
    (component,) = edframe_datasets()
    assert (component.kind, component.name) == ("dataset", "li-o-li")
    assert "reconstruction" in component.summary


@pytest.mark.parametrize("options", [{"grid": 4}, {"grid": 512}, {"samples": 626}, {"source": "web"}, {"mesh": 48}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        LiOLiConfig(**options)
