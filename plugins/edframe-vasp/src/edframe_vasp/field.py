"""The featurizer ``vasp-field``: a field that VASP wrote for the same atoms."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from edframe.data.resampling import fourier
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Features, Featurizer
from edframe.io import read
from edframe.io.files import either
from edframe.io.patterns import select
from edframe.io.poscar import read_head
from edframe.io.reading import Text
from edframe_vasp.plugin import VaspFieldConfig

TOLERANCE = 1e-3
"""Å by which cell and atoms of a file may differ from those of a structure, for VASP writes them in 6 decimals."""

WAVES = np.array([wave for wave in itertools.product((0, 1), repeat=3) if any(wave)])
"""Waves (h, k, l) whose structure factors distinguish atoms."""


class VaspField(Featurizer):
    """One channel: the field of the file whose atoms are those of the structure, over ``scale``.

    Files are found by their atoms, up to a translation by whole voxels, so that it does not matter which dataset the
    structures come from. A field on another grid is resampled by its Fourier components. Of a density it is the total,
    of a spin-polarised potential the mean. Raises DataError for a structure that no file is of.
    """

    def __init__(self, config: VaspFieldConfig, contents: Contents) -> None:
        if contents.dimension != 3:
            raise DataError(f"vasp-field needs data in three dimensions, not in {contents.dimension}")
        self.config = config

    @property
    def channels(self) -> Sequence[str]:
        return [self.config.file]

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        fields = np.stack([self._field(structure, grid) for structure in structures])[:, None]
        return Features(torch.from_numpy(fields.astype(np.float32)).to(device), None)

    def _field(self, structure: Structure, grid: Grid) -> NDArray[np.float64]:
        """``[x, y, z]``, in the file's unit over ``scale``."""
        file, steps = self._find(structure, grid)
        volume = read(file, "chgcar")
        spins = [volume.fields[name] for name in ("total", "spin_up", "spin_down") if name in volume.fields]
        values = np.mean(spins, axis=0) / self.config.scale
        if values.shape != grid.shape:
            values, _ = fourier(values, volume.grid, grid.shape)
        return np.roll(values, steps, axis=(0, 1, 2))

    def _find(self, structure: Structure, grid: Grid) -> tuple[Path, tuple[int, ...]]:
        """The file of a structure, and by how many voxels its field must be moved."""
        if not all(grid.periodic):
            raise DataError(f"vasp-field: the fields of VASP are periodic, the grid of {structure.formula} is not")
        files, atoms, cells, waves = self._files
        near = np.abs(cells - structure.lattice.matrix).max((1, 2)) <= TOLERANCE
        # A wave turns by its length times the distance; this leaves few files for the comparison of atoms below.
        charge = sum(site.specie.Z for site in structure)
        allowed = 2 * TOLERANCE * sum(structure.lattice.reciprocal_lattice.abc) * charge
        near &= np.abs(waves - _structure_factors(structure)).max(1) <= allowed
        for row in np.flatnonzero(near):
            shift = _translation(atoms[row], structure)
            if shift is None:
                continue
            steps = np.rint(shift * grid.shape)
            if np.linalg.norm((shift - steps / grid.shape) @ grid.vectors) <= 2 * TOLERANCE:
                return files[row], tuple(int(step) for step in steps)
        raise DataError(
            f"vasp-field: none of the {len(files)} {self.config.file} files that {', '.join(self.config.files)} "
            f"matches is of these atoms, {structure.formula} in a cell of {structure.volume:.2f} Å³, on this grid; run "
            "VASP for them, or correct featurizer.files"
        )

    @cached_property
    def _files(self) -> tuple[list[Path], list[Structure], NDArray[np.float64], NDArray[np.float64]]:
        """Files, their atoms, cells ``[file, 3, 3]`` in Å, and structure factors ``[file, wave]``."""
        files, atoms = [], []
        for file in select(self.config.files, self._field_of, f"{self.config.file}, nor a folder with one"):
            try:
                with Text(file) as text:
                    structure = read_head(text)[1]
            except DataError:  # of a calculation that has not finished, and is no sample either
                continue
            files.append(file)
            atoms.append(structure)
        if not files:
            raise DataError(
                f"vasp-field: no {self.config.file} that {', '.join(self.config.files)} matches can be read"
            )
        cells = np.array([structure.lattice.matrix for structure in atoms])
        return files, atoms, cells, np.array([_structure_factors(structure) for structure in atoms])

    def _field_of(self, path: Path) -> Path | None:
        if not path.is_dir():
            return path if self.config.file in path.name else None
        return either(path / self.config.file)


def _structure_factors(structure: Structure) -> NDArray[np.float64]:
    """|Σ Z exp(2πi k·f)| ``[wave]``: the same for every order, translation and periodic image of the atoms."""
    charges = np.array([site.specie.Z for site in structure])
    factors: NDArray[np.float64] = np.abs(np.exp(2j * np.pi * structure.frac_coords @ WAVES.T).T @ charges)
    return factors


def _translation(here: Structure, there: Structure) -> NDArray[np.float64] | None:
    """The shortest translation ``[3]``, in fractions of the cell, that takes the atoms ``here`` to those ``there``."""
    charges = [np.array([site.specie.Z for site in structure]) for structure in (here, there)]
    if sorted(charges[0]) != sorted(charges[1]):
        return None
    rare = min(set(charges[0]), key=list(charges[0]).count)
    shifts = there.frac_coords[charges[1] == rare][0] - here.frac_coords[charges[0] == rare]
    shifts -= np.rint(shifts)
    for shift in sorted(shifts, key=lambda fractions: float(np.linalg.norm(fractions @ here.lattice.matrix))):
        apart = here.frac_coords[:, None] + shift - there.frac_coords
        distances = np.linalg.norm((apart - np.rint(apart)) @ here.lattice.matrix, axis=2)
        same = (distances <= 2 * TOLERANCE) & (charges[0][:, None] == charges[1])
        if same.any(0).all() and same.any(1).all():
            return np.asarray(shift)
    return None
