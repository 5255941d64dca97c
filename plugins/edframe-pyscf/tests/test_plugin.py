"""The light module: what it offers, what it refuses, and what it does not import."""

import subprocess
import sys

import pytest
from edframe_pyscf.plugin import EthanolConfig, LiOLiConfig, MoleculesConfig, QM9Config, edframe_datasets
from pydantic import ValidationError


def test_importing_the_plugin_imports_neither_torch_nor_pyscf():
    heavy = ("torch", "pyscf", "numpy", "pymatgen", "zarr")
    code = f"import sys, edframe_pyscf.plugin; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_dataset_is_offered_once_and_the_reconstruction_says_that_it_is_one():
    summaries = {component.name: component.summary for component in edframe_datasets()}
    assert len(summaries) == len(list(edframe_datasets()))
    assert {"li-o-li", "molecules", "qm9-li2025", "md-ethanol"} <= set(summaries)
    assert "reconstruction" in summaries["li-o-li"]


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (LiOLiConfig, {"grid": 4}),
        (LiOLiConfig, {"grid": 512}),
        (LiOLiConfig, {"samples": 626}),
        (LiOLiConfig, {"source": "web"}),
        (LiOLiConfig, {"mesh": 48}),
        (MoleculesConfig, {"level": "pbe"}),
        (MoleculesConfig, {"voxel": 0}),
        (MoleculesConfig, {"margin": 0}),
        (QM9Config, {"voxel": 0.1}),
        (EthanolConfig, {"samples": 0}),
    ],
)
def test_impossible_options_are_refused(config, options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        config(**options)
