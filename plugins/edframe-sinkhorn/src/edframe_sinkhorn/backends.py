"""Which kernel serves a grid."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_sinkhorn.kernel import Kernel, SeparableKernel
from edframe_sinkhorn.levels import Level
from edframe_sinkhorn.plugin import Backend

KernelOn = Callable[[Level], Kernel]


def choose(grid: Grid, backend: Backend, p: int, blur: float, device: torch.device) -> tuple[Backend, KernelOn]:
    """The backend for ``grid`` and the kernel it has at each level."""
    if not grid.orthogonal:
        raise DataError(
            f"sinkhorn needs a cell with right angles, not {grid.cell}: its kernel is a product over the axes. "
            "Train with the loss 'l2' or 'l1', or resample the density on an orthogonal cell."
        )
    edges = [float(n * h) for n, h in zip(grid.shape, grid.spacing, strict=True)]
    return "separable", lambda level: SeparableKernel(edges, level.shape, grid.periodic, level.blur**2, device)
