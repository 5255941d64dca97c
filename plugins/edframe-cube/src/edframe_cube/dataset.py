"""The dataset ``cube``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core.structure import Structure

from edframe.data.blocks import blocks
from edframe.data.conversion import as_label, sample_of
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import Volume, read
from edframe.io.electrons import EDGE
from edframe.io.files import plain_name
from edframe.io.patterns import NOT_DATA, is_prediction, names, select, stamp
from edframe.sample import Sample
from edframe_cube.plugin import CubeConfig
from edframe_cube.spins import pairs, read_pair

ENDING = re.compile(r"\.(cube|cub|xsf)$", re.IGNORECASE)


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
        predictions: set[Path] = set()

        def choose(path: Path) -> Path | None:
            density = _density_of(path)
            if density is not None and is_prediction(density):
                predictions.add(density)
            return density

        files = select(self.config.files, choose, "file named .cube, .cub or .xsf")
        other = pairs(files)
        alone = [file for file in files if file not in set(other.values())]
        plain = names([file.with_name(ENDING.sub("", plain_name(file.name))) for file in files])
        ids = dict(zip(files, plain, strict=True))
        options = self.config.model_dump(mode="json", exclude={"files", "together"})
        return [
            Job(
                ids[file] + (f"+{Path(ids[other[file]]).name}" if file in other else ""),
                {
                    "file": stamp(file),
                    **({"other spin": stamp(other[file])} if file in other else {}),
                    **options,
                    **({"prediction": True} if file in predictions else {}),
                },
                group,
            )
            for file, group in zip(alone, blocks(list(map(str, alone)), self.config.together), strict=True)
        ]

    def describe(self) -> Mapping[str, Any]:
        box = "periodic" if self.config.periodic else "not periodic"
        electrons = "integrals of the densities" if self.config.electrons is None else "the option data.electrons"
        return {"boxes": box, "number of electrons from": electrons, **super().describe()}


def label(job: Job) -> Sample:
    """The sample of one file, or of two of one spin each. Raises DataError, with its path, for what is no density to
    learn from.

    Atoms outside of the box are moved into it where it is periodic, and are refused where it is not. source: file,
    title, integral (e, before scaling), electrons_from, unit, notes, and the origin of the box (Å) where it has one.
    """
    file, inputs = Path(job.inputs["file"][0]), job.inputs
    if inputs.get("prediction"):
        raise DataError(f"{file}: {NOT_DATA}")
    electrons, unit, other = inputs["electrons"], inputs["unit"], inputs.get("other spin")
    volume = read_pair(file, Path(other[0]), unit) if other else read(file, unit=unit, quantity=inputs["quantity"])
    sample = sample_of(_with_spins(volume, inputs["spins"], file), str(file), electrons, file=str(file),
                       electrons_from="integral" if electrons is None else "data.electrons")  # fmt: skip
    grid = replace(volume.grid, periodic=(inputs["periodic"],) * 3)
    return as_label(replace(sample, grid=grid, structure=_inside(volume.structure, grid, file)))


def _with_spins(volume: Volume, spins: int, file: Path) -> Volume:
    if volume.quantity != "density" or "total" not in volume.fields:
        return volume
    if spins == 1:
        return replace(volume, fields={"total": volume.fields["total"]})
    if "magnetisation" not in volume.fields:
        raise DataError(f"{file}: it has no magnetisation; --set data.spins=1 takes total densities")
    return volume


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
    return path if path.is_file() and ENDING.search(plain_name(path.name)) else None
