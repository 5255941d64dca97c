"""Potentials of entropic transport on one grid, in units of ε: the alternating and the symmetric iteration.

Both run in the scaling domain, where one application of the kernel is a few matrix products. A batch that leaves its
range is solved again in the log domain, which has no limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from edframe_sinkhorn.anderson import AndersonMixing
from edframe_sinkhorn.kernel import HEADROOM, Kernel

T = TypeVar("T")

MEMORY = 4
"""Past differences mixed in the transport between two densities; each is as large as half a density."""

PATIENCE = 4
"""Iterations between two stopping tests on an accelerator, where each makes the host wait; one on a CPU."""


@dataclass(frozen=True)
class Masses:
    """Masses ``[b, n1, …, nd]`` and where they are positive (None: everywhere)."""

    value: Tensor
    support: Tensor | None

    @classmethod
    def of(cls, value: Tensor) -> Masses:
        return cls(value, None if value.amin() > 0 else value > 0)

    def __getitem__(self, samples: Tensor | slice) -> Masses:
        return Masses(self.value[samples], None if self.support is None else self.support[samples])

    def inside(self, field: Tensor, outside: float = 0.0) -> Tensor:
        """``field`` where there is mass and ``outside`` elsewhere, in place."""
        return field if self.support is None else field.masked_fill_(~self.support, outside)

    @cached_property
    def total(self) -> Tensor:
        """Σ mass, ``[b]``."""
        return self.value.flatten(1).sum(1)

    def integral(self, field: Tensor) -> Tensor:
        """Σ mass × field, ``[b]``."""
        return self.inside(self.value * field).flatten(1).sum(1)


@dataclass(frozen=True)
class Solution:
    """The log scaling x of one mass m, and −λ log K(m eˣ), the log scaling of the other that it implies.

    log_scaling ``[b, n1, …, nd]``, 0 where there is no mass. implied ``[b, n1, …, nd]``, finite everywhere.
    marginal_error, iterations ``[b]``. applications: of the kernel. logarithmic: whether in the log domain.
    """

    log_scaling: Tensor
    implied: Tensor
    marginal_error: Tensor
    iterations: Tensor
    applications: int
    logarithmic: bool


def implied_scaling(kernel: Kernel, mass: Masses, log_scaling: Tensor, damping: float) -> Tensor:
    """−λ log K(m eˣ) everywhere."""
    return _in_either_domain(kernel, damping, lambda step: step(mass, log_scaling, None))


class OutOfRange(Exception):
    """The scaling domain cannot hold the sums of this batch."""


class Transition:
    """x ↦ −λ log K(m eˣ): the log scaling that one mass implies for the other, in one of the two domains."""

    def __init__(self, kernel: Kernel, damping: float, logarithmic: bool) -> None:
        self.kernel = kernel
        self.damping = damping
        self.logarithmic = logarithmic
        self.applications = 0

    def __call__(self, mass: Masses, x: Tensor, wanted: Tensor | None, tested: bool = True) -> Tensor:
        """Float64 ``[b, n1, …, nd]``; raises OutOfRange, if ``tested``, when a value at a ``wanted`` point is lost."""
        self.applications += 1
        if self.logarithmic:
            log_sums = self.kernel.log_apply(mass.inside(mass.value.log() + x, -torch.inf))
        else:
            top = x if mass.support is None else mass.inside(x.clone(), -torch.inf)
            offset = top.flatten(1).amax(1).reshape(-1, *[1] * (x.ndim - 1)) - HEADROOM
            shifted = x - offset
            if mass.support is not None:
                shifted.clamp_(max=HEADROOM)
            density = shifted.exp_().mul_(mass.value)
            smallest = self.kernel.smallest(density) if tested else 0.0
            sums = self.kernel.apply(density)
            within = sums >= smallest
            if tested and not bool((within if wanted is None else within | ~wanted).all()):
                raise OutOfRange
            if wanted is not None:
                sums.masked_fill_(~within, 0.0)
            log_sums = sums.log_().add_(offset)
        return log_sums.mul_(-self.damping)


def solve_self(kernel: Kernel, a: Masses, start: Tensor | None, damping: float, tol: float, limit: int) -> Solution:
    """The scaling s = (K(a s))^−λ of a density with itself; λ = ``damping`` is 1 where marginals are exact."""

    def attempt(step: Transition) -> Solution:
        # Where the density hardly varies over one blur, s = (K a)^(−λ/(1 + λ)): the right start almost everywhere.
        x = step(a, torch.zeros_like(a.value), a.support).div_(1 + damping) if start is None else start
        # Near the solution an error e becomes −λ P e, where P are the transitions of a reversible Markov chain whose
        # spectrum lies in [0, 1]: a step of this fraction suits all of it.
        mixing = AndersonMixing(a.value.flatten(1), memory=2, relaxation=1 / (1 + 0.8 * damping))
        return _iterate(step, [a], a.inside(x), mixing, tol, limit)

    return _in_either_domain(kernel, damping, attempt)


def solve_cross(
    kernel: Kernel, a: Masses, b: Masses, start: Tensor, damping: float, tol: float, limit: int
) -> Solution:
    """The scaling v of b for the transport between a and b: v ← (K(a u))^−λ, u = (K(b v))^−λ.

    The marginal error is ‖b (v/v' − 1)‖₁, v' being the next v: what the plan of (u, v) lacks of the marginal b.
    """

    def attempt(step: Transition) -> Solution:
        mixing = AndersonMixing(b.value.flatten(1), memory=MEMORY, relaxation=1.0)
        return _iterate(step, [a, b], b.inside(start.clone()), mixing, tol, limit)

    return _in_either_domain(kernel, damping, attempt)


def _in_either_domain(kernel: Kernel, damping: float, attempt: Callable[[Transition], T]) -> T:
    try:
        return attempt(Transition(kernel, damping, logarithmic=False))
    except OutOfRange:
        return attempt(Transition(kernel, damping, logarithmic=True))


def _iterate(
    step: Transition, masses: list[Masses], x: Tensor, mixing: AndersonMixing, tol: float, limit: int
) -> Solution:
    """x ← G(x), through one mass (a density with itself) or there and back through two.

    Samples stop one by one, so that the result for one does not depend on its batch.
    """
    everything = masses
    active = torch.arange(len(x), device=x.device)
    patience = 1 if x.device.type == "cpu" else PATIENCE
    finished: list[tuple[Tensor, ...]] = []
    for iteration in range(1, limit + 1):
        first, last = masses[0], masses[-1]
        tested = iteration % patience == 0 or iteration in (1, limit)
        implied = step(last, x, first.support, tested)
        image = implied.clone() if last is first else step(first, implied, last.support, tested)
        image = last.inside(image)
        if tested:
            error = last.integral((x - image).expm1_().abs_())
            done = (error <= tol) | (iteration == limit)
            if done.any():
                results = (active, x, implied, error, torch.full_like(active, iteration))
                if done.all():
                    finished.append(results)
                    break
                finished.append(tuple(result[done] for result in results))
                masses = [mass[~done] for mass in masses] if last is not first else [first[~done]]
                active, x, image = active[~done], x[~done], image[~done]
                mixing.keep(~done)
        del implied
        x = mixing.next(image, image - x)
        del image
    order = torch.cat([part[0] for part in finished]).argsort()
    x, implied, error, count = (
        parts[0] if len(parts) == 1 else torch.cat(parts)[order]
        for parts in zip(*(p[1:] for p in finished), strict=True)
    )
    if everything[0].support is not None and not implied.isfinite().all():  # far from all mass
        implied = Transition(step.kernel, step.damping, logarithmic=True)(everything[-1], x, None)
    return Solution(x, implied, error, count, step.applications, step.logarithmic)
