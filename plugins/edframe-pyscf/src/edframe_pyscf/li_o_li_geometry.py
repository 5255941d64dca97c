"""Geometries of the Li–O–Li set: O at the cell centre, each Li on a 5 × 5 polar patch, all in one plane.

The 2018 study varied "the position of each Li, 25 × 25" without recording the positions; these are a
reconstruction. Bond lengths surround the 1.62 Å of linear Li2O, angles are measured from the straight line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edframe_pyscf.levels import PBE_DZVP

LEVEL = PBE_DZVP
"""Level of theory; in this cell its mesh has 80 points per axis (0.06% NMAE finer than 64)."""

CELL_LENGTH = 7.2
"""Side of the cubic periodic cell, Å."""

BOND_LENGTHS = (1.38, 1.50, 1.62, 1.74, 1.86)
"""Li–O distances of the patch, Å."""

ANGLES = (-30.0, -15.0, 0.0, 15.0, 30.0)
"""Bending of a bond out of the straight line, degrees; positive towards +y for both Li."""

SPECIES = ("Li", "O", "Li")
"""Order of the atoms in every configuration."""

N_PATCH = len(BOND_LENGTHS) * len(ANGLES)

CORNERS = frozenset({N_PATCH - len(ANGLES), N_PATCH - 1})
"""The positions on the patch with the longest bond and the largest angle, to either side."""


def pairs() -> list[tuple[int, int]]:
    """All (left, right) patch positions, 25 × 25 = 625, left index slowest."""
    return [(left, right) for left in range(N_PATCH) for right in range(N_PATCH)]


def sample_id(left: int, right: int) -> str:
    """The name of one configuration, e.g. ``li-o-li-03-21``."""
    return f"li-o-li-{left:02d}-{right:02d}"


def positions(left: int, right: int) -> NDArray[np.float64]:
    """Cartesian positions ``[atom, xyz]`` in Å of Li, O, Li, with O at the centre of the cell.

    ``left`` and ``right`` number the patch, ``5 * bond length + angle``. Swapping them mirrors the molecule
    in the plane x = centre.
    """
    centre = np.full(3, CELL_LENGTH / 2)

    def lithium(index: int, side: float) -> NDArray[np.float64]:
        length = BOND_LENGTHS[index // len(ANGLES)]
        angle = np.deg2rad(ANGLES[index % len(ANGLES)])
        return centre + length * np.array([side * np.cos(angle), np.sin(angle), 0.0])

    return np.stack([lithium(left, -1.0), centre, lithium(right, +1.0)])


def mirror_class(left: int, right: int) -> int:
    """The same number for configurations that are mirror images: left–right, up–down, or both."""

    def flipped(index: int) -> int:
        length, angle = divmod(index, len(ANGLES))
        return length * len(ANGLES) + len(ANGLES) - 1 - angle

    images = [(left, right), (right, left), (flipped(left), flipped(right)), (flipped(right), flipped(left))]
    a, b = min(images)
    return a * N_PATCH + b
