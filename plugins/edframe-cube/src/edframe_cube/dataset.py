"""The dataset ``cube``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core.structure import Structure

from edframe.data.conversion import as_label, sample_of
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import read
from edframe.io.patterns import names, select, stamp
from edframe.sample import Sample
from edframe_cube.plugin import CubeConfig

ENDING = re.compile(r"\.(cube|cub|xsf)(\.gz)?$", re.IGNORECASE)

EDGE = 1e-6
"""How far outside of the box an atom may be, as a fraction of a lattice vector, when it is on its face."""


class Cube(PreparedDataset):
    """Densities in cube and XSF files, scaled to hold a whole number of electrons, or as many as the options say.

    Raises DataError for a pattern that matches no such file. A file that cannot be used is left out and listed.
    """

    maker = "edframe_cube.dataset:label"
    brief = True

    config: CubeConfig

    def __init__(self, config: CubeConfig) -> None:
        super().__init__("cube", config)

    def jobs(self) -> Sequence[Job]:
        files = select(self.config.files, _density_of, "file named .cube, .cub or .xsf")
        plain = [file.with_name(ENDING.sub("", file.name)) for file in files]
        options = {"periodic": self.config.periodic, "electrons": self.config.electrons}
        return [Job(name, {"file": stamp(file), **options}) for name, file in zip(names(plain), files, strict=True)]

    def describe(self) -> Mapping[str, Any]:
        box = "periodic" if self.config.periodic else "not periodic"
        electrons = "integrals of the densities" if self.config.electrons is None else "the option data.electrons"
        return {"boxes": box, "number of electrons from": electrons, **super().describe()}


def label(job: Job) -> Sample:
    """The sample of one file. Raises DataError, with its path, for one that is no density to learn from.

    Atoms outside of the box are moved into it where it is periodic, and are refused where it is not. source: file,
    title, integral (e, before scaling), electrons_from, and the origin of the box (Å) where it has one.
    """
    file, electrons = Path(job.inputs["file"][0]), job.inputs["electrons"]
    volume = read(file)
    grid = replace(volume.grid, periodic=(job.inputs["periodic"],) * 3)
    volume = replace(volume, grid=grid, structure=_inside(volume.structure, grid, file))
    told_by = "integral" if electrons is None else "data.electrons"
    return as_label(sample_of(volume, str(file), electrons, file=str(file), electrons_from=told_by))


def _inside(structure: Structure, grid: Grid, file: Path) -> Structure:
    if not all(grid.periodic):
        outside = np.flatnonzero(((structure.frac_coords < -EDGE) | (structure.frac_coords > 1 + EDGE)).any(axis=1))
        if len(outside):
            atom = int(outside[0])
            place = ", ".join(f"{x:.3f}" for x in structure[atom].coords)
            raise DataError(
                f"{file}: atom {atom + 1} ({structure[atom].specie.symbol}) lies at ({place}) Å from the box's corner, "
                "outside of the box; --set data.periodic=true moves it into a box that repeats"
            )
        return structure
    return Structure(structure.lattice, structure.species, structure.frac_coords, to_unit_cell=True)


def _density_of(path: Path) -> Path | None:
    return path if path.is_file() and ENDING.search(path.name) else None
