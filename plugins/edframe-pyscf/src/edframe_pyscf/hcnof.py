"""The dataset ``molecules-hcnof``: what the model of that name is trained on, and which molecules are in it.

Molecules of H, C, N, O and F of up to seven heavy atoms, closed shells, one geometry each, at the level and in the
boxes of ``qm9-li2025``. The list ships; ``docs/results/molecules.py`` makes it. Any first part of it is as diverse as
the whole. The SCF is integrated on a mesh of 0.105 Å in place of 0.083 Å, to 1e-7 hartree in place of 1e-11: a third of
the time, and a density that differs by less than 0.02% NMAE (``tests/test_hcnof.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.data.cache import cache_folder
from edframe.data.prepared import Job, PreparedDataset
from edframe_pyscf.geometries import read
from edframe_pyscf.levels import PBE_TZV2P_QUICK
from edframe_pyscf.plugin import HCNOFConfig
from edframe_pyscf.qm9 import boxed

GEOMETRIES = Path(__file__).parent / "data" / "molecules_hcnof.xyz"
"""The list: SMILES, temperature of the displacement in K (0: relaxed), and positions in Å."""

RADII = {"H": 0.31, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57, "S": 1.05, "Cl": 1.02}
"""Covalent radii, Å: Cordero et al., Dalton Trans. 2832 (2008)."""
STRETCH = 1.3
"""A bond is shorter than the sum of the radii times this."""


class HCNOF(PreparedDataset):
    """Molecules of the list, labelled by PySCF; valence densities in e/Å³. ``samples`` takes the first ones.

    Labels are kept in one folder whatever ``samples`` is.
    """

    maker = "edframe_pyscf.molecules:label"

    config: HCNOFConfig

    def __init__(self, config: HCNOFConfig) -> None:
        super().__init__("molecules-hcnof", config)

    @property
    def folder(self) -> Path:
        """Where the labels are saved."""
        return cache_folder() / self.name

    def jobs(self) -> Sequence[Job]:
        molecules = read(GEOMETRIES, None, PBE_TZV2P_QUICK)
        return [boxed(molecule, PBE_TZV2P_QUICK) for molecule in molecules[: self.config.samples]]

    def describe(self) -> Mapping[str, Any]:
        return {**PBE_TZV2P_QUICK.facts(), **super().describe()}


def bonds(species: Sequence[str], positions: NDArray[np.float64]) -> set[tuple[int, int]]:
    """Pairs of bonded atoms, i < j, by distance; ``positions`` ``[atom, xyz]`` in Å."""
    radii = np.array([RADII[symbol] for symbol in species])
    near = np.linalg.norm(positions[:, None] - positions, axis=-1) < STRETCH * (radii[:, None] + radii)
    return {(int(i), int(j)) for i, j in np.argwhere(np.triu(near, 1))}


def graph(species: Sequence[str], positions: NDArray[np.float64]) -> str:
    """A hash of the molecule as a graph of bonds, hydrogen atoms among its nodes: the same for all geometries, and
    coarser than SMILES, because bond orders and stereochemistry are not in it."""
    import networkx

    network = networkx.Graph()
    network.add_nodes_from((i, {"symbol": symbol}) for i, symbol in enumerate(species))
    network.add_edges_from(bonds(species, positions))
    return str(networkx.weisfeiler_lehman_graph_hash(network, node_attr="symbol", iterations=6))
