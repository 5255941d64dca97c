"""What the distributions promise about types, to type checkers and to the tests."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import flit_core.buildapi
import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda path: path.name)
def test_the_wheel_says_that_it_is_typed(distribution, tmp_path):
    with contextlib.chdir(distribution):
        name = flit_core.buildapi.build_wheel(str(tmp_path))
    package = name.partition("-")[0]
    assert f"{package}/py.typed" in zipfile.ZipFile(tmp_path / name).namelist()
