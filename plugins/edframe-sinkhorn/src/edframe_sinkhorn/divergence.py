"""The debiased Sinkhorn divergence of two densities on a grid, with its gradient in closed form."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.errors import ConfigError, DataError
from edframe.grid import Grid
from edframe_sinkhorn.backends import choose, kernel_on
from edframe_sinkhorn.correction import CoarseCorrection
from edframe_sinkhorn.kernel import OutOfRange
from edframe_sinkhorn.plugin import MAX_ITERATIONS, TOL, Backend, Mass, Scale
from edframe_sinkhorn.pyramid import prolong, restrict, schedule
from edframe_sinkhorn.solver import Masses
from edframe_sinkhorn.transport import Transport

if TYPE_CHECKING:
    from jaxtyping import Float, Int

OWN = 0.5
"""Self transports are solved to this fraction of the tolerance: they converge fast."""


@dataclass(frozen=True)
class Start:
    """Where a solve may begin: what an earlier one found for nearly the same densities.

    detail: the potential g_ab of b, less what the coarse grids tell of it, own: f_aa, ``[b, n1, …, nd]`` in Å^p.
    reference: OT_ε(b, b)/2, ``[b]`` in Å^p.
    """

    detail: Float[Tensor, "b *grid"]
    own: Float[Tensor, "b *grid"]
    reference: Float[Tensor, "b"]


@dataclass(frozen=True)
class SinkhornDivergence:
    """Divergence, gradients and diagnostics of a batch; all float64.

    value: ``[b]`` in Å^p per electron, or in e·Å^p with ``scale="total"``. gradient, reference_gradient:
    ``[b, n1, …, nd]``, its derivatives by the values of either density. potential, reference_potential: the derivatives
    per electron by either mass; f_ab − f_aa and g_ab − g_bb in Å^p where marginals are exact. marginal_error ``[b]``:
    the largest of the transports, a fraction of the mass. iterations ``[b]``: on the grid itself, of a against b.
    applications: of the kernel on the grid itself, all transports. domain: "scaling", or "log" when a transport left
    the range of the former. backend: the kernel used. start: where a later solve may begin.
    """

    value: Float[Tensor, "b"]
    gradient: Float[Tensor, "b *grid"]
    reference_gradient: Float[Tensor, "b *grid"] | None
    potential: Float[Tensor, "b *grid"]
    reference_potential: Float[Tensor, "b *grid"] | None
    marginal_error: Float[Tensor, "b"]
    iterations: Int[Tensor, "b"]
    applications: int
    domain: str
    backend: str
    start: Start


@torch.no_grad()
def sinkhorn_divergence(
    a: Float[Tensor, "b *grid"],
    b: Float[Tensor, "b *grid"],
    grid: Grid,
    blur: float | None = None,
    *,
    tol: float = TOL,
    max_iterations: int = MAX_ITERATIONS,
    reach: float | None = None,
    mass: Mass = "normalise",
    scale: Scale = "per_electron",
    debias: bool = True,
    p: int = 2,
    backend: Backend = "auto",
    start: Start | None = None,
    reference_gradient: bool = True,
) -> SinkhornDivergence:
    """S_ε(a, b) = OT_ε(a, b) − ½ OT_ε(a, a) − ½ OT_ε(b, b) with cost |x − y|²/2 and ε = blur².

    a, b: ``[b, n1, …, nd]``, any unit and floating type; what lies below zero counts as zero. Distances along periodic
    axes are to the nearest image.

    blur: Å, default the largest spacing of the grid. tol: marginal error to stop at, a fraction of the mass.
    max_iterations: on each grid from coarse to fine. reach: Å, how far it pays to move mass rather than to create it:
    a Kullback–Leibler penalty of weight reach^p on both marginals; None: marginals are exact. mass: "normalise"
    divides each density by its own sum, "unbalanced" both by that of b, and needs ``reach``. scale: "total" multiplies
    by the electrons of b. debias: False gives OT_ε(a, b) alone. p: 1 for the cost |x − y| and ε = blur. backend: the
    kernel, see ``edframe_sinkhorn.backends``. start: from an earlier result for the same b, blur and grid; the self
    transport of b is then left out. reference_gradient: False saves the work for it.

    Raises DataError for a grid that the backend cannot treat, and for a density with the wrong shape, no positive
    value or one that is not finite; ConfigError for an option out of range. Feydy et al. 2019, section 3; with
    ``reach`` Séjourné et al. 2019.
    """
    for name, option in (("blur", blur), ("tol", tol), ("max_iterations", max_iterations), ("reach", reach)):
        if option is not None and not 0 < option < math.inf:
            raise ConfigError(f"sinkhorn: {name} must be positive, not {option}")
    if mass == "unbalanced" and reach is None:
        raise ConfigError("sinkhorn: mass 'unbalanced' needs a reach in Å, for exact marginals have equal masses")
    positive_a, total_a = _positive(a, grid, "first")
    positive_b, total_b = _positive(b, grid, "second")
    if len(a) != len(b):
        raise DataError(f"sinkhorn compares batches of one size, not {len(a)} densities with {len(b)}")
    unit_a = total_b if mass == "unbalanced" else total_a
    first, second = Masses.of(positive_a.div_(unit_a)), Masses.of(positive_b.div_(total_b))
    del positive_a, positive_b
    blur = blur or float(grid.spacing.max())
    backend = choose(grid, backend, p, blur, a.device)
    edges = [float(n * h) for n, h in zip(grid.shape, grid.spacing, strict=True)]
    *coarse, finest = [
        Transport(
            kernel_on(grid, level, backend, p, a.device), math.inf if reach is None else reach**p, tol, max_iterations
        )
        for level in schedule(edges, grid.shape, blur)
    ]
    strict = replace(finest, tol=OWN * tol)

    # Large tensors are let go of as soon as they have served: a solve holds about ten densities at its peak.
    own_a = strict.own(first, start.own / finest.epsilon if start else None)
    half_a = strict.value(first, first, own_a) / 2
    log_own_a, solved = own_a.implied, [own_a.outcome]
    del own_a
    log_own_b = None
    if start and not reference_gradient:
        half_b = start.reference
    else:
        own_b = strict.own(second, None)
        half_b = strict.value(second, second, own_b) / 2
        solved.append(own_b.outcome)
        if reference_gradient and debias:
            log_own_b = finest.implied(second, own_b.implied)
        log_scaling_b = own_b.log_scaling
        del own_b
    difference, correction = _coarse_solves(first.value, second.value, grid, coarse, finest)
    begin = prolong(difference, grid.shape, grid.periodic).div_(finest.epsilon)
    if start:
        begin.add_(start.detail, alpha=1 / finest.epsilon)
    else:
        begin.add_(log_scaling_b)
        del log_scaling_b
    cross = finest.cross(first, second, begin, correction)
    del begin, correction
    solved.append(cross.outcome)

    value = finest.value(first, second, cross)
    if debias:
        value = value - half_a - half_b + finest.epsilon / 2 * (first.total - second.total) ** 2
    potential = finest.derivative(cross.implied, log_own_a if debias else None, second)
    potential_b = None
    if reference_gradient:  # one more step of both, so that equal densities have equal potentials
        potential_b = finest.derivative(finest.implied(first, cross.implied), log_own_b, first)
    if not (value.sum() + potential.sum()).isfinite():
        raise DataError("sinkhorn: the potentials are not finite; a larger blur or a smaller cell may help")

    # From derivatives by the masses to derivatives by the densities, which the masses are divided by.
    factor = total_b * grid.voxel_volume if scale == "total" else torch.ones_like(total_b)
    flow = first.integral(potential).reshape(total_a.shape)
    change = potential - flow if mass == "normalise" else potential
    gradient = (change * (factor / unit_a)).masked_fill_(a < 0, 0.0)
    gradient_b = None
    if potential_b is not None:
        flow_b = second.integral(potential_b).reshape(total_b.shape)
        if mass == "unbalanced":
            flow_b = flow_b + flow
        gradient_b = (potential_b - flow_b) * (factor / total_b)
        if scale == "total":
            gradient_b += value.reshape(total_b.shape) * grid.voxel_volume
        gradient_b.masked_fill_(b < 0, 0.0)
    return SinkhornDivergence(
        value=value * factor.flatten(),
        gradient=gradient,
        reference_gradient=gradient_b,
        potential=potential,
        reference_potential=potential_b,
        marginal_error=torch.stack([outcome.marginal_error for outcome in solved]).amax(0),
        iterations=cross.outcome.iterations,
        applications=sum(outcome.applications for outcome in solved),
        domain="log" if any(outcome.logarithmic for outcome in solved) else "scaling",
        backend=backend,
        start=Start(
            cross.log_scaling * finest.epsilon - prolong(difference, grid.shape, grid.periodic),
            log_own_a * finest.epsilon,
            half_b,
        ),
    )


def _coarse_solves(
    a: Tensor, b: Tensor, grid: Grid, levels: Sequence[Transport], finest: Transport
) -> tuple[Tensor, CoarseCorrection | None]:
    """g_ab − g_bb in Å^p, from a solve on every coarser grid: smooth, so it can be interpolated.

    Also the correction of smooth errors by the last of these grids, for the next solve.
    """
    masses = [(a, b)]
    for level in reversed(levels):
        finer_a, finer_b = masses[0]
        masses.insert(0, (restrict(finer_a, level.kernel.shape), restrict(finer_b, level.kernel.shape)))
    difference, correction = a.new_zeros(len(a), *[1] * (a.ndim - 1)), None
    for level, finer, (coarse_a, coarse_b) in zip(levels, [*levels[1:], finest], masses, strict=False):
        own = replace(level, tol=OWN * level.tol).own(Masses.of(coarse_b), None).log_scaling
        start = prolong(difference, level.kernel.shape, grid.periodic).div_(level.epsilon).add_(own)
        cross = level.cross(Masses.of(coarse_a), Masses.of(coarse_b), start, correction)
        difference = (cross.log_scaling - own) * level.epsilon
        correction = None
        if level.damping == 1 and not cross.outcome.logarithmic:
            ratio = math.sqrt(level.epsilon / finer.epsilon)
            with contextlib.suppress(OutOfRange):
                correction = CoarseCorrection(level.kernel, coarse_a, coarse_b, cross.log_scaling, grid.periodic, ratio)
    return difference, correction


def _positive(density: Tensor, grid: Grid, which: str) -> tuple[Tensor, Tensor]:
    """Positive part in float64, and its sum ``[b, 1, …, 1]``."""
    if density.shape[1:] != grid.shape:
        raise DataError(
            f"sinkhorn: the {which} density has shape {tuple(density.shape)}, but a batch on this grid is "
            f"[b, {', '.join(map(str, grid.shape))}]"
        )
    positive = density.detach().double().clamp(min=0)
    total = positive.flatten(1).sum(1).reshape(-1, *[1] * grid.dimension)
    if not (total.isfinite() & (total > 0)).all():
        raise DataError(f"sinkhorn: the {which} density holds a value that is not finite, or no positive value at all")
    return positive, total
