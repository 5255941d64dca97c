"""The head of VASP's files: title, cell, species and positions, as in a POSCAR of VASP 4 or 5.

pymatgen reads these too, but invents species where they are missing and does not say which line is wrong.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.io.files import either, open_bytes, unpacking_errors
from edframe.io.heads import floats, periodic_grid
from edframe.io.reading import Text

FARTHEST = 1e3
"""Cells away from its own that an atom may be; more is a misread number."""

_NAME = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)(_\w*)?(/\w*)?", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)


def read_head(text: Text) -> tuple[str, Structure]:
    """Title and structure, up to the last position; the lines after it stay.

    Positions are as in the file, also outside of the cell. Raises DataError, with the line, for what is not such a
    head, and for species that neither the head nor a POTCAR beside the file nor the title gives.
    """
    title = text.line().strip()
    (scale,) = _floats(text, "the scale", 1)
    if scale == 0:
        raise text.error("the scale is 0; it is a factor, or the negative of the cell's volume in Å³")
    cell = np.array([_floats(text, f"lattice vector {axis}", 3) for axis in (1, 2, 3)])
    with np.errstate(all="ignore"):
        volume = abs(np.linalg.det(cell))
        factor = scale if scale > 0 else float(np.cbrt(-scale / volume)) if volume > 0 else 1.0
        cell = cell * factor
    periodic_grid(text, cell, (1, 1, 1))
    species = _species(text, title)
    atoms, announced = sum(count for _, count in species), text.number
    mode = text.line()
    if mode.strip()[:1] in ("s", "S"):
        mode = text.line()
    if mode.strip()[:1] not in tuple("dDcCkK"):
        raise text.error(f"{text.shown(mode)} appears where Direct or Cartesian should be")
    cartesian = mode.strip()[0] not in "dD"
    before = text.number
    rows = [
        _floats(text, f"one of the positions of {atoms} atoms (line {announced})", 3, more=True) for _ in range(atoms)
    ]
    structure = Structure(
        Lattice(cell),
        [symbol for symbol, count in species for _ in range(count)],
        np.array(rows) * (factor if cartesian else 1.0),
        coords_are_cartesian=cartesian,
    )
    far = ~(np.abs(structure.frac_coords) <= FARTHEST).all(axis=1)
    if far.any():
        raise text.error(
            f"an atom more than {FARTHEST:g} cells away: its position was misprinted", before + 1 + int(far.argmax())
        )
    return title, structure


def _species(text: Text, title: str) -> list[tuple[str, int]]:
    """Symbol and number of atoms of each group, in order."""
    words = text.line().split()
    symbols: list[str] = []
    while words and not all(_COUNT.fullmatch(word) for word in words):
        for word in words:
            symbol = _symbol(word)
            if not symbol:
                raise text.error(
                    f"{text.shown(word)} is not an element{_near(word)}; this line names the species, or counts them"
                )
            symbols.append(symbol)
        words = text.line().split()
    counts = [int(word) for word in words]
    # Many groups are continued on further lines.
    while len(counts) < len(symbols):
        words = text.line().split()
        if not words or not all(_COUNT.fullmatch(word) for word in words):
            raise text.error(f"{len(symbols)} species, but {len(counts)} numbers of atoms; each needs one")
        counts += [int(word) for word in words]
    if not sum(counts):
        raise text.error("the number of atoms of each species should be here")
    if not symbols:
        symbols = _species_elsewhere(text, title, len(counts))
    if len(symbols) != len(counts):
        raise text.error(f"{len(symbols)} species, but {len(counts)} numbers of atoms; each needs one")
    return list(zip(symbols, counts, strict=True))


def _species_elsewhere(text: Text, title: str, groups: int) -> list[str]:
    """For VASP 4, which names no species: from a POTCAR beside the file, or the title."""
    potcar = either(text.path.parent / "POTCAR")
    for words in (*([_potcar_species(potcar)] if potcar else []), title.split()):
        symbols = [_symbol(word) for word in words]
        if len(symbols) == groups and all(symbols):
            return symbols
    raise text.error(
        f"VASP 4 named no species here: insert a line with {groups} symbols before this one, as in VASP 5, or put the "
        "POTCAR beside the file"
    )


def _symbol(word: str) -> str:
    """The element that a name of a species or potential means; empty where it means none.

    VASP 6 writes names and hashes of its potentials, as in Mg_pv/474ac0d, and hydrogen of another charge as H1.25 or
    H.5. Deuterium and tritium are hydrogen.
    """
    match = _NAME.fullmatch(word)
    symbol = {"D": "H", "T": "H"}.get(match[1], match[1]) if match else ""
    return symbol if Element.is_valid_symbol(symbol) else ""


def _potcar_species(path: Path) -> list[str]:
    """The element of each potential, from lines such as ``TITEL  = PAW_PBE Li_sv 10Sep2004``."""
    with open_bytes(path) as file:
        try:
            titles = re.findall(rb"TITEL\s*=\s*\S+[ \t]+([A-Za-z]+)", file.read())
        except unpacking_errors() as error:
            raise DataError(f"{path} cannot be read ({error})") from error
    return [symbol.decode() for symbol in titles]


def _floats(text: Text, what: str, count: int, more: bool = False) -> NDArray[np.float64]:
    line = text.line()
    words = line.split()
    if len(words) < count or (len(words) > count and not more):
        numbers = "a number" if count == 1 else f"{count} numbers"
        raise text.error(f"{text.shown(line)} appears where {what} should be, {numbers}")
    return floats(text, words[:count], what)


def _near(symbol: str) -> str:
    letters = re.match(r"[A-Za-z]*", symbol)
    near = difflib.get_close_matches(
        (letters[0] if letters else "").capitalize(), [element.symbol for element in Element], n=1, cutoff=0.5
    )
    return f" (did you mean '{near[0]}'?)" if near else ""
