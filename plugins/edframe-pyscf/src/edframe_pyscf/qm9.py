"""The dataset ``qm9-li2025``: the labels of Li, Sharir, Yuan and Chan 2025, for molecules of QM9 or like them.

GTH-PBE with gth-tzv2p and a kinetic-energy cutoff of 200 hartree. A box has the molecule's extent and 4 Å along each
axis, rounded up to the mesh of a cutoff of 50 hartree, π/10 bohr, less 1e-4 Å; the mean of the positions is its
centre. The density is sampled on the mesh of the cutoff of 200 hartree, half as wide.

The recipe is that of the authors' published scripts. Two archived densities computed anew: CH4 agrees to 1e-4 %, NH3 to
2e-4 % NMAE (``tests/test_qm9.py`` prints both).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edframe.data.prepared import Job, PreparedDataset
from edframe_pyscf.geometries import Molecule, read
from edframe_pyscf.levels import PBE_TZV2P_200, Level
from edframe_pyscf.molecules import job
from edframe_pyscf.plugin import QM9Config

VACUUM = 4.0
"""Å that are added to a molecule's extent along each axis, 2 Å on either side."""

SHORTER = 1e-4
"""Å by which a side is shorter than its mesh of 50 hartree: a rounding guard of the authors."""


class QM9(PreparedDataset):
    """Molecules labelled by the protocol of Li et al., whose densities they are comparable to; e/Å³.

    Its grids have any even number of points along an axis.
    """

    maker = "edframe_pyscf.molecules:label"

    config: QM9Config

    def __init__(self, config: QM9Config) -> None:
        super().__init__("qm9-li2025", config)

    def jobs(self) -> Sequence[Job]:
        molecules = read(Path(self.config.file).expanduser(), self.config.samples, PBE_TZV2P_200)
        return [boxed(molecule, PBE_TZV2P_200) for molecule in molecules]

    def describe(self) -> Mapping[str, Any]:
        return {**PBE_TZV2P_200.facts(), "cutoff (hartree)": 200, **super().describe()}


def boxed(molecule: Molecule, level: Level) -> Job:
    """The label of a molecule in the protocol's box and on its grid; at the level's own mesh for ``pbe-tzv2p-200``."""
    from pyscf.data.nist import BOHR

    coarse = math.pi / math.sqrt(2 * 50) * BOHR
    counts = np.ceil((np.ptp(molecule.positions, axis=0) + VACUUM) / coarse).astype(int)
    sides = counts * coarse - SHORTER
    positions = molecule.positions - molecule.positions.mean(axis=0) + sides / 2
    mesh = 2 * counts if level is PBE_TZV2P_200 else level.mesh(sides.tolist())
    return job(molecule, positions, sides, 2 * counts, level, mesh)
