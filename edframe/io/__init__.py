"""Volumetric files: read one into a Volume, write a Volume. The format follows from the name, or is given.

| format   | names                                              | fields |
|----------|----------------------------------------------------|--------|
| chgcar   | CHGCAR…, CHG…, AECCAR…, PARCHG…, ….vasp            | total, magnetisation |
| chgcar   | LOCPOT…, ELFCAR…                                   | a potential, an ELF |
| cube     | ….cube, ….cub                                      | one or more, named by the file |
| xsf      | ….xsf                                              | one or more 3D grids |
| vasp-h5  | vaspwave.h5, vaspout.h5, vasp….h5                  | density: total, magnetisation |
| espresso | charge-density.dat, charge-density.hdf5            | the same |
| abinit   | …_DEN, …_DEN.nc                                    | the same |
| siesta   | ….RHO, Rho.grid.nc                                 | the same |
| gpaw     | ….gpw (read alone)                                 | the same, of the pseudo-density |

Each name may end in ``.gz``, ``.bz2``, ``.xz``, ``.lzma``, ``.zst`` or ``.lz4``. Names of VASP's files
may be joined to others, as in ``CHGCAR.Li`` or ``Li_CHGCAR``.
"""

from __future__ import annotations

import importlib
import re
import stat
from pathlib import Path
from typing import Any

from edframe.errors import DataError
from edframe.io.files import plain_name
from edframe.io.spin import by_file
from edframe.io.volume import Quantity, Volume
from edframe.memory import out_of_memory_as

FORMATS = {
    "chgcar": "edframe.io.vasp",
    "cube": "edframe.io.cube",
    "xsf": "edframe.io.xsf",
    "vasp-h5": "edframe.io.vasp_h5",
    "espresso": "edframe.io.espresso",
    "abinit": "edframe.io.abinit",
    "siesta": "edframe.io.siesta",
    "gpaw": "edframe.io.gpaw",
}
"""Format and the module that reads and writes it, by ``read(path) -> Volume`` and ``write(path, volume)``."""

X_FASTEST = ("chgcar", "xsf")
"""Formats whose values lie in the file plane by plane of z, from the first to the last."""

__all__ = ["FORMATS", "X_FASTEST", "Volume", "files_of", "format_of", "read", "write"]


def read(
    path: str | Path, format: str | None = None, *, unit: str | None = None, quantity: Quantity | None = None
) -> Volume:
    """The atoms and fields in a file, in e/Å³ (densities) or eV (potentials), as float64 ``[x, y, z]``.

    unit, quantity: what the values are, where the file does not say it or is wrong; see ``edframe.io.meaning``. Whether
    a density can be one is another question: see ``edframe.io.electrons``. Raises DataError, with file and line, for
    what is malformed, truncated, not finite or inconsistent.
    """
    from edframe.io.meaning import meant

    path = Path(path)
    _require_file(path)
    chosen = format or format_of(path)
    with out_of_memory_as(f"{path}: there is not enough memory for its grid; use a coarser one", DataError):
        return meant(_module(path, chosen).read(path), path, unit, quantity, open_unit=chosen == "xsf")


def write(path: str | Path, volume: Volume, format: str | None = None, spin: str = "total") -> list[Path]:
    """Write a volume, each file whole and in place of what was there; returns the files.

    A cube has one field, so that all programs read it: a spin-polarised density becomes two, see ``edframe.io.spin``,
    which spin chooses. Raises DataError for what the format cannot hold.
    """
    module, parts = _module(Path(path), format), _parts(Path(path), volume, format, spin)
    for place, part in parts.items():
        module.write(place, part)
    return list(parts)


def files_of(path: str | Path, volume: Volume, spin: str = "total") -> list[Path]:
    """The files that ``write`` would write. Raises DataError as it does."""
    return list(_parts(Path(path), volume, None, spin))


def _parts(path: Path, volume: Volume, format: str | None, spin: str) -> dict[Path, Volume]:
    if (format or format_of(path)) == "cube":
        return by_file(path, volume, spin)
    if spin == "up-down":
        raise DataError(f"{path}: only cube files are divided into spin up and down; this one holds total and spin")
    return {path: volume}


def format_of(path: str | Path) -> str:
    """The format, by the file's name. Raises DataError for a name that has none."""
    name = plain_name(Path(path).name).lower()
    if name.endswith((".cube", ".cub")):
        return "cube"
    if name.endswith(".xsf"):
        return "xsf"
    if name.endswith(".vasp") or re.search(r"(^|[^a-z])(chgcar|chg|aeccar\d?|parchg|locpot|elfcar)([^a-z]|$)", name):
        return "chgcar"
    if re.fullmatch(r"vasp.*\.h5", name):
        return "vasp-h5"
    if name in ("charge-density.dat", "charge-density.hdf5"):
        return "espresso"
    if name.endswith(("_den", "_den.nc")):
        return "abinit"
    if name.endswith((".rho", ".grid.nc")):
        return "siesta"
    if name.endswith(".gpw"):
        return "gpaw"
    raise DataError(f"{path}: its name shows no known format; name it CHGCAR, ….cube or ….xsf, or say which it is")


def _require_file(path: Path) -> None:
    """Raise DataError for what is not there and for a folder, whatever the name; the readers say what else is wrong."""
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, ValueError):
        return
    if folder:
        raise DataError(f"{path} is a folder; give a file in it")


def _module(path: Path, format: str | None) -> Any:
    chosen = format or format_of(path)
    if chosen not in FORMATS:
        raise DataError(f"there is no format '{chosen}'; choices: {', '.join(FORMATS)}")
    return importlib.import_module(FORMATS[chosen])
