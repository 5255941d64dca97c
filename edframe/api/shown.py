"""A test sample that a run has saved, as densities to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edframe.errors import RunError

if TYPE_CHECKING:
    from edframe.api.density import Density


def kept(path: Path, role: str) -> tuple[str, Density, Density, dict[str, tuple[float, str]]]:
    """Of the run at ``path``: the id of its worst, median or best test sample, its predicted and its reference density,
    and value and unit of each metric by name.

    Raises RunError where there is no such run, it keeps no prediction, or its samples are not three-dimensional.
    """
    from pymatgen.core.structure import Structure

    from edframe.api.density import Density
    from edframe.report.read import read_run

    run = read_run(path)
    if (chosen := next((sample for sample in run.predictions if sample.role == role), None)) is None:
        raise RunError(f"{path} has no predictions to show; finish it by `edframe run --resume {path}`")
    if chosen.grid.dimension != 3:
        raise RunError(
            f"{path} has densities of {chosen.grid.dimension} dimensions, which are drawn in its report: "
            f"{path / 'report.html'}"
        )
    structure = Structure(chosen.grid.vectors, list(chosen.species), chosen.positions, coords_are_cartesian=True)
    predicted, reference = (
        Density(values.astype(np.float64), chosen.grid, structure) for values in (chosen.predicted, chosen.reference)
    )
    values = next((event.metrics for event in run.samples if event.id == chosen.id), {})
    metrics = {name: (value, run.summary[name].unit) for name, value in values.items() if name in run.summary}
    return chosen.id, predicted, reference, metrics
