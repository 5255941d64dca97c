"""The text behind a grid of a CHGCAR: PAW occupancies and magnetic moments, in the columns that VASP reads.

VASP reads the header ``augmentation occupancies`` by columns, both integers in fields of four, and before the second
grid of a spin-polarised file the moments of all atoms, five on a line. A file that differs in either is dropped without
a word; pymatgen's header is one column wider from atom 10 on, and it writes no moments.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.io.volume import Volume

RADIUS = 1.0
"""Å around an atom within which the magnetisation counts as its moment."""

LARGEST = 1e9
"""Of a moment, in electrons: a larger one would run into its neighbour."""

PER_LINE = 5
"""Moments on a line."""

HEADER = re.compile(
    r"\s*augmentation occupancies( \(imaginary part\))?\s*(\d+|\*+)\s*?\s(\d{1,9})\s*", re.ASCII | re.MULTILINE
)
"""Of the occupancies of one atom: its number, and how many follow."""


def in_columns(text: str) -> str:
    """Text behind a grid with its headers as VASP writes them, and all else as it is."""
    return "\n".join(_header(line) for line in text.split("\n"))


def has_moments(text: str, atoms: int) -> bool:
    """Whether text behind a grid ends in moments: numbers that no header announces."""
    announced = present = 0
    for line in text.splitlines():
        if match := HEADER.fullmatch(line):
            announced += int(match[3])
        else:
            present += len(line.split())
    return atoms > 0 and present > announced


def moments(volume: Volume, name: str) -> NDArray[np.float64]:
    """The field of that name integrated within RADIUS of each atom, ``[atom]`` in electrons.

    VASP fills the block with the moments that its calculation began with, and moves the magnetisation of atoms by them
    when these move.
    """
    grid, values = volume.grid, volume.fields[name]
    shape = np.array(grid.shape)
    # A sphere reaches so far along each axis: radius over the distance of the planes of the grid.
    reach = np.ceil(RADIUS * np.linalg.norm(np.linalg.inv(grid.voxel), axis=0)).astype(int)
    steps = [np.arange(-r, r + 2) for r in reach]
    integrals = np.zeros(len(volume.structure))
    for index, at in enumerate(volume.structure.frac_coords * shape):
        corner = np.floor(at).astype(int)
        x, y, z = ((step + c) for step, c in zip(steps, corner, strict=True))
        plane = (y - at[1])[:, None, None] * grid.voxel[1] + (z - at[2])[:, None] * grid.voxel[2]
        places = np.ix_(y % shape[1], z % shape[2])
        for k in x:
            inside = np.linalg.norm(plane + (k - at[0]) * grid.voxel[0], axis=-1) <= RADIUS
            integrals[index] += values[k % shape[0]][places][inside].sum() * grid.voxel_volume
    if not (np.abs(integrals) < LARGEST).all():
        raise DataError(
            f"the field '{name}' has a moment of {np.abs(integrals).max():g} electrons next to an atom: too large"
        )
    return integrals


def block(numbers: NDArray[np.float64]) -> str:
    """Moments as VASP writes them, five on a line of fields of twenty."""
    # Fortran's form has no digit before the point.
    words = [f"{_fortran(number):>20}" for number in numbers]
    return "".join("".join(words[k : k + PER_LINE]) + "\n" for k in range(0, len(words), PER_LINE))


def _header(line: str) -> str:
    match = HEADER.fullmatch(line)
    if not match:
        return line
    number = f"{match[2]:>4}" if len(match[2]) <= 4 else "****"
    return f"augmentation occupancies{match[1] or ''}{number}{match[3]:>4}{line[len(line.rstrip()) :]}"


def _fortran(number: float) -> str:
    """Twelve digits behind the point, as ``0.123456789012E+01``."""
    mantissa, exponent = f"{abs(number):.11E}".split("E")
    power = int(exponent) + (number != 0)
    sign = "-" if number < 0 else ""
    return f"{sign}0.{mantissa[0]}{mantissa[2:]}E{power:+03d}"
