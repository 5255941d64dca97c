"""Formats whose library is not installed: one sentence that names the extra, on use alone."""

from __future__ import annotations

import sys

import pytest

from edframe import io
from edframe.errors import MissingError


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("vaspwave.h5", "h5py", "formats"),
        ("x_DEN.nc", "h5py", "formats"),
        ("water.RHO", "sisl", "formats"),
        ("Rho.grid.nc", "sisl", "formats"),
        ("water.gpw", "gpaw", "gpaw"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, name, module, extra):
    (tmp_path / name).write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingError, match=rf"{name} needs {module}, which is not installed.*`pip install 'edframe\[{extra}\]'`"
    ):
        io.read(tmp_path / name)
