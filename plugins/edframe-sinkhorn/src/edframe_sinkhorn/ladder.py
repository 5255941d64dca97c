"""The grids a solve passes through, from the coarsest to the finest, each with its transport problem."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.grid import Grid
from edframe_sinkhorn.backends import choose, kernel_on
from edframe_sinkhorn.correction import CoarseCorrection
from edframe_sinkhorn.islands import Islands
from edframe_sinkhorn.kernel import OutOfRange
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.options import Options
from edframe_sinkhorn.plugin import Backend
from edframe_sinkhorn.pyramid import prolong, restrict, schedule
from edframe_sinkhorn.transport import Transport

if TYPE_CHECKING:
    from jaxtyping import Float

OWN = 0.5
"""Self transports are solved to this fraction of the tolerance: they converge fast."""


@dataclass(frozen=True)
class Ladder:
    """Transport on the grid itself (``finest``) and on its coarsenings, the coarsest first; the kernel's backend."""

    coarse: tuple[Transport, ...]
    finest: Transport
    periodic: tuple[bool, ...]
    backend: Backend

    @classmethod
    def on(cls, grid: Grid, options: Options, device: torch.device) -> Ladder:
        """Raises DataError or ConfigError for a grid that the backend cannot treat."""
        blur = options.blur or float(grid.spacing.max())
        backend = choose(grid, options.backend, options.p, blur, device)
        edges = [float(n * h) for n, h in zip(grid.shape, grid.spacing, strict=True)]
        *coarse, finest = [
            Transport(
                kernel_on(grid, level, backend, options.p, device), options.rho, options.tol, options.max_iterations
            )
            for level in schedule(edges, grid.shape, blur)
        ]
        return cls(tuple(coarse), finest, grid.periodic, backend)

    def difference(
        self, a: Float[Tensor, "b *grid"], b: Float[Tensor, "b *grid"]
    ) -> tuple[Float[Tensor, "b *coarse"], CoarseCorrection | None, Islands | None]:
        """g_ab − g_bb in Å^p for masses a and b, from a solve on every coarser grid: smooth, so it can be interpolated.

        Also the correction of smooth errors by the last of these grids, and the islands, for the next solve.
        """
        masses = [(a, b)]
        for level in reversed(self.coarse):
            finer_a, finer_b = masses[0]
            masses.insert(0, (restrict(finer_a, level.kernel.shape), restrict(finer_b, level.kernel.shape)))
        islands = Islands.of(*masses[0], self.periodic)
        difference, correction = a.new_zeros(len(a), *[1] * (a.ndim - 1)), None
        for level, finer, (coarse_a, coarse_b) in zip(
            self.coarse, [*self.coarse[1:], self.finest], masses, strict=False
        ):
            own = strict(level).own(Masses.of(coarse_b), None, True).log_scaling
            start = prolong(difference, level.kernel.shape, self.periodic).div_(level.epsilon).add_(own)
            parts = islands.on(level.kernel.shape) if islands else None
            cross = level.cross(Masses.of(coarse_a), Masses.of(coarse_b), start, correction, parts, True)
            difference = (cross.log_scaling - own) * level.epsilon
            correction = None
            if level.damping == 1 and not cross.outcome.logarithmic:
                ratio = math.sqrt(level.epsilon / finer.epsilon)
                with contextlib.suppress(OutOfRange):
                    correction = CoarseCorrection(
                        level.kernel, coarse_a, coarse_b, cross.log_scaling, self.periodic, ratio
                    )
        return difference, correction, islands.on(self.finest.kernel.shape) if islands else None


def strict(transport: Transport) -> Transport:
    """``transport`` as self transports are solved."""
    return replace(transport, tol=OWN * transport.tol)
