"""The density that a calculation starts from, of a file or of a model, on the code's grid, with its electrons."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edframe.data.level import Level
from edframe.data.resampling import fourier
from edframe.errors import DataError
from edframe.io.records import require_same_atoms
from edframe.io.volume import Volume
from edframe.restart.code import Needs

OFF = 0.01
"""Fraction of the electrons that a density may lack or have too many: more is another pseudopotential."""
SAID = 1e-4
"""Fraction above which rescaling is worth a sentence."""
SAME_SPACING = 0.05
"""Relative difference of voxel edges up to which a model predicts on the code's own grid, without interpolation."""


@dataclass(frozen=True)
class Start:
    """density: as in its source. level: that it belongs to, as far as known. seconds: of the prediction; 0 for a file.
    notes: of the source. coulomb, low_g: Coulomb energy of its error, eV per electron, all of it and the waves below 1
    Å⁻¹, on the validation samples of the model; None: not known."""

    density: Volume
    level: Level
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    coulomb: float | None = None
    low_g: float | None = None


def from_file(path: Path) -> Start:
    """The density in a file, and the level in its title. Raises DataError for a file that holds none."""
    from edframe import io

    volume = io.read(path)
    if volume.quantity != "density" or "total" not in volume.fields:
        raise DataError(f"{path} holds {', '.join(volume.fields)} ({volume.quantity}), not a density")
    return Start(volume, Level.of_title(volume.comment), notes=volume.notes)


def from_run(path: Path, needs: Needs, device: str) -> Start:
    """The prediction of a run or an ensemble for the structure of a calculation."""
    from edframe.data.conversion import volume_of
    from edframe.predict.ensemble import Ensemble, EnsemblePredictor, predictor_of
    from edframe.predict.predictor import warnings_of
    from edframe.runs.directory import Run

    began = time.process_time()
    model = predictor_of(Ensemble.open(path) if Ensemble.at(path) else Run.open(path), device)
    if isinstance(model, EnsemblePredictor):
        one = model.members[0]
        sample, _, _ = model(needs.structure, shape=_shape(needs, one.spacing), electrons=needs.electrons)
    else:
        one = model
        sample = one(needs.structure, shape=_shape(needs, one.spacing), electrons=needs.electrons)
    if one.valence is not None and needs.electrons is not None:
        theirs = one.valence.count(needs.structure) - needs.charge
        if abs(theirs - needs.electrons) > OFF * needs.electrons:
            raise DataError(
                f"{path} was trained on densities with {theirs:g} valence electrons of {needs.structure.formula}, and "
                f"the calculation has {needs.electrons:g}: their pseudopotentials differ"
            )
    notes = tuple(warnings_of(sample, one.novelty(needs.structure)))
    return Start(volume_of(sample), one.level, time.process_time() - began, notes, one.coulomb, one.low_g)


def fitted(start: Start, needs: Needs, name: str) -> tuple[Volume, tuple[str, ...]]:
    """A density on the grid of a calculation, scaled to its electrons, and what was done to it.

    name: of the density, for messages. Raises DataError for other atoms, another number of electrons, three components
    of magnetisation.
    """
    volume, notes = start.density, list(start.notes)
    fix = "give a density of the atoms and the cell of the input, or a model, which predicts it"
    require_same_atoms(Path(name), volume.structure, needs.structure, fix)
    if "magnetisation_x" in volume.fields:
        raise DataError(f"{name} is noncollinear; use the density of a collinear calculation")
    fields = {key: values for key, values in volume.fields.items() if key in ("total", "magnetisation")}
    if len(fields) > needs.spins:
        fields.pop("magnetisation")
        notes.append("the magnetisation of the density is left out, because the calculation has no spin")
    grid = volume.grid
    if needs.shape is not None and grid.shape != needs.shape:
        moved = {key: fourier(values, volume.grid, needs.shape) for key, values in fields.items()}
        fields, grid = {key: values for key, (values, _) in moved.items()}, next(iter(moved.values()))[1]
        old, new = ("×".join(map(str, shape)) for shape in (volume.grid.shape, needs.shape))
        lost = "" if all(a >= b for a, b in zip(volume.grid.shape, needs.shape, strict=True)) else (
            "; waves that its own grid cannot hold are zero"
        )  # fmt: skip
        notes.append(f"the density is interpolated by waves from {old} to the calculation's {new} points{lost}")
    electrons = float(fields["total"].sum()) * grid.voxel_volume
    if not electrons > 0 or not all(np.isfinite(values).all() for values in fields.values()):
        raise DataError(f"{name}: the density integrates to {electrons:g} e, or is not finite")
    if needs.electrons is not None:
        off = needs.electrons / electrons - 1
        if abs(off) > OFF:
            raise DataError(
                f"{name} holds {electrons:.4f} electrons and the calculation {needs.electrons:g}: it belongs to other "
                "pseudopotentials or another charge; use a density of the same level"
            )
        if abs(off) > needs.slack:
            fields["total"] = fields["total"] * (1 + off)
        if abs(off) > max(SAID, needs.slack):
            notes.append(f"the density is scaled from {electrons:.4f} to {needs.electrons:g} electrons")
    return replace(volume, structure=needs.structure, grid=grid, fields=fields, augmentation={}), tuple(notes)


def contradiction(start: Start, needs: Needs) -> str | None:
    """What level a density belongs to that is not the calculation's, in words; None where none is known."""
    return start.level.contradiction(needs.level, sorted({site.specie.symbol for site in needs.structure}))


def refusal(start: Start, needs: Needs, name: str) -> str | None:
    """Why a density of another level must not be used, in a sentence; None where nothing speaks against it."""
    differing = contradiction(start, needs)
    if differing is None:
        return None
    return (
        f"{name} belongs to {differing}: a density is a good start for its own functional and pseudopotentials alone; "
        "train on densities of that level, or use --anyway"
    )


def _shape(needs: Needs, spacing: float) -> tuple[int, int, int] | None:
    """The code's own grid where its voxels are as large as those of the training data; None: these."""
    if needs.shape is None:
        return None
    own = max(length / n for length, n in zip(needs.structure.lattice.abc, needs.shape, strict=True))
    return needs.shape if abs(own / spacing - 1) <= SAME_SPACING else None
