"""The debiased Sinkhorn divergence of two densities on a grid, with its gradient in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edframe.errors import ConfigError, DataError
from edframe.grid import Grid
from edframe_sinkhorn.kernel import SeparableKernel
from edframe_sinkhorn.levels import prolong, restrict, schedule
from edframe_sinkhorn.plugin import MAX_ITERATIONS, TOLERANCE
from edframe_sinkhorn.solver import Masses, dual_pair, solve_cross, solve_self

COARSE = 0.1
"""Coarse grids are solved to this fraction of the tolerance: cheap there, and it saves iterations on the finest."""

OWN = 0.3
"""Self transports are solved to this fraction of the tolerance: a few of their fast iterations, and then a density
equal to its reference starts converged, so that its divergence and gradient are zero."""


@dataclass(frozen=True)
class SinkhornDivergence:
    """Divergence, gradients and diagnostics of a batch; all float64.

    value: ``[b]`` in Å² per electron. gradient, reference_gradient: ``[b, x, y, z]``, the derivatives of ``value``
    by the values of either density, in Å² per unit of density. potential, reference_potential: ``[b, x, y, z]`` in Å²,
    f_ab − f_aa and g_ab − g_bb. marginal_error ``[b]``: the largest of the three transports, a fraction of the mass.
    iterations ``[b]``: on the grid itself, of a against b.
    """

    value: Tensor
    gradient: Tensor
    reference_gradient: Tensor
    potential: Tensor
    reference_potential: Tensor
    marginal_error: Tensor
    iterations: Tensor


@torch.no_grad()
def sinkhorn_divergence(
    a: Tensor,
    b: Tensor,
    grid: Grid,
    blur: float | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> SinkhornDivergence:
    """S_ε(a, b) = OT_ε(a, b) − ½ OT_ε(a, a) − ½ OT_ε(b, b) with cost |x − y|²/2 and ε = blur².

    a, b: ``[b, x, y, z]`` (one axis per axis of ``grid``), any unit; each is divided by its own sum, and what lies
    below zero counts as zero. Distances along periodic axes are to the nearest image; S is nonnegative when their
    sides are at least 8 blurs, and zero only at equality. blur: Å, default the largest spacing of the grid.
    tolerance: marginal error to stop at, a fraction of the mass. max_iterations: per level from coarse to fine.

    Raises DataError for a cell that is not orthogonal, and for a density with the wrong shape, no positive value
    or one that is not finite; ConfigError for an option that is not positive. Feydy et al. 2019, section 3.
    """
    if not ((blur is None or 0 < blur < math.inf) and tolerance > 0 and max_iterations > 0):
        raise ConfigError(
            f"sinkhorn: blur ({blur}), tolerance ({tolerance}) and max_iterations ({max_iterations}) must be positive"
        )
    if not grid.orthogonal:
        raise DataError(
            f"sinkhorn needs a cell with right angles, not {grid.cell}: its kernel is a product over the axes. "
            "Train with the loss 'l2' or 'l1', or resample the density on an orthogonal cell."
        )
    mass_a, total_a = _normalise(a, grid, "first")
    mass_b, total_b = _normalise(b, grid, "second")
    if len(mass_a) != len(mass_b):
        raise DataError(f"sinkhorn compares batches of one size, not {len(mass_a)} densities with {len(mass_b)}")
    lengths = [float(n * h) for n, h in zip(grid.shape, grid.spacing, strict=True)]
    levels = schedule(lengths, grid.shape, blur or float(grid.spacing.max()))
    batch = len(mass_a)
    difference = mass_a.new_zeros(batch, *levels[0].shape)  # g_ab − g_bb in Å²: smooth, so it can be interpolated
    for level in levels:
        stop = tolerance if level is levels[-1] else COARSE * tolerance
        kernel = SeparableKernel(lengths, level.shape, grid.periodic, level.blur**2, mass_a.device)
        both = Masses.of(restrict(torch.cat((mass_a, mass_b)), level.shape))
        own_a, own_b = both[:batch], both[batch:]
        own = solve_self(kernel, both, OWN * stop, max_iterations)
        log_u_own, log_v_own = dual_pair(kernel, both, both, own.log_scaling)
        start = own.log_scaling[batch:] + prolong(difference, level.shape, grid.periodic) / kernel.epsilon
        cross = solve_cross(kernel, own_a, own_b, start, stop, max_iterations)
        log_u, log_v = dual_pair(kernel, own_a, own_b, cross.log_scaling)
        difference = (log_v - log_v_own[batch:]) * kernel.epsilon
    potential = (log_u - log_u_own[:batch]) * kernel.epsilon
    # Half of OT_ε(a, a) is ε⟨a, (log u + log v)/2⟩: subtracted point by point, for S is small against its terms.
    log_own = (log_u_own + log_v_own) / 2
    excess = own_a.value * (log_u - log_own[:batch]) + own_b.value * (log_v - log_own[batch:])
    value = excess.flatten(1).sum(1) * kernel.epsilon
    error = torch.stack((cross.marginal_error, own.marginal_error[:batch], own.marginal_error[batch:])).amax(0)
    if not (value.isfinite().all() and potential.isfinite().all() and difference.isfinite().all()):
        raise DataError("sinkhorn: the potentials are not finite; a larger blur or a smaller cell may help")
    return SinkhornDivergence(
        value=value,
        gradient=_through_normalisation(potential, mass_a, total_a, a),
        reference_gradient=_through_normalisation(difference, mass_b, total_b, b),
        potential=potential,
        reference_potential=difference,
        marginal_error=error,
        iterations=cross.iterations,
    )


def _normalise(density: Tensor, grid: Grid, which: str) -> tuple[Tensor, Tensor]:
    """Positive part over its sum, float64, and that sum."""
    if density.shape[1:] != grid.shape:
        raise DataError(
            f"sinkhorn: the {which} density has shape {tuple(density.shape)}, but a batch on this grid is "
            f"[b, {', '.join(map(str, grid.shape))}]"
        )
    positive = density.detach().double().clamp(min=0)
    total = positive.flatten(1).sum(1).reshape(-1, *[1] * grid.dimension)
    if not (total.isfinite() & (total > 0)).all():
        raise DataError(f"sinkhorn: the {which} density holds a value that is not finite, or no positive value at all")
    return positive / total, total


def _through_normalisation(potential: Tensor, mass: Tensor, total: Tensor, density: Tensor) -> Tensor:
    """From ∂S/∂mass to ∂S/∂density, mass being density₊/Σ density₊."""
    mean = (mass * potential).flatten(1).sum(1).reshape(total.shape)
    return ((potential - mean) / total).masked_fill_(density < 0, 0.0)
