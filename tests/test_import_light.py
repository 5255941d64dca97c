"""What the command line needs to list plugins must not import what only a run needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "pymatgen", "pyscf", "matplotlib", "zarr", "scipy", "lightning_fabric")


def imported(code):
    """Those of HEAVY that a fresh interpreter has after running ``code``."""
    report = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import edframe",
        "import edframe.plugin",
        "import edframe.config.experiment",
        "import edframe.interfaces",
        "import edframe.sample",
        "import edframe.testing",
        "from edframe.contract.registry import Registry; Registry.discover()",
        "from edframe.config.schema import schema; from edframe.contract.registry import Registry\n"
        "schema(Registry.discover())",
    ],
)
def test_import_is_light(code):
    assert imported(code) == []


def test_prediction_does_without_the_library_of_training():
    """It imports PyTorch's compiler, which takes as long as all else that a small prediction needs."""
    assert "lightning_fabric" not in imported("import edframe.predict.ensemble, edframe.runs.build")


def test_a_prediction_does_without_scipy(tmp_path):
    """Its interpolation imports its optimisers, which takes as long as half of a small prediction without PyTorch."""
    code = (
        "import numpy as np\n"
        "from pymatgen.core.structure import Structure\n"
        "from edframe.grid import Grid\n"
        "from edframe.interfaces import Contents\n"
        "from edframe.predict.novelty import TrainingSet\n"
        "from edframe.contract.registry import Registry\n"
        "atoms = Structure(4 * np.eye(3), ['Li', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])\n"
        "sad = Registry.discover().get('featurizer', 'sad')\n"
        "sad.load()(sad.config(), Contents(('Li', 'O'), 3))([atoms], Grid.of(atoms.lattice.matrix, 8), 'cpu')\n"
        "known = {'Li': np.zeros((1, 120), np.float32)}\n"
        "TrainingSet(('Li', 'O'), known, {'Li': 1.0}).judge(atoms)"
    )
    assert "scipy" not in imported(code)


def test_heavy_imports_would_be_seen():
    assert imported("import torch") == ["torch"]


def test_discovery_sees_the_plugins_of_this_repository():
    """Or the check of discovery above proves nothing."""
    code = "from edframe.contract.registry import Registry; assert 'unet' in Registry.discover().names('model')"
    assert imported(code) == []
