"""Where the variants err, in space: prediction − reference around the atoms, as isosurfaces that can be turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edframe.comparison.report.examples import Example
from edframe.grid import density_unit
from edframe.report.numbers import number
from edframe.report.scenes import POINTS, Panel, around, averaged, level, nearest, scene, smooth

VARIANTS = 8
"""Scenes beside each other; a browser draws no more than about sixteen."""
BYTES = 4_500_000
"""Of all fields together as text, so that a page stays below 10 MB with plotly's 5 MB."""
FINEST = 0.15
"""Å between the points of a surface on coarser grids, by splines: linear interpolation leaves shards."""
STEP = 2048
"""What the level is written as; 16 times the level is the largest number of two bytes."""


def scenes(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """What ``scenes.js`` draws of each example, as plain data; nothing of grids that are not three-dimensional."""
    spatial = [example for example in examples if example.grid.dimension == 3]
    fields = sum(min(len(example.predicted), VARIANTS) for example in spatial)
    points = min(POINTS, int(BYTES / (8 / 3) / max(fields, 1)))  # two bytes are 8/3 letters of base64
    return [_scene(example, points) for example in spatial]


def _scene(example: Example, points: int) -> dict[str, Any]:
    grid = example.grid
    atoms, middle = nearest(example.positions, grid)
    box = around(atoms, middle, grid, points, FINEST if all(grid.periodic) else None)
    coarser = box.step.max() / grid.spacing.max()
    taken = smooth if coarser < 0.99 else averaged
    errors = {
        variant: taken(field.astype(np.float64) - example.reference, box, grid, middle)
        for variant, field in list(example.predicted.items())[:VARIANTS]
    }
    height = level(list(errors.values()))
    caption = f"Surfaces at ±{number(height, 2)} {density_unit(3)} in all panels"
    if coarser > 1.05:
        block = f"{number(float(box.step.max()), 2)} Å ({coarser:.1f} voxels)"
        caption += f"; averaged over blocks of {block} to keep the page small"
    panels = [
        Panel(variant, np.clip(np.rint(field * (STEP / height)), -(2**15), 2**15 - 1).astype(np.int16), [[-STEP, STEP]])
        for variant, field in errors.items()
    ]
    return scene(example.id, f"{caption}.", box, atoms, example.species, grid, panels)
