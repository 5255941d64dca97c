"""Exact optimal transport between two densities on a grid, with its gradient by the dual potentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_wasserstein.blocks import finest_blocks, support
from edframe_wasserstein.cost import Cost
from edframe_wasserstein.masses import normalise
from edframe_wasserstein.plugin import MAX_POINTS

if TYPE_CHECKING:
    from jaxtyping import Float

PIVOTS = 10_000_000
"""Bound of the network simplex' steps: far beyond what grids of some thousand points take."""


def exact_transport(
    a: Float[Tensor, "b *grid"], b: Float[Tensor, "b *grid"], grid: Grid, max_points: int = MAX_POINTS
) -> tuple[Float[Tensor, "b"], Mapping[str, Float[Tensor, "b"]]]:
    """min ∫ |x − y|²/2 dπ(x, y) over the couplings π of a and b: the value in Å² and diagnostics, each ``[b]``.

    a, b: ``[b, x, y, z]`` (one axis per axis of ``grid``), any unit; each is divided by its own sum, and what lies
    below zero counts as zero. Distances along periodic axes are to the nearest image, in any cell. The transport is
    exact between the masses of blocks of voxels, the finest for which neither density has more than ``max_points``
    without the emptiest blocks, with 1e-4 of the electrons at most. These are left out where they do not fit.
    Differentiable once, by both densities.

    diagnostics: ``spacing``, the longest edge of a block in Å, and ``points``, the larger number of points. If r is the
    largest distance of a voxel from the centre of its block, half of its diagonal less half of the voxel's, blocks
    change √(2 · value) by at most 2r.

    Solved on the CPU, one sample after the other, by the network simplex (Bonneel et al. 2011; Flamary et al. 2021).
    Raises DataError for a density with the wrong shape, no positive value or one that is not finite.
    """
    a, b = normalise(a, grid, "first"), normalise(b, grid, "second")
    if len(a) != len(b):
        raise DataError(f"wasserstein compares batches of one size, not {len(a)} densities with {len(b)}")
    value, spacing, points = _Exact.apply(a, b, grid, max_points)  # type: ignore[no-untyped-call]
    return value, {"spacing": spacing, "points": points}


class _Exact(torch.autograd.Function):
    """Of masses ``[b, x, y, z]`` with unit sums; the derivatives are the dual potentials of the solution."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, grid: Grid, max_points: int) -> tuple[Tensor, Tensor, Tensor]:
        cost = Cost(grid)
        pairs = zip(a.detach().cpu().numpy(), b.detach().cpu().numpy(), strict=True)
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1])
        solutions = [solve(one, other, grid, cost, max_points, wanted) for one, other in pairs]
        ctx.potentials = _stack([s.first for s in solutions]), _stack([s.second for s in solutions])
        value, spacing, points = (
            a.new_tensor([float(getattr(s, name)) for s in solutions]) for name in ("value", "spacing", "points")
        )
        ctx.mark_non_differentiable(spacing, points)
        return value, spacing, points

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        first, second = (
            None if field is None else upstream[0].reshape(-1, *[1] * (field.ndim - 1)) * field.to(upstream[0].device)
            for field in ctx.potentials
        )
        return first, second, None, None


@dataclass(frozen=True)
class Solution:
    """Transport between two masses: the value in Å² and the potentials ``[n1, …, nd]`` in Å², if asked for."""

    value: float
    first: NDArray[np.float64] | None
    second: NDArray[np.float64] | None
    spacing: float
    points: int


def solve(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    grid: Grid,
    cost: Cost,
    max_points: int,
    wanted: tuple[bool, bool] = (True, True),
) -> Solution:
    """Transport of the masses a to b, ``[n1, …, nd]`` with unit sums, between the ``finest_blocks``.

    A potential is the derivative of the value by its mass, up to a constant, on every voxel: the simplex gives it on
    the other density's points, and u(x) = min over y of c(x, y) − v(y) everywhere else.
    """
    blocks = finest_blocks(a, b, grid, max_points)
    centres = blocks.centres()
    coarse_a, coarse_b = blocks.sum(a).ravel(), blocks.sum(b).ravel()
    at_a, at_b = support(coarse_a, max_points), support(coarse_b, max_points)
    x, y = centres[at_a], centres[at_b]
    if np.array_equal(coarse_a, coarse_b):  # many potentials are optimal: take those with no gradient on the points
        value, u, v = 0.0, np.zeros(len(x)), np.zeros(len(y))
    else:
        value, u, v = _simplex(coarse_a[at_a], coarse_b[at_b], cost(x, y))
    first, second = (
        blocks.prolong(cost.transform(centres, points, dual).reshape(blocks.shape)) if needed else None
        for needed, points, dual in zip(wanted, (y, x), (v, u), strict=True)
    )
    return Solution(value, first, second, blocks.spacing, max(len(x), len(y)))


def _stack(fields: list[NDArray[np.float64] | None]) -> Tensor | None:
    """Fields ``[b, n1, …, nd]`` of all samples, or None where none were asked for."""
    present = [torch.from_numpy(field) for field in fields if field is not None]
    return torch.stack(present) if present else None


def _simplex(
    a: NDArray[np.float64], b: NDArray[np.float64], costs: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The least cost between a and b, each divided by its sum, and their dual potentials."""
    import ot  # takes a second or more

    _, log = ot.emd(a / a.sum(), b / b.sum(), costs, numItermax=PIVOTS, log=True)
    if log["warning"] is not None:
        raise DataError(f"wasserstein: {log['warning']}; set a smaller max_points than {max(costs.shape)}")
    return float(log["cost"]), log["u"], log["v"]
