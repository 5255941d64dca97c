"""Between what a file holds (Volume), one labelled structure (Sample), and a label to learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io.electrons import check, number_of
from edframe.io.volume import Volume
from edframe.sample import Sample

INTEGER = 2e-3
"""An integral within this fraction of an integer, and 0.05 e, is that number of electrons, blurred by the grid."""


def sample_of(volume: Volume, name: str, electrons: float | None = None, **source: Any) -> Sample:
    """The density in ``volume`` as a sample, float64 and unchanged, its augmentation and title in ``source``,
    and the level that the title states.

    electrons: how many there are; None: the integral of the density, rounded where it is within 0.2% of an integer.
    What was decided in reading is in ``source``, as ``unit`` and ``notes``. Raises DataError for what cannot be a
    density of these atoms, see ``edframe.io.electrons``, and for a noncollinear one.
    """
    notes = [*volume.notes, *check(volume, name, electrons)]
    fields = dict(volume.fields)
    if "magnetisation_x" in fields:
        raise DataError(f"{name}: a noncollinear density has three components of magnetisation; a sample has one: "
                        "use its total alone, or a collinear calculation")  # fmt: skip
    density = np.stack([fields[key] for key in ("total", "magnetisation") if key in fields])
    integral = number_of(volume)
    kept: dict[str, Any] = {
        "title": volume.comment,
        "integral": integral,
        **Level.of_title(volume.comment).source,
        **source,
    }
    if notes:
        kept["notes"] = notes
    if volume.unit:
        kept["unit"] = volume.unit
    if volume.augmentation:
        kept["augmentation"] = dict(volume.augmentation)
    if any(volume.origin):
        kept["origin"] = list(volume.origin)
    count = electrons if electrons is not None else _nearest_count(integral)
    return Sample(name, volume.structure, volume.grid, density, count, kept)


def _nearest_count(integral: float) -> float:
    nearest = round(integral)
    return float(nearest) if abs(integral - nearest) <= min(INTEGER * nearest, 0.05) else integral


def volume_of(sample: Sample) -> Volume:
    """What ``edframe.io.write`` writes of a sample, with the augmentation and title that its file had; the title also
    says its level, where that is known."""
    names = ("total", "magnetisation")
    return Volume(
        sample.structure,
        sample.grid,
        {name: values.astype(np.float64, copy=False) for name, values in zip(names, sample.density, strict=False)},
        comment=Level.of_source(sample.source).in_title(str(sample.source.get("title", sample.id))),
        origin=tuple(sample.source.get("origin", (0.0, 0.0, 0.0))),
        augmentation=dict(sample.source.get("augmentation", {})),
    )


def as_label(sample: Sample) -> Sample:
    """A sample to learn from: float32, negative noise of the total set to zero, scaled to hold its electrons."""
    density = sample.density.astype(np.float64)
    density[0] = np.maximum(density[0], 0)
    density *= sample.electrons / (density[0].sum() * sample.grid.voxel_volume)
    return replace(sample, density=density.astype(np.float32))
