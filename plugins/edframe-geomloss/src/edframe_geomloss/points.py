"""From densities on a grid to weighted points in straight space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float

NEAR = 0.5
"""Å. What is nearer than this to a cut counts as near."""


@dataclass(frozen=True)
class Cloud:
    """Points ``[n, d]`` in Å and the weights of both densities there, ``[n]``, each of unit sum, in float64.

    near_cut: the fraction of the reference's electrons near a plane where a periodic axis is cut open.
    """

    points: Float[Tensor, "n d"]
    predicted: Float[Tensor, "n"]
    reference: Float[Tensor, "n"]
    near_cut: float


def cloud(
    predicted: Float[Tensor, "*grid"],
    reference: Float[Tensor, "*grid"],
    grid: Grid,
    left_out: float,
    max_near_cut: float,
) -> Cloud:
    """The fewest points, ranked by the larger of both densities, that leave out at most ``left_out`` of either.

    Differentiable in both densities, ``[x, y, z]``. Raises DataError for a reference with more than
    ``max_near_cut`` near a cut, and for values that are not finite or nowhere positive.
    """
    a, b = (_fractions(density) for density in (predicted, reference))
    order = torch.maximum(a, b).detach().argsort(descending=True, stable=True)
    held = torch.minimum(a.detach()[order].cumsum(0), b.detach()[order].cumsum(0))
    count = min(int((held < 1 - left_out).sum()) + 1, len(order))
    chosen = order[:count].sort().values
    starts, near_cut = _cuts(b.detach().reshape(grid.shape), grid, max_near_cut)
    index = torch.unravel_index(chosen, grid.shape)
    steps = [(i - start) % n if start else i for i, start, n in zip(index, starts, grid.shape, strict=True)]
    points = torch.stack(steps, dim=1).double() @ torch.from_numpy(grid.voxel).to(chosen.device)
    return Cloud(points, a[chosen] / a[chosen].sum(), b[chosen] / b[chosen].sum(), near_cut)


def _fractions(density: Tensor) -> Tensor:
    """Positive part over its sum, ``[points]``."""
    positive = density.flatten().double().clamp(min=0)
    total = positive.sum()
    if not (bool(total.isfinite()) and bool(total > 0)):
        raise DataError("geomloss: a density holds a value that is not finite, or no positive value at all")
    return positive / total


def _cuts(fractions: Tensor, grid: Grid, max_near_cut: float) -> tuple[list[int], float]:
    """Index of the first plane of points on each axis, and the largest fraction near a cut.

    The cut runs between two planes of points, where Σ fraction · exp(−distance/0.5 Å) is least.
    """
    starts, near_cut = [], 0.0
    heights = 1 / np.linalg.norm(np.linalg.inv(grid.voxel), axis=0)
    for axis, (n, wraps) in enumerate(zip(grid.shape, grid.periodic, strict=True)):
        if not wraps or n == 1:
            starts.append(0)
            continue
        planes = fractions.sum([i for i in range(grid.dimension) if i != axis]) if grid.dimension > 1 else fractions
        after = (np.arange(n) - np.arange(n)[:, None]) % n
        distance = (np.minimum(after, n - 1 - after) + 0.5) * heights[axis]  # of each plane from each cut
        weights = planes.cpu().numpy()
        start = int((np.exp(-distance / NEAR) @ weights).argmin())
        near = float(weights[distance[start] <= max(NEAR, heights[axis] / 2)].sum())
        if near > max_near_cut:
            raise DataError(
                f"geomloss measures along straight lines, so periodic axis {axis + 1} is cut open, but "
                f"{100 * near:.2g}% of the reference's electrons are within {NEAR} Å of the emptiest plane (allowed: "
                f"{100 * max_near_cut:g}%): use the loss sinkhorn, mmd or energy, or more vacuum"
            )
        starts.append(start)
        near_cut = max(near_cut, near)
    return starts, near_cut
