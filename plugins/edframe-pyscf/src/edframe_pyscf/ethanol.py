"""The dataset ``md-ethanol``: frames of ethanol from molecular dynamics, all in one box and on one grid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edframe.data.blocks import blocks
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe_pyscf.geometries import Molecule, read
from edframe_pyscf.levels import LEVELS
from edframe_pyscf.molecules import BLOCK, job
from edframe_pyscf.plugin import EthanolConfig

SIDE = 10.8
"""Shortest side of the cubic box, Å. In frames of MD17 no atom is more than 2.4 Å from the centre of mass, so that
however the molecule is turned 3 Å of vacuum are left on each side. Others took 20 bohr, 10.6 Å; 10.8 is 72 × 0.15."""

REACH = 3.4
"""Å from the centre of mass beyond which an atom has left the molecule, or the frame is not one: 2 Å from the face."""

FORMULA = Counter("CCOHHHHHH")
MASSES = {"H": 1.008, "C": 12.011, "O": 15.999}


class Ethanol(PreparedDataset):
    """Frames of one ethanol molecule, its centre of mass at the centre of a cubic box; valence densities in e/Å³.

    Each frame is a group of its own: they must be independent draws, as those of MD17's published subsets are. Of a
    whole trajectory, whose neighbours in time resemble each other, take few ``samples``, or blocks that stay
    ``together``. Raises DataError for a frame
    that is not C2H6O, or does not fit.
    """

    maker = "edframe_pyscf.molecules:label"

    config: EthanolConfig

    def __init__(self, config: EthanolConfig) -> None:
        super().__init__("md-ethanol", config)

    def jobs(self) -> Sequence[Job]:
        level = LEVELS[self.config.level]
        molecules = read(Path(self.config.file).expanduser(), self.config.samples, level)
        groups = blocks([molecule.id for molecule in molecules], self.config.together)
        return [replace(self._job(m), group=group) for m, group in zip(molecules, groups, strict=True)]

    def describe(self) -> Mapping[str, Any]:
        return {**LEVELS[self.config.level].facts(), "voxel (Å)": self.config.voxel, **super().describe()}

    def _job(self, molecule: Molecule) -> Job:
        if Counter(molecule.species) != FORMULA:
            raise DataError(f"{molecule.place}: this frame is not C2H6O; the dataset `molecules` takes any molecule")
        masses = np.array([MASSES[symbol] for symbol in molecule.species])
        positions = molecule.positions - masses @ molecule.positions / masses.sum()
        farthest = float(np.linalg.norm(positions, axis=1).max())
        if farthest > REACH:
            raise DataError(
                f"{molecule.place}: an atom is {farthest:.2f} Å from the centre of mass, and {REACH} Å at most fit "
                "into the box; leave the frame out"
            )
        level, points = LEVELS[self.config.level], BLOCK * math.ceil(SIDE / (BLOCK * self.config.voxel) - 1e-9)
        sides = np.full(3, points * self.config.voxel)
        return job(molecule, positions + sides / 2, sides, [points] * 3, level, level.mesh(sides.tolist()))
