"""Which kernel serves a grid.

| backend    | cost and cell                                        | one application to N points        |
|------------|------------------------------------------------------|------------------------------------|
| separable  | squared distance, right angles, open or periodic     | a matrix per axis                  |
| lines      | squared distance, any periodic cell                  | a matrix per line, up to six       |
| toeplitz   | any cost, any cell                                   | N² products of matrices, no geometry |
| keops      | any cost, any cell                                   | N² pairs, made for GPUs            |

``auto`` takes the first that is exact: ``lines`` when its error of log K is within ``lines.BOUND`` and the cell is wide
enough that the sum over images is the nearest one.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_sinkhorn.kernel import Kernel, SeparableKernel
from edframe_sinkhorn.lines import BOUND, IMAGES_APART, LineKernel, image_distance, kernel_error, smallest_blur
from edframe_sinkhorn.pairs import PairKernel
from edframe_sinkhorn.plugin import Backend
from edframe_sinkhorn.pyramid import Level
from edframe_sinkhorn.toeplitz import ToeplitzKernel

FEW = 32**3
"""Points up to which ``auto`` takes ``toeplitz``: there one application takes 0.1 s on a CPU."""

SMALL = 12**3
"""Points up to which ``toeplitz`` is the quickest for a coarse grid of a triclinic cell."""


def choose(grid: Grid, backend: Backend, p: int, blur: float, device: torch.device) -> Backend:
    """The backend that ``auto`` chooses, or ``backend`` itself when it can treat the grid.

    Raises DataError, which says what would do, when it cannot, or when ``auto`` finds none.
    """
    squared_periodic = p == 2 and all(grid.periodic)
    if backend == "separable" and not (p == 2 and grid.orthogonal):
        raise DataError("sinkhorn: backend 'separable' needs p = 2 and a cell with right angles; use 'auto'")
    if backend == "lines" and not squared_periodic:
        raise DataError("sinkhorn: backend 'lines' needs p = 2 and a cell that is periodic along all axes; use 'auto'")
    if backend != "auto":
        return backend
    if p == 2 and grid.orthogonal:
        return "separable"
    if squared_periodic and _lines_are_exact(grid, blur):
        return "lines"
    if grid.points <= FEW:
        return "toeplitz"
    if device.type == "cuda":
        return "keops"
    raise DataError(f"sinkhorn: {_what_would_do(grid, p, blur)}")


@lru_cache(maxsize=64)
def kernel_on(grid: Grid, level: Level, backend: Backend, p: int, device: torch.device) -> Kernel:
    """The kernel of one level; made once."""
    epsilon = level.blur**p
    coarse = Grid(grid.cell, level.shape, grid.periodic)
    if backend == "separable":
        edges = [float(n * h) for n, h in zip(grid.shape, grid.spacing, strict=True)]
        return SeparableKernel(edges, level.shape, grid.periodic, epsilon, device)
    if backend == "lines" and (level.shape == grid.shape or coarse.points > SMALL):
        return LineKernel(coarse.voxel, level.shape, epsilon, device, finest=grid.shape)
    if backend == "keops" and level.shape == grid.shape:
        return PairKernel(coarse.voxel, level.shape, grid.periodic, epsilon, p, device)
    return ToeplitzKernel(coarse.voxel, level.shape, grid.periodic, epsilon, p, device)


def _lines_are_exact(grid: Grid, blur: float) -> bool:
    wide = image_distance(grid.voxel, grid.shape) >= IMAGES_APART * blur
    return wide and kernel_error(grid.voxel, grid.shape, blur) <= BOUND


def _what_would_do(grid: Grid, p: int, blur: float) -> str:
    slow = "or use --set loss.backend=keops, made for a GPU"
    if p == 1 or not all(grid.periodic):
        what = "the cost |x − y|" if p == 1 else "a cell that is neither orthogonal nor periodic along all axes"
        return f"{what} takes all pairs of {grid.points} points, too slow here beyond {FEW}; resample, {slow}"
    if image_distance(grid.voxel, grid.shape) < IMAGES_APART * blur:
        widest = image_distance(grid.voxel, grid.shape) / IMAGES_APART
        return f"blur {blur:.3g} Å is too wide for the cell; use a blur of at most {widest:.3g} Å, {slow}"
    enough = smallest_blur(grid.voxel, grid.shape, blur)
    return (
        f"the kernel of this cell is inexact by {kernel_error(grid.voxel, grid.shape, blur):.2g} at blur {blur:.3g} Å; "
        f"use a blur of at least {enough:.3g} Å or a finer grid, {slow}"
    )
