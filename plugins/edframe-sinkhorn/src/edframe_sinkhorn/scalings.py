"""Both iterations with the scalings themselves: most of the way to a solution, where a type of numbers holds them.

v ← v/r with r = v K(a/K(b v)) for two masses, and s with r = s K(a s) for one. A step takes one logarithm and one
exponential, where that of log v takes two of each, and float32 serves for a marginal error of 3e-6: half the time of
float64, which is tried next. The solver goes on from here in any case, so that its tests and its accuracy are those of
double precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_sinkhorn.anderson import AndersonMixing
from edframe_sinkhorn.correction import CORRECTED, DISTRUST, CoarseCorrection
from edframe_sinkhorn.islands import Islands
from edframe_sinkhorn.kernel import Kernel
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.small import exp_, log_

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Precision:
    """A floating type, and what of the range of its exponents may be used.

    largest: exponent of the largest scaling of b. span: exponents between that and the least. lacking: exponents
    between a mass and the least sum over it, of which what underflows in the kernel is e^−17 then, in double precision
    e^−22. floor: exponent below which sums lack terms. least: marginal error that is approached, some ten times what
    rounding leaves.
    """

    type: torch.dtype
    largest: float
    span: float
    lacking: float
    floor: float
    least: float


SINGLE = Precision(torch.float32, 50.0, 120.0, 70.0, -60.0, 3e-6)
DOUBLE = Precision(torch.float64, 340.0, 678.0, 678.0, -650.0, 0.0)

MEMORY = 2
"""Past differences that are mixed; each is as large as a density, and more hardly save iterations."""

COARSE_MEMORY = 3
"""The same where nothing corrects smooth errors, as on the coarsest grid."""

PATIENCE = 4
"""Iterations between two stopping tests on an accelerator, where each makes the host wait."""

STEPS = 60
"""Most iterations: what takes longer is a hard case, in which double precision pays."""


@dataclass(frozen=True)
class Problem:
    """What is to be solved: masses a and b, or one that is transported to itself.

    damping, tol: see ``solver``. correction: of smooth errors, from the next coarser grid.
    """

    kernel: Kernel
    masses: tuple[Masses, ...]
    damping: float
    tol: float
    correction: CoarseCorrection | None = None
    islands: Islands | None = None

    def __getitem__(self, samples: Bool[Tensor, "b"]) -> Problem:
        return replace(
            self,
            masses=tuple(mass[samples] for mass in self.masses),
            correction=self.correction.among(samples) if self.correction else None,
            islands=self.islands[samples] if self.islands else None,
        )

    @property
    def alone(self) -> bool:
        return len(self.masses) == 1

    @property
    def patience(self) -> int:
        """Iterations between two stopping tests."""
        return 1 if self.masses[0].value.device.type == "cpu" else PATIENCE


@dataclass(frozen=True)
class Approach:
    """A scaling near the solution, e^``shift`` × ``scaling``, and the sums K(b v) of its iteration, to the power λ.

    scaling: ``[b, n1, …, nd]`` in the precision of the iteration; sums: the same, in double precision only. known: the
    log scaling it began with, which samples that were not ``moved`` still have. marginal_errors, iterations: of each
    sample. applications: of the kernel.
    """

    scaling: Float[Tensor, "b *grid"]
    shift: Float[Tensor, "b *ones"]
    sums: Float[Tensor, "b *grid"] | None
    known: Float[Tensor, "b *grid"] | None
    moved: list[bool]
    marginal_errors: list[float]
    iterations: list[int]
    applications: int

    @property
    def log_scaling(self) -> Float[Tensor, "b *grid"]:
        """Float64."""
        if self.known is not None and not any(self.moved):
            return self.known
        logs = log_(self.scaling.to(torch.float64, copy=True)).add_(self.shift)
        if self.known is not None:
            for sample, moved in enumerate(self.moved):
                if not moved:
                    logs[sample] = self.known[sample]
        return logs

    @property
    def log_sums(self) -> Float[Tensor, "b *grid"]:
        """λ log K(b v)."""
        assert self.sums is not None
        return log_(self.sums).add_(self.shift)


class Chebyshev:
    """Steps of a self transport, whose error e has (1 + λP) e = r, P with its spectrum in [0, 1].

    Six times less error with each, and no products of fields, as mixing takes them. Saad 2003, Iterative Methods for
    Sparse Linear Systems, algorithm 12.1.
    """

    def __init__(self, damping: float) -> None:
        self._middle, self._half = 1 + damping / 2, damping / 2
        self._ratio = 0.0
        self._last: Tensor | None = None

    def step(self, residual: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """The difference of the next iterate and this one, from G(x) − x, in its place."""
        if self._last is None:
            self._ratio = self._half / self._middle
            residual.div_(self._middle)
        else:
            ratio = 1 / (2 * self._middle / self._half - self._ratio)
            residual.mul_(2 * ratio / self._half).add_(self._last, alpha=ratio * self._ratio)
            self._ratio = ratio
        self._last = residual.clone()
        return residual


def approach(
    problem: Problem, start: Float[Tensor, "b *grid"] | Approach | None, limit: int, precision: Precision
) -> Approach | None:
    """From the log scaling ``start``, or the first guess of a self transport, towards the solution; None out of range.

    In double precision what it reaches is tested as ``solver`` does. Samples that a log scaling solves already stay as
    they are, bit for bit.
    """
    kernel, masses, damping, alone = problem.kernel, problem.masses, problem.damping, problem.alone
    b = masses[-1].value.to(precision.type)
    a = b if alone else masses[0].value.to(precision.type)
    begun = _begun(problem, start, precision)
    if begun is None:
        return None
    v, shift, known, moved = begun
    outside = [None if mass.support is None else ~mass.support for mass in (masses[0], masses[-1])]
    applications = int(start is None)
    mixing: Chebyshev | AndersonMixing | None = None
    first, second = torch.empty_like(v), torch.empty_like(v)
    sums = torch.empty_like(v) if precision is DOUBLE else None
    row, column = b.flatten(1)[:, None], (len(b), -1, 1)
    best = [math.inf] * len(b)
    reached: tuple[Tensor, Tensor | None] = v, sums
    counts, lasting = [0] * len(b), best.copy()
    tol = max(problem.tol, precision.least)
    last = min(limit, STEPS)
    for iteration in range(1, last + 1):
        tested = iteration % problem.patience == 0 or iteration in (1, last)
        torch.mul(b, v, out=first)
        checked = tested and (iteration == 1 or sums is not None)
        total = first.flatten(1).sum(1).tolist() if checked else []
        out = kernel.apply(first, second)
        applications += 1
        if checked:
            held = _within(out, outside[0], total, precision)
        if iteration == 1 and not held:
            return None
        if damping != 1:
            out.pow_(damping)
        if sums is not None and tested:
            sums.copy_(out)
        if not alone:
            spare = second if out is first else first
            if outside[0] is not None:
                out.masked_fill_(outside[0], 1.0)
            torch.div(a, out, out=spare)
            other = spare.flatten(1).sum(1).tolist() if iteration == 1 else []
            out = kernel.apply(spare, out)
            applications += 1
            if iteration == 1 and not _within(out, outside[1], other, precision):
                return None
            if damping != 1:
                out.pow_(damping)
        ratio = out.mul_(v)
        if outside[1] is not None:
            ratio.masked_fill_(outside[1], 1.0)
        trusted: list[bool] = []
        if tested:
            spare = second if ratio is first else first
            torch.sub(ratio, 1.0, out=spare).abs_()
            errors = torch.bmm(row, spare.view(column)).flatten().tolist()
            if not all(error < math.inf for error in errors):
                return None
            trusted = [error <= DISTRUST * former for error, former in zip(errors, best, strict=True)]
            best = [min(error, former) for error, former in zip(errors, best, strict=True)]
            solved = [
                sample
                for sample, error in enumerate(errors)
                if not counts[sample] and (error <= tol or iteration == last)
            ]
            for sample in solved:
                counts[sample], lasting[sample] = iteration, errors[sample]
                moved[sample] |= iteration > 1
            if len(solved) == len(b):
                break
            if solved:
                if reached[0] is v:
                    reached = torch.empty_like(v), None if sums is None else torch.empty_like(v)
                for kept, now in zip(reached, (v, sums), strict=True):
                    if kept is not None and now is not None:
                        kept[solved] = now[solved]
            if all(counts):
                break
        residual = log_(ratio).neg_()
        if problem.correction is not None and iteration <= CORRECTED:
            problem.correction.improve(residual, b, None if all(trusted) else torch.tensor(trusted, device=b.device))
        if mixing is None:
            memory = MEMORY if problem.correction else COARSE_MEMORY
            mixing = Chebyshev(damping) if alone else AndersonMixing(masses[-1].value.flatten(1), memory, 1.0)
        v.mul_(exp_(mixing.step(residual)))
    scaling, sums = reached
    if sums is not None:
        if not held:
            return None
        if outside[0] is not None:
            sums.masked_fill_(sums < math.exp(precision.floor), 0.0)
    return Approach(scaling, shift, sums, known, moved, lasting, counts, applications)


def _begun(
    problem: Problem, start: Tensor | Approach | None, precision: Precision
) -> tuple[Tensor, Tensor, Tensor | None, list[bool]] | None:
    """``scaling``, ``shift``, ``known`` and ``moved`` of the first iterate, see ``Approach``; None out of range. Where
    there is no start, it takes an application of the kernel."""
    masses, damping, alone = problem.masses, problem.damping, problem.alone
    count, device = len(masses[-1].value), masses[-1].value.device
    shift = torch.zeros(count, *[1] * (masses[-1].value.ndim - 1), dtype=torch.float64, device=device)
    if start is None:
        v = problem.kernel.apply(masses[0].value.to(precision.type, copy=True))
        return v.rsqrt_() if damping == 1 else v.pow_(-damping / (1 + damping)), shift, None, [True] * count
    if isinstance(start, Approach):
        known, shift = start.known, start.shift
        v = start.scaling.to(precision.type, copy=True)
        if known is not None:
            for sample, was_moved in enumerate(start.moved):
                if not was_moved:
                    v[sample] = exp_(known[sample] - shift[sample])
        return v, shift, known, start.moved.copy()
    lows, tops = (each.tolist() for each in start.flatten(1).aminmax(dim=1))
    # Of two scalings one may be multiplied, and the other divided, by any number.
    if damping == 1 and not alone:
        shift = shift + torch.tensor(tops, device=device).reshape(shift.shape) - precision.largest
    elif not max(tops) <= precision.largest:
        return None
    if not all(top - low < precision.span for top, low in zip(tops, lows, strict=True)):
        return None
    return exp_((start - shift).to(precision.type)), shift, start, [False] * count


def _within(sums: Tensor, outside: Tensor | None, totals: Sequence[float], precision: Precision) -> bool:
    """Whether ``sums`` of masses with these ``totals`` lack nothing where they are wanted."""
    lowest = (sums if outside is None else sums.masked_fill(outside, torch.inf)).flatten(1).amin(1).tolist()
    return all(
        0 < total < math.inf and low > 0 and math.log(low) > max(math.log(total) - precision.lacking, precision.floor)
        for low, total in zip(lowest, totals, strict=True)
    )
