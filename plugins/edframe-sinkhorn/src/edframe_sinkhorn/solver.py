"""Potentials of entropic transport on one grid, in units of ε: the alternating and the symmetric iteration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edframe_sinkhorn.anderson import AndersonMixing
from edframe_sinkhorn.kernel import SeparableKernel


@dataclass(frozen=True)
class Masses:
    """Masses ``[b, n1, …, nd]`` that sum to one, their logarithms, and where they are positive (None: everywhere)."""

    value: Tensor
    log: Tensor
    support: Tensor | None

    @classmethod
    def of(cls, value: Tensor) -> Masses:
        positive = value > 0
        return cls(value, value.log(), None if positive.all() else positive)

    def __getitem__(self, samples: Tensor | slice) -> Masses:
        support = None if self.support is None else self.support[samples]
        return Masses(self.value[samples], self.log[samples], support)

    def weigh(self, log_scaling: Tensor) -> Tensor:
        """log(mass × scaling); −inf where there is no mass, whatever the scaling."""
        weighed = self.log + log_scaling
        return weighed if self.support is None else weighed.masked_fill_(~self.support, -torch.inf)

    def inside(self, log_scaling: Tensor) -> Tensor:
        """``log_scaling`` where there is mass, 0 elsewhere."""
        return log_scaling if self.support is None else log_scaling.masked_fill(~self.support, 0.0)


@dataclass(frozen=True)
class Solution:
    """Log scalings ``[b, n1, …, nd]``, marginal error ``[b]`` and number of iterations ``[b]``."""

    log_scaling: Tensor
    marginal_error: Tensor
    iterations: Tensor


def dual_pair(kernel: SeparableKernel, a: Masses, b: Masses, log_v: Tensor) -> tuple[Tensor, Tensor]:
    """log u = −log K(b v) and log v' = −log K(a u), everywhere: the plan of (u, v') has b as its marginal exactly.

    Hence the dual value is ε(⟨a, log u⟩ + ⟨b, log v'⟩), and its error is of second order in that of v.
    """
    log_u = -kernel.log_apply(b.weigh(log_v))
    return log_u, -kernel.log_apply(a.weigh(log_u))


def solve_self(kernel: SeparableKernel, a: Masses, tolerance: float, max_iterations: int) -> Solution:
    """The scaling s = 1/K(a s) of a density with itself, by s ← √(s/K(a s)) (Feydy et al. 2019, section 3.1)."""
    # Where the density hardly varies over one blur, s = (K a)^(-1/2): the right start almost everywhere.
    x = a.inside(-0.5 * kernel.log_apply(a.log, a.support))
    log_s = torch.empty_like(x)
    error = torch.full_like(x.flatten(1)[:, 0], torch.inf)
    iterations = torch.zeros_like(error, dtype=torch.int64)
    active = torch.arange(len(error), device=error.device)
    for iteration in range(1, max_iterations + 1):
        log_t = a.inside(x + kernel.log_apply(a.weigh(x), a.support))
        error[active] = (a.value * log_t.expm1().abs()).flatten(1).sum(1)
        iterations[active] = iteration
        going = (error[active] > tolerance) & (iteration < max_iterations)
        log_s[active[~going]] = x[~going]
        if not going.any():
            break
        x = x - 0.5 * log_t
        if not going.all():
            active, a, x = active[going], a[going], x[going]
    return Solution(log_s, error, iterations)


def solve_cross(
    kernel: SeparableKernel, a: Masses, b: Masses, start: Tensor, tolerance: float, max_iterations: int
) -> Solution:
    """The scaling v of b for the transport between a and b: v ← 1/K(a u), u = 1/K(b v), with Anderson mixing.

    The marginal error is ‖b (v/v' − 1)‖₁, v' being the next v: what the plan of (u, v) lacks of the marginal b.
    Samples stop one by one, so that the result for one does not depend on its batch.
    """
    x = b.inside(start)
    log_v = torch.empty_like(x)
    error = torch.full_like(x.flatten(1)[:, 0], torch.inf)
    iterations = torch.zeros_like(error, dtype=torch.int64)
    active = torch.arange(len(error), device=error.device)
    mixing = AndersonMixing(b.value.flatten(1))
    for iteration in range(1, max_iterations + 1):
        log_u = -kernel.log_apply(b.weigh(x), a.support)
        image = b.inside(-kernel.log_apply(a.weigh(log_u), b.support))
        residual = image - x
        error[active] = (b.value * (-residual).expm1().abs()).flatten(1).sum(1)
        iterations[active] = iteration
        going = (error[active] > tolerance) & (iteration < max_iterations)
        log_v[active[~going]] = x[~going]
        if not going.any():
            break
        if not going.all():
            active, a, b, image, residual = active[going], a[going], b[going], image[going], residual[going]
            mixing.keep(going)
        x = mixing.mix(image.flatten(1), residual.flatten(1)).reshape(image.shape)
    return Solution(log_v, error, iterations)
