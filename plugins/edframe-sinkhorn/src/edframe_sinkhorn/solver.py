"""Potentials of entropic transport on one grid, in units of ε: the alternating and the symmetric iteration.

Both begin with the scalings themselves (``scalings.py``), and go on from there with their logarithms, in the scaling
domain, where one application of the kernel is a few matrix products. A batch that leaves its range is solved again in
the log domain, which has no limits.

More than 300 lines, because a step and its iteration share the domains, the masses and the islands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_sinkhorn.anderson import AndersonMixing
from edframe_sinkhorn.bands import HEADROOM
from edframe_sinkhorn.correction import CORRECTED, DISTRUST
from edframe_sinkhorn.islands import Islands
from edframe_sinkhorn.kernel import SMALLEST, Kernel, OutOfRange
from edframe_sinkhorn.masses import Masses
from edframe_sinkhorn.scalings import DOUBLE, MEMORY, SINGLE, Approach, Problem, approach
from edframe_sinkhorn.small import exp_, log_

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

FAR_MEMORY = 4
"""Past differences that are mixed in the log domain: what needs it moves far, and converges slowly."""

ASTRAY = 100.0
"""A hard solve goes back to its best iterate once the error is this many times that one's: it was mixed too boldly."""

ABSURD = 1e5
"""No log scaling is as large: its potential would be that of a move by 450 blurs."""

RANGED = 10
"""Iterations between two tests of the range, where they are joined by one of the islands."""

JOINED = 60
"""Iterations that are joined by one of the islands; where as many have not served, the offsets are only tested."""


@dataclass(frozen=True)
class Outcome:
    """How a solve went: marginal error and iterations ``[b]``, applications of the kernel, and the domain."""

    marginal_error: Float[Tensor, "b"]
    iterations: Int[Tensor, "b"]
    applications: int
    logarithmic: bool


@dataclass(frozen=True)
class Solution:
    """The log scaling x of one mass m, and −λ log K(m eˣ), the log scaling of the other that it implies.

    log_scaling ``[b, n1, …, nd]``, 0 where there is no mass. implied ``[b, n1, …, nd]``, finite everywhere.
    """

    log_scaling: Float[Tensor, "b *grid"]
    implied: Float[Tensor, "b *grid"]
    outcome: Outcome


class Transition:
    """x ↦ −λ log K(m eˣ): the log scaling that one mass implies for the other, in one of the two domains."""

    def __init__(self, kernel: Kernel, damping: float, logarithmic: bool) -> None:
        self.kernel = kernel
        self.damping = damping
        self.logarithmic = logarithmic
        self.applications = 0

    def __call__(
        self, mass: Masses, x: Float[Tensor, "b *grid"], wanted: Bool[Tensor, "b *grid"] | None, tested: bool = True
    ) -> Float[Tensor, "b *grid"]:
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
            density = exp_(shifted).mul_(mass.value)
            limits = self.kernel.limits(density) if tested else []
            sums = self.kernel.apply(density)
            for limit in limits:
                within = sums >= limit
                if not bool((within if wanted is None else within | ~wanted).all()):
                    raise OutOfRange
            if wanted is not None:
                sums.masked_fill_(sums < SMALLEST, 0.0)
            log_sums = log_(sums).add_(offset)
        return log_sums.mul_(-self.damping)

    def by_island(
        self, first: Masses, last: Masses, x: Float[Tensor, "b *grid"], islands: Islands, applied: bool
    ) -> tuple[Float[Tensor, "b *grid"], Float[Tensor, "b *grid"]]:
        """``self(last, x + offsets)``, from one application for each island, and the offsets of log v on them.

        applied: False for ``self(last, x)``.

        Raises OutOfRange when what goes from one island to another is lost.
        """
        batch, count = len(x), islands.count
        parts = Masses.of(islands.parts(last.value, 0.0))
        some = parts.value.flatten(1).any(1).reshape(count, batch, *[1] * (x.ndim - 1))
        full = Masses(parts.value, parts.value > 0)
        anywhere = torch.ones_like(parts.value, dtype=torch.bool)  # what has lost digits counts as nothing
        log_sums = self(full, x.repeat(count, *[1] * (x.ndim - 1)), anywhere, tested=False)
        log_sums = log_sums.div_(-self.damping).reshape(count, *x.shape)
        log_sums = log_sums.masked_fill_(~some, -torch.inf).nan_to_num_(nan=-torch.inf, neginf=-torch.inf)
        total = log_sums.logsumexp(0)
        if not first.inside(total.clone()).isfinite().all():
            raise OutOfRange
        softness = 1 / self.damping - 1
        implied = total * -self.damping
        here = first.inside((implied * -softness).exp_()).mul_(first.value) if softness else first.value
        there = last.inside((x * -softness).exp_()).mul_(last.value) if softness else last.value
        log_plans = self._log_exchange(log_sums, total, here, islands)
        offsets = islands.offsets(log_plans, here, there, (1 + self.damping) * softness)
        if not offsets.isfinite().all():
            if not self.logarithmic:
                raise OutOfRange
            offsets.nan_to_num_(0.0)
        if applied:
            log_sums += islands.by_island(offsets)
        return log_sums.logsumexp(0).mul_(-self.damping), islands.spread(offsets)

    @staticmethod
    def _log_exchange(log_sums: Tensor, total: Tensor, here: Tensor, islands: Islands) -> Tensor:
        """Log of the electrons that go from one island to another, ``[b, m, m]``: of any size."""
        columns = []
        for log_part in log_sums:
            log_share = (log_part - total).add_(here.log()).nan_to_num_(nan=-torch.inf, neginf=-torch.inf)
            top = torch.stack(
                [
                    log_share.masked_fill(islands.labels != island, -torch.inf).flatten(1).amax(1)
                    for island in range(islands.count)
                ],
                1,
            )  # [b, m]
            shift = top.nan_to_num(neginf=0.0)
            columns.append(islands.sums((log_share - islands.spread(shift)).exp_()).log_().add_(shift))
        return torch.stack(columns, 2)


