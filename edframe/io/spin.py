"""Fields that go into files of their own, because a cube with several is read by hardly any program.

| field                          | file for ``Fe.cube``        | with ``spin="up-down"``                        |
|--------------------------------|-----------------------------|------------------------------------------------|
| total                          | Fe.cube                     | Fe_up.cube, Fe_down.cube: (total ± magn.) / 2  |
| magnetisation                  | Fe_spin.cube                |                                                |
| magnetisation_x, …_y, …_z      | Fe_spin_x.cube, …           | refused                                        |
| spin_up, spin_down (potential) | Fe_up.cube, Fe_down.cube    | the same                                       |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.io.volume import Volume

Spin = Literal["total", "up-down"]
"""How a spin-polarised density is divided: total and spin density, or the electrons of either spin."""

TITLES = {
    "": "total",
    "spin": "spin density, up minus down",
    "up": "spin up",
    "down": "spin down",
    **{f"spin_{axis}": f"magnetisation along {axis}" for axis in "xyz"},
}
"""The second line of the title, by the end of the file's name."""


def by_file(path: Path, volume: Volume, spin: str) -> dict[Path, Volume]:
    """The files for the fields of a volume, and what goes into each.

    One field, and fields that are not known, such as orbitals, stay in one file. Raises DataError for a density that
    cannot be divided by spin.
    """
    if spin not in get_args(Spin):
        raise DataError(f"there is no way '{spin}' to divide a spin density; choices: {', '.join(get_args(Spin))}")
    fields = volume.fields
    if spin == "up-down" and volume.quantity == "density":
        fields = _up_and_down(path, fields)
    elif len(fields) == 1 or volume.quantity == "field":
        return {path: volume}
    parts = {}
    title = (volume.comment.splitlines() or [""])[0]
    for name, values in fields.items():
        end = "" if name == "total" else re.sub("^spin_(?=up|down)", "", name.replace("magnetisation", "spin"))
        part = replace(volume, fields={"total": values}, comment=f"{title}\n{TITLES.get(end, name)}", augmentation={})
        parts[beside(path, end)] = part
    return parts


def beside(path: Path, end: str) -> Path:
    """The name for another field of the density in ``path``, in the same format: CHGCAR_spread, Li_up.cube.gz."""
    match = re.fullmatch(r"(.*?)((?:\.(?:cube?|xsf|vasp))?(?:\.(?:gz|bz2|xz|lzma|zst|lz4))?)", path.name, re.IGNORECASE)
    return path.with_name(f"{match[1]}_{end}{match[2]}") if match and end else path


def _up_and_down(path: Path, fields: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    if set(fields) != {"total", "magnetisation"}:
        raise DataError(
            f"{path}: spin up and down are a total and a magnetisation along one axis; here are {', '.join(fields)}"
        )
    total, spin = fields["total"], fields["magnetisation"]
    return {"up": (total + spin) / 2, "down": (total - spin) / 2}
