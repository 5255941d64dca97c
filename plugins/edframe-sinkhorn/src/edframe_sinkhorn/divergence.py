"""The debiased Sinkhorn divergence of two densities on a grid, with its gradient in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_sinkhorn.ladder import Ladder, strict
from edframe_sinkhorn.marginals import Marginals
from edframe_sinkhorn.options import Options
from edframe_sinkhorn.pyramid import prolong
from edframe_sinkhorn.solver import Outcome
from edframe_sinkhorn.transport import Transport

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Start:
    """Where a solve may begin: what an earlier one found for nearly the same densities.

    detail: the potential g_ab of b, less its part on the coarse grids, own: f_aa, ``[b, n1, …, nd]`` in Å^p. reference:
    OT_ε(b, b)/2, ``[b]`` in Å^p.
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


def sinkhorn_divergence(
    a: Float[Tensor, "b *grid"],
    b: Float[Tensor, "b *grid"],
    grid: Grid,
    blur: float | None = None,
    *,
    start: Start | None = None,
    reference_gradient: bool = True,
    **options: Any,
) -> SinkhornDivergence:
    """S_ε(a, b) = OT_ε(a, b) − ½ OT_ε(a, a) − ½ OT_ε(b, b) with cost |x − y|²/2 and ε = blur².

    a, b: ``[b, n1, …, nd]``, any unit and floating type; what lies below zero counts as zero. Distances along periodic
    axes are to the nearest image. start: from an earlier result for the same b, blur and grid; the self transport of b
    is then left out. reference_gradient: False saves the work for it. blur and the other options: see ``Options``.

    Raises DataError for a grid that the backend cannot treat, and for a density with the wrong shape, no positive
    value or one that is not finite; ConfigError for an option out of range. Feydy et al. 2019, section 3; with
    ``reach`` Séjourné et al. 2019.
    """
    return divergence(a, b, grid, Options(blur, **options), start, reference_gradient)


@torch.no_grad()
def divergence(
    a: Float[Tensor, "b *grid"],
    b: Float[Tensor, "b *grid"],
    grid: Grid,
    options: Options,
    start: Start | None = None,
    reference_gradient: bool = True,
) -> SinkhornDivergence:
    """``sinkhorn_divergence``, with its options in one object."""
    marginals = Marginals.of(a, b, grid, options)
    ladder = Ladder.on(grid, options, a.device)
    first, second, finest = marginals.first, marginals.second, ladder.finest

    # Large tensors are let go of as soon as they have served: a solve holds about ten densities at its peak.
    own, log_scaling_b = _self_terms(marginals, finest, start, reference_gradient)
    difference, correction, islands = ladder.difference(first.value, second.value)
    begin = prolong(difference, grid.shape, grid.periodic).div_(finest.epsilon)
    if start:
        begin.add_(start.detail, alpha=1 / finest.epsilon)
    elif log_scaling_b is not None:
        begin.add_(log_scaling_b)
    del log_scaling_b
    cross = finest.cross(first, second, begin, correction, islands)
    del begin, correction, islands
    solved = [*own.outcomes, cross.outcome]

    value = finest.value(first, second, cross)
    if options.debias:
        value = value - own.half_a - own.half_b + finest.epsilon / 2 * (first.total - second.total) ** 2
    potential = finest.derivative(cross.implied, own.log_a if options.debias else None, second)
    potential_b = None
    if reference_gradient:  # one more step of both, so that equal densities have equal potentials
        potential_b = finest.derivative(finest.implied(first, cross.implied), own.log_b, first)
    if not (value.sum() + potential.sum()).isfinite():
        raise DataError("sinkhorn: the potentials are not finite; a larger blur or a smaller cell may help")
    return SinkhornDivergence(
        value=value * marginals.factor.flatten(),
        gradient=marginals.gradient(potential),
        reference_gradient=None if potential_b is None else marginals.reference_gradient(potential, potential_b, value),
        potential=potential,
        reference_potential=potential_b,
        marginal_error=torch.stack([outcome.marginal_error for outcome in solved]).amax(0),
        iterations=cross.outcome.iterations,
        applications=sum(outcome.applications for outcome in solved),
        domain="log" if any(outcome.logarithmic for outcome in solved) else "scaling",
        backend=ladder.backend,
        start=Start(
            cross.log_scaling * finest.epsilon - prolong(difference, grid.shape, grid.periodic),
            own.log_a * finest.epsilon,
            own.half_b,
        ),
    )


@dataclass(frozen=True)
class _SelfTerms:
    """OT_ε(a, a)/2 and OT_ε(b, b)/2, ``[b]``; the log scalings that these solutions imply, that of b if it is needed
    for its gradient; how the solves went."""

    half_a: Tensor
    half_b: Tensor
    log_a: Tensor
    log_b: Tensor | None
    outcomes: tuple[Outcome, ...]


def _self_terms(
    marginals: Marginals, finest: Transport, start: Start | None, reference_gradient: bool
) -> tuple[_SelfTerms, Tensor | None]:
    """The self transports, and the log scaling of b with itself; that of b is left out where ``start`` knows it."""
    first, second = marginals.first, marginals.second
    log_b = scaling_b = None
    outcomes: list[Outcome] = []
    if start:
        half_b, begin = start.reference, start.own / finest.epsilon
    if not start or reference_gradient:
        own_b = strict(finest).own(second, None)
        outcomes.append(own_b.outcome)
        half_b = finest.value(second, second, own_b) / 2
        log_b = finest.implied(second, own_b.implied) if reference_gradient and marginals.options.debias else None
        scaling_b = own_b.log_scaling
        if not start:  # that of b, which is near where a is near b, and of the right size elsewhere
            begin = scaling_b.clone() if second.support is None else scaling_b.where(second.support, own_b.implied)
        del own_b
    own_a = strict(finest).own(first, begin)
    half_a = finest.value(first, first, own_a) / 2
    return _SelfTerms(half_a, half_b, own_a.implied, log_b, (*outcomes, own_a.outcome)), scaling_b