@torch.inference_mode()
def solve(problem: Problem, start: Float[Tensor, "b *grid"] | None, limit: int, rough: bool = False) -> Solution:
    """The scaling v of b for the transport between a and b: v ← (K(a u))^−λ, u = (K(b v))^−λ; λ = ``damping`` is 1
    where marginals are exact. Of one mass with itself: s = (K(a s))^−λ.

    start: log v, and overwritten. Without, s = (K a)^(−λ/(1 + λ)), the right start almost everywhere: where the density
    hardly varies over one blur. The marginal error is ‖b (v/v' − 1)‖₁, v' being the next v: what the plan of (u, v)
    lacks of the marginal b, and what the potentials lack of their offsets on the ``islands`` (``islands.py``).
    rough: single precision will do.
    """
    last = problem.masses[-1]
    x = None if start is None else last.inside(start)
    spent, left = 0, limit
    device = last.value.device
    before = torch.zeros(len(last.value), dtype=torch.int64, device=device)
    whole = None if problem.islands is None else ~problem.islands.several
    nearer = _approach(problem, x, limit, whole, rough)
    if nearer is not None:
        spent, left = nearer.applications, limit - max(nearer.iterations) + 1
        logs, iterations = nearer.log_scaling, torch.tensor(nearer.iterations, device=device)
        if whole is None and max(nearer.marginal_errors) <= problem.tol:
            errors = torch.tensor(nearer.marginal_errors, dtype=torch.float64, device=device)
            outcome = Outcome(errors, iterations, spent, False)
            if rough:
                return Solution(last.inside(logs), logs, outcome)
            if nearer.sums is not None:
                return _finished(problem, last.inside(logs), nearer.log_sums.neg_(), outcome)
        if x is None or whole is None:
            x, before = logs, iterations - 1
        else:
            x[whole], before[whole] = logs, iterations - 1
        del nearer, logs
    elif x is None:
        x = implied_scaling(problem.kernel, last, torch.zeros_like(last.value), problem.damping)
        x.div_(1 + problem.damping)
    x = last.inside(x)
    for logarithmic in (False, True):
        step = Transition(problem.kernel, problem.damping, logarithmic)
        try:
            solution = _iterate(problem, step, x, left)
            done = solution.outcome
            done = replace(done, iterations=done.iterations + before, applications=done.applications + spent)
            return replace(solution, outcome=done)
        except OutOfRange:
            x.masked_fill_(~(x.abs() < ABSURD), 0.0)  # go on from here; steps that were not tested may have lost it
    raise AssertionError("the log domain has no range to leave")


@torch.inference_mode()
def implied_scaling(
    kernel: Kernel, mass: Masses, log_scaling: Float[Tensor, "b *grid"], damping: float
) -> Float[Tensor, "b *grid"]:
    """−λ log K(m eˣ) everywhere."""
    try:
        return Transition(kernel, damping, logarithmic=False)(mass, log_scaling, None)
    except OutOfRange:
        return Transition(kernel, damping, logarithmic=True)(mass, log_scaling, None)


