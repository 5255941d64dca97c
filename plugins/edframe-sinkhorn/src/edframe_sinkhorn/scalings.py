"""Both iterations with the scalings themselves: most of the way to a solution, where a type of numbers holds them.

v ← v/r with r = v K(a/K(b v)) for two masses, and s with r = s K(a s) for one. A step takes one logarithm and one
exponential, where that of log v takes two of each, and float32 serves for a marginal error of 3e-6: half the time of
float64, which is tried next. The solver goes on from here in any case, so that its tests and its accuracy are those of
double precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_sinkhorn.anderson import AndersonMixing
from edframe_sinkhorn.correction import CORRECTED, DISTRUST, CoarseCorrection
from edframe_sinkhorn.kernel import Kernel
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.small import exp_, log_

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Precision:
    """A floating type, and what of the range of its exponents may be used.

    largest: exponent of the largest scaling of b, and of its sums, because masses add to one; that of a is its inverse,
    so it is in the middle of the range. span: exponents between the largest scaling and the least sum, of which what
    underflows in the kernel is e^−22 then. floor: exponent below which sums lack terms. least: marginal error that is
    approached, some ten times what rounding leaves.
    """

    type: torch.dtype
    largest: float
    span: float
    floor: float
    least: float


SINGLE = Precision(torch.float32, 40.0, 65.0, -60.0, 3e-6)
DOUBLE = Precision(torch.float64, 340.0, 678.0, -650.0, 0.0)

STEPS = 60
"""Most iterations: what takes longer is a hard case, in which double precision pays."""


@dataclass(frozen=True)
class Approach:
    """A log scaling near the solution, float64 ``[b, n1, …, nd]``; its marginal error and iterations ``[b]``.

    applications: of the kernel.
    """

    log_scaling: Float[Tensor, "b *grid"]
    marginal_error: Float[Tensor, "b"]
    iterations: Int[Tensor, "b"]
    applications: int


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
    kernel: Kernel,
    masses: Sequence[Masses],
    x: Float[Tensor, "b *grid"] | None,
    damping: float,
    tol: float,
    limit: int,
    correction: CoarseCorrection | None,
    memory: int,
    patience: int,
    precision: Precision,
) -> Approach | None:
    """From the log scaling ``x``, or the first guess of a self transport, towards the solution; None out of range.

    masses: a and b, or one that is transported to itself. damping, correction: see ``solver``. memory: of the mixing.
    patience: iterations between two tests. Samples that ``x`` solves already stay as they are, bit for bit.
    """
    b = masses[-1].value.to(precision.type)
    a = b if masses[0] is masses[-1] else masses[0].value.to(precision.type)
    outside = [None if mass.support is None else ~mass.support for mass in (masses[0], masses[-1])]
    alone = masses[0] is masses[-1]
    applications = 0
    shift = b.new_zeros(len(b), *[1] * (b.ndim - 1), dtype=torch.float64)
    if x is None:
        v = kernel.apply(a.clone()).pow_(-damping / (1 + damping))
        applications += 1
    else:
        top, low = x.flatten(1).amax(1), x.flatten(1).amin(1)
        # Of two scalings one may be multiplied, and the other divided, by any number.
        if damping == 1 and not alone:
            shift = (top - precision.largest).reshape(shift.shape)
        if not bool(((top - shift.flatten() <= precision.largest) & (top - low < precision.span)).all()):
            return None
        v = exp_((x - shift).to(precision.type))
    mixing = Chebyshev(damping) if alone else AndersonMixing(masses[-1].value.flatten(1), memory, 1.0)
    first, second = torch.empty_like(v), torch.empty_like(v)
    row, column = b.flatten(1)[:, None], (len(b), -1, 1)
    best = [math.inf] * len(b)
    results: list[Tensor | None] = [None] * len(b)
    counts, lasting = [1] * len(b), best.copy()
    tol = max(tol, precision.least)
    last = min(limit, STEPS)
    for iteration in range(1, last + 1):
        out = kernel.apply(torch.mul(b, v, out=first), second)
        applications += 1
        if iteration == 1 and not _within(out, outside[0], v, precision):
            return None
        if damping != 1:
            out.pow_(damping)
        if not alone:
            spare = second if out is first else first
            if outside[0] is not None:
                out.masked_fill_(outside[0], 1.0)
            torch.div(a, out, out=spare)
            other = out.reciprocal() if iteration == 1 else None
            out = kernel.apply(spare, out)
            applications += 1
            if other is not None and not _within(out, outside[1], other, precision):
                return None
            if damping != 1:
                out.pow_(damping)
        ratio = out.mul_(v)
        if outside[1] is not None:
            ratio.masked_fill_(outside[1], 1.0)
        trusted: list[bool] = []
        if iteration % patience == 0 or iteration in (1, last):
            spare = second if ratio is first else first
            torch.sub(ratio, 1.0, out=spare).abs_()
            errors = torch.bmm(row, spare.view(column)).flatten().tolist()
            if not all(error < math.inf for error in errors):
                return None
            trusted = [error <= DISTRUST * former for error, former in zip(errors, best, strict=True)]
            best = [min(error, former) for error, former in zip(errors, best, strict=True)]
            for sample, error in enumerate(errors):
                if results[sample] is None and (error <= tol or iteration == last):
                    results[sample] = v[sample].clone()
                    counts[sample], lasting[sample] = iteration, error
            if all(result is not None for result in results):
                break
        residual = log_(ratio).neg_()
        if correction is not None and iteration <= CORRECTED:
            correction.improve(residual, b, None if all(trusted) else torch.tensor(trusted, device=b.device))
        v.mul_(exp_(mixing.step(residual)))
    del mixing, first, second, out, ratio, v
    logs = torch.empty_like(b, dtype=torch.float64)
    for sample, result in enumerate(results):
        if x is not None and counts[sample] == 1:
            logs[sample] = x[sample]
        elif result is not None:
            log_(logs[sample].copy_(result)).add_(shift[sample])
        results[sample] = None
    error = torch.tensor(lasting, dtype=torch.float64, device=b.device)
    return Approach(logs, error, torch.tensor(counts, device=b.device), applications)


def _within(sums: Tensor, outside: Tensor | None, scaling: Tensor, precision: Precision) -> bool:
    """Whether ``sums`` lack nothing where they are wanted."""
    least = sums if outside is None else sums.masked_fill(outside, torch.inf)
    lowest = (scaling.flatten(1).amax(1).log() - precision.span).clamp_(min=precision.floor)
    return bool((least.flatten(1).amin(1).log() > lowest).all())
