"""One entropic transport problem on one grid: its solutions, its value, and its derivatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from edframe_sinkhorn.correction import CoarseCorrection
from edframe_sinkhorn.islands import Islands
from edframe_sinkhorn.kernel import Kernel
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.scalings import Problem
from edframe_sinkhorn.solver import Solution, implied_scaling, solve

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Transport:
    """OT_ε with marginals that are exact (ρ = ∞) or held by a Kullback–Leibler penalty of weight ρ (Å^p).

    tol, limit: marginal error to stop at, and the most iterations.
    """

    kernel: Kernel
    rho: float
    tol: float
    limit: int

    @property
    def epsilon(self) -> float:
        """ε in Å^p."""
        return self.kernel.epsilon

    @property
    def damping(self) -> float:
        """λ = 1/(1 + ε/ρ), the exponent that relaxed marginals put on the scalings (Chizat et al. 2018)."""
        return 1 / (1 + self.epsilon / self.rho)

    def own(self, a: Masses, start: Float[Tensor, "b *grid"] | None, rough: bool = False) -> Solution:
        """Of a density with itself; ``start``: a log scaling, overwritten. rough: for other solves to start from."""
        return solve(Problem(self.kernel, (a,), self.damping, self.tol), start, self.limit, rough)

    def cross(
        self,
        a: Masses,
        b: Masses,
        start: Float[Tensor, "b *grid"],
        correction: CoarseCorrection | None,
        islands: Islands | None,
        rough: bool = False,
    ) -> Solution:
        """Of a with b; ``start``: a log scaling of b, which is overwritten."""
        problem = Problem(self.kernel, (a, b), self.damping, self.tol, correction, islands)
        return solve(problem, start, self.limit, rough)

    def implied(self, mass: Masses, log_scaling: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """The log scaling of the other mass that ``log_scaling`` of ``mass`` implies."""
        return implied_scaling(self.kernel, mass, log_scaling, self.damping)

    def value(self, a: Masses, b: Masses, solution: Solution) -> Float[Tensor, "b"]:
        """The dual value OT_ε(a, b), ``[b]`` in Å^p, from the scaling of b: its error is of second order."""
        log_u, log_v = solution.implied, solution.log_scaling
        if math.isinf(self.rho):
            return (a.integral(log_u) + b.integral(log_v)) * self.epsilon
        ratio = -self.epsilon / self.rho
        relaxed_a, relaxed_b = a.integral((log_u * ratio).expm1_()), b.integral((log_v * ratio).expm1_())
        plan = relaxed_a + a.total  # the mass that the plan of (u, v) moves, because u is what v implies
        return -self.rho * (relaxed_a + relaxed_b) - self.epsilon * (plan - a.total * b.total)

    def derivative(
        self, log_u: Float[Tensor, "b *grid"], log_own: Float[Tensor, "b *grid"] | None, other: Masses
    ) -> Float[Tensor, "b *grid"]:
        """∂OT_ε(a, b)/∂a, less ½ ∂OT_ε(a, a)/∂a when ``log_own`` is given, in Å^p; ``other`` is b.

        With ``log_own`` and ρ, the derivative of the mass term ε/2 (m_a − m_b)² is in it.
        """
        if math.isinf(self.rho):
            return (log_u if log_own is None else log_u - log_own) * self.epsilon
        ratio = -self.epsilon / self.rho
        relaxed = (log_u * ratio).expm1_()
        if log_own is not None:
            return (self.rho + self.epsilon) * ((log_own * ratio).expm1_() - relaxed)
        mass = other.total.reshape(-1, *[1] * (log_u.ndim - 1))
        return self.epsilon * (mass - 1) - (self.rho + self.epsilon) * relaxed
