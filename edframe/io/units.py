"""Conversions at the edge. Inside edframe there are Å, e/Å³ and eV only. CODATA 2022."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from edframe.errors import DataError

if TYPE_CHECKING:
    from edframe.grid import Grid

BOHR = 0.529177210544
"""Å per bohr."""

HARTREE = 27.211386245981
"""eV per hartree."""

DENSITY_UNITS = ("e/Å³", "e/bohr³", "e per voxel", "times volume")
"""Units of densities in files; ``times volume``: the density times the volume of the cell, as VASP writes it."""

ENERGY_UNITS = ("eV", "hartree", "Ry")
"""Units of potentials in files."""

_SPELT = {
    "e/a3": "e/Å³",
    "e/ang3": "e/Å³",
    "e/angstrom3": "e/Å³",
    "e/bohr3": "e/bohr³",
    "e/a03": "e/bohr³",
    "e/au3": "e/bohr³",
    "au": "e/bohr³",
    "a.u.": "e/bohr³",
    "e/voxel": "e per voxel",
    "e/point": "e per voxel",
    "timesvolume": "times volume",
    "volume": "times volume",
    "e*volume": "times volume",
    "ev": "eV",
    "hartree": "hartree",
    "ha": "hartree",
    "ry": "Ry",
    "rydberg": "Ry",
}


def unit_named(text: str) -> str:
    """The unit that a text means: ``e/A^3``, ``e/Ang3`` and ``e/Å³`` are one. Raises DataError for any other."""
    plain = re.sub(r"\s|\^|\*\*|_|-", "", text.lower().replace("per", "/").replace("å", "a").replace("³", "3"))
    plain = plain.replace("/(", "/").replace(")", "")
    if plain in _SPELT:
        return _SPELT[plain]
    every = (*DENSITY_UNITS, *ENERGY_UNITS)
    near = difflib.get_close_matches(text, every, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise DataError(f"there is no unit '{text}'{hint} (choices: {', '.join(every)})")


def _spelt(given: Any) -> Any:
    try:
        return unit_named(given) if isinstance(given, str) else given
    except DataError as error:
        raise ValueError(str(error)) from None


DensityUnit = Annotated[Literal["e/Å³", "e/bohr³", "e per voxel", "times volume"], BeforeValidator(_spelt)]
"""Type of an option that says the unit of densities, in any spelling."""


def factor(unit: str, grid: Grid) -> float:
    """What a value in ``unit`` is multiplied by to be in e/Å³ or eV."""
    factors = {
        "e/Å³": 1.0,
        "e/bohr³": BOHR**-3,
        "e per voxel": 1 / grid.voxel_volume,
        "times volume": 1 / grid.volume,
        "eV": 1.0,
        "hartree": HARTREE,
        "Ry": HARTREE / 2,
    }
    return factors[unit]