def _approach(problem: Problem, x: Tensor | None, limit: int, chosen: Tensor | None, rough: bool) -> Approach | None:
    """``approach`` for the ``chosen`` samples (bool, ``[b]``; None: all), in the precisions that hold them."""
    if limit == 1 or not problem.kernel.single or (chosen is not None and not chosen.any()):
        return None
    if chosen is not None:
        problem = problem[chosen]
        x = None if x is None else x[chosen]
    single = approach(problem, x, limit - 1, SINGLE)
    if single is None:
        return approach(problem, x, limit, DOUBLE)
    if rough and max(single.marginal_errors) <= problem.tol:
        return single
    double = approach(problem, single, limit - max(single.iterations) + 1, DOUBLE)
    if double is None:
        return single
    return replace(
        double,
        iterations=[sum(both) - 1 for both in zip(single.iterations, double.iterations, strict=True)],
        applications=single.applications + double.applications,
    )


def _finished(problem: Problem, x: Tensor, implied: Tensor, outcome: Outcome) -> Solution:
    if problem.masses[0].support is not None and not implied.isfinite().all():  # far from all mass
        implied = Transition(problem.kernel, problem.damping, logarithmic=True)(problem.masses[-1], x, None)
    return Solution(x, implied, outcome)


def _iterate(problem: Problem, step: Transition, x: Tensor, limit: int) -> Solution:
    """x ← G(x), through one mass (a density with itself) or there and back through two.

    Samples stop one by one, so that the result for one does not depend on its batch.
    """
    everything, tol = problem, problem.tol
    # Near the solution an error e of a self transport becomes −λ P e, where P are the transitions of a reversible
    # Markov chain whose spectrum lies in [0, 1]: a step of this fraction suits all of it.
    relaxation = 1 / (1 + 0.8 * problem.damping) if problem.alone else 1.0
    memory = FAR_MEMORY if step.logarithmic else MEMORY
    mixing = AndersonMixing(problem.masses[-1].value.flatten(1), memory, relaxation)
    active = torch.arange(len(x), device=x.device)
    stopped, trusted = torch.zeros_like(active, dtype=torch.bool), torch.ones_like(active, dtype=torch.bool)
    best = before = torch.full_like(active, torch.inf, dtype=x.dtype)
    hard = step.logarithmic or problem.islands is not None
    nearest = x
    finished: list[tuple[Tensor, ...]] = []
    for iteration in range(1, limit + 1):
        first, last, islands = problem.masses[0], problem.masses[-1], problem.islands
        tested = iteration % problem.patience == 0 or iteration in (1, limit)
        if islands:
            applied = iteration <= JOINED
            if iteration % RANGED == 1:
                step(last, x, first.support, tested)
            implied, offsets = step.by_island(first, last, x, islands, applied)
            image = step(first, implied, last.support, tested)
        else:
            implied = step(last, x, first.support, tested)
            image = implied.clone() if problem.alone else step(first, implied, last.support, tested)
        residual = last.inside(image).sub_(x)
        if tested:
            lacking = residual if not islands or applied else residual + last.inside(offsets)
            error = newest = last.integral(lacking.neg().expm1_().abs_())
            if islands:  # what goes across a border may be right by chance while the density beside it is not
                error = torch.where(islands.several, torch.maximum(newest, before), newest)
            before = newest
            astray = (error > ASTRAY * best) & (best < 1)
            if hard and iteration < limit and bool(astray.any()):  # go back, and forget what led there
                x[astray] = nearest[astray]
                mixing = AndersonMixing(last.value.flatten(1), memory, relaxation)
                continue
            if hard:
                nearest = torch.where((error <= best).reshape(-1, *[1] * (x.ndim - 1)), x, nearest)
            trusted &= error <= DISTRUST * best
            best = torch.minimum(best, error)
            now = ~stopped & ((error <= tol) | (iteration == limit))
            stopped |= now
            if now.any():
                scaling = last.inside(x + offsets) if islands and applied else x
                results = (active, scaling, implied, error, torch.full_like(active, iteration))
                if now.all():
                    finished.append(results)
                    break
                finished.append(tuple(result[now] for result in results))
                if stopped.all():
                    break
                if 2 * int(stopped.sum()) >= len(stopped):  # fewer would not be worth the copies
                    going = ~stopped
                    problem = problem[going]
                    active, x, residual, stopped = active[going], x[going], residual[going], stopped[going]
                    trusted, best, before = trusted[going], best[going], before[going]
                    nearest = nearest[going]
                    mixing.keep(going)
        del implied, image
        if problem.correction and iteration <= CORRECTED:
            last = problem.masses[-1]
            means = problem.islands.means(residual, last.value) if problem.islands else None
            if means is not None:
                residual.sub_(means)
            problem.correction.improve(residual, last.value, trusted)
            if means is not None:
                residual.add_(means)
        mixing.advance(x, residual)
        del residual
    order = torch.cat([part[0] for part in finished]).argsort()
    x, implied, error, count = (
        parts[0] if len(parts) == 1 else torch.cat(parts)[order]
        for parts in zip(*(p[1:] for p in finished), strict=True)
    )
    return _finished(everything, x, implied, Outcome(error, count, step.applications, step.logarithmic))
