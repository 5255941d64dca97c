"""Files of densities, read into a Density."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edframe.api.density import Density


def read(
    path: str | Path,
    *,
    unit: str | None = None,
    quantity: Literal["density"] | None = None,
    electrons: float | None = None,
) -> Density:
    """The density in a CHGCAR, cube, XSF or other file that edframe reads, plain or packed.

    unit: of the values, where the file does not state it or states a wrong one: e/Å³, e/bohr³, … electrons: how many
    there are, where that is known. What was decided in reading is in ``notes``. Raises DataError for a file that cannot
    be read, and for what cannot be an electron density of its atoms.
    """
    from edframe import io
    from edframe.data.conversion import sample_of

    path = Path(path).expanduser()
    sample = sample_of(io.read(path, unit=unit, quantity=quantity), str(path), electrons, file=str(path))
    return Density.of(sample, sample.source.get("notes", ()))
