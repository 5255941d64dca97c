"""The dataset ``molecules``: geometries from a file, labelled by PySCF in a box of their own or the file's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.blocks import blocks
from edframe.data.conversion import as_label
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample
from edframe_pyscf import scf
from edframe_pyscf.geometries import Molecule, read
from edframe_pyscf.levels import LEVELS, Level
from edframe_pyscf.orbitals import Expansion
from edframe_pyscf.plugin import MoleculesConfig

BLOCK = 8
"""Grids have a multiple of this many points along each axis, so that a U-Net can halve them three times."""

TOLERANCE = 0.01
"""Relative error of a density's sum over its grid that scaling may still make good."""


class Molecules(PreparedDataset):
    """Molecules in periodic boxes, each with the vacuum that is asked for, or in the cells that their file gives.

    Without a Lattice in the file, voxels have exactly the size that is asked for, in all boxes. Densities are PBE
    valence densities with GTH pseudopotentials, e/Å³. Raises DataError, with file and line, for frames that cannot be
    labelled by their nature; an SCF that does not converge is left out and listed.
    """

    maker = "edframe_pyscf.molecules:label"

    config: MoleculesConfig

    def __init__(self, config: MoleculesConfig) -> None:
        super().__init__("molecules", config)

    def jobs(self) -> Sequence[Job]:
        level = LEVELS[self.config.level]
        molecules = read(Path(self.config.file).expanduser(), self.config.samples, level)
        groups = blocks([molecule.id for molecule in molecules], self.config.together)
        return [
            replace(self._job(molecule, level), group=group) for molecule, group in zip(molecules, groups, strict=True)
        ]

    def describe(self) -> Mapping[str, Any]:
        return {**LEVELS[self.config.level].facts(), "voxel (Å, at most)": self.config.voxel, **super().describe()}

    def _job(self, molecule: Molecule, level: Level) -> Job:
        voxel, positions = self.config.voxel, molecule.positions
        if molecule.cell is None:
            extent = np.ptp(positions, axis=0) + 2 * self.config.margin
            shape = [BLOCK * math.ceil(length / (BLOCK * voxel) - 1e-9) for length in extent]
            sides = np.array(shape) * voxel
            positions = positions - (positions.min(axis=0) + positions.max(axis=0)) / 2 + sides / 2
        else:
            sides = _sides(molecule.cell, molecule.place)
            shape = [BLOCK * math.ceil(length / (BLOCK * voxel) - 1e-9) for length in sides]
        return job(molecule, positions, sides, shape, level, level.mesh(sides.tolist()))


def job(
    molecule: Molecule,
    positions: NDArray[np.float64],
    sides: NDArray[np.float64],
    shape: Sequence[int],
    level: Level,
    mesh: Sequence[int],
) -> Job:
    """What determines a label: the molecule at ``positions`` ``[atom, xyz]`` in a box of ``sides`` ``[xyz]``, both Å.

    shape: of the grid that its density is evaluated on. mesh: that of the SCF.
    """
    inputs = {
        "species": list(molecule.species),
        "positions": positions.round(8).tolist(),
        "charge": molecule.charge,
        "sides": sides.round(8).tolist(),
        "shape": [int(n) for n in shape],
        "mesh": [int(n) for n in mesh],
        "level": level.name,
    }
    return Job(molecule.id, inputs)


def label(job: Job) -> Sample:
    """Converge the SCF of a job and evaluate its density, scaled to hold its electrons exactly.

    Raises DataError when the SCF does not converge, or the grid is too coarse for the density. source: the level, mesh,
    charge, energy (hartree), cycles and settings of the SCF, PySCF's version, and the integral before scaling (e).
    """
    from pyscf import __version__

    inputs, level = job.inputs, LEVELS[job.inputs["level"]]
    positions, grid = np.array(inputs["positions"]), Grid.of(inputs["sides"], inputs["shape"])
    structure = Structure(
        Lattice(grid.vectors), inputs["species"], positions, coords_are_cartesian=True, charge=inputs["charge"]
    )
    cell = scf.build_cell(
        inputs["species"], positions, grid.vectors, level, mesh=inputs["mesh"], charge=inputs["charge"]
    )
    solution = scf.solve(cell, structure.formula, [replace(rung, conv_tol=level.conv_tol) for rung in scf.LADDER])
    density = Expansion.of(cell).density(positions, solution.density_matrix, grid)
    integral = float(density.sum()) * grid.voxel_volume
    if abs(integral - cell.nelectron) > TOLERANCE * cell.nelectron:
        raise DataError(
            f"its density sums to {integral:.3f} e instead of {cell.nelectron} e on a grid of {grid.spacing.max():.2f} "
            "Å; give a smaller voxel"
        )
    source = {
        **level.facts(),
        "mesh": inputs["mesh"],
        "charge": inputs["charge"],
        **solution.record(),
        "pyscf": __version__,
        "integral_before_normalisation": integral,
    }
    return as_label(Sample(job.id, structure, grid, density[None], float(cell.nelectron), source))


def _sides(cell: NDArray[np.float64], place: str) -> NDArray[np.float64]:
    sides = np.diag(cell)
    if not np.allclose(cell, np.diag(sides), atol=1e-6) or (sides <= 0).any():
        raise DataError(
            f"{place}: its Lattice is not a box along x, y and z, and molecules are labelled in boxes; remove the "
            "Lattice, and each gets a box of its own"
        )
    return sides
