"""Islands, parts of two densities between which hardly any electron goes, and the offsets of the potentials on them.

An offset of log v on an island changes the plan by what goes in and out, and that may be 1e-10 of the electrons: the
marginal error does not see it, the iteration takes as long to remove it, and yet it is in the gradient. So the
iteration on the grid is joined by one of the plan summed over islands: m numbers from an m × m matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

OUTSIDE = 0.03
"""Fraction of the electrons in the thinnest part of a density, which is cut away to see islands."""

LEAST = 1e-4
"""Fraction of the electrons that makes an island."""

STRONG = 1e-3
"""Islands are one where the voxels on either side of their border hold this fraction of the smaller of both."""

ROUNDING = 1e-15
"""Difference of masses that is no more than rounding: taken as zero."""

SWEEPS = 30
"""Times that all borders are gone through."""


@dataclass(frozen=True)
class Islands:
    """Number of the island of each point, ``[b, n1, …, nd]``, and the most islands of a sample."""

    labels: Int[Tensor, "b *grid"]
    count: int

    @classmethod
    def of(cls, a: Float[Tensor, "b *grid"], b: Float[Tensor, "b *grid"], periodic: Sequence[bool]) -> Islands | None:
        """Of both masses together, ``[b, n1, …, nd]`` on a coarse grid; None where no sample has two.

        Equal densities have one: by symmetry they have no offset.
        """
        equal = (a == b).flatten(1).all(1, keepdim=True).reshape(-1, *[1] * (a.ndim - 1))
        numbers = [_numbered(sample, periodic) for sample in (a + b).masked_fill_(equal, 1.0).cpu().numpy()]
        count = max(int(each.max()) for each in numbers) + 1
        return cls(torch.from_numpy(np.stack(numbers)).to(a.device), count) if count > 1 else None

    @property
    def several(self) -> Bool[Tensor, "b"]:
        """Whether a sample has more than one."""
        return self.labels.flatten(1).amax(1) > 0

    def on(self, shape: Sequence[int]) -> Islands:
        """The same on a finer grid."""
        labels = self.labels
        for axis, n in enumerate(shape, start=1):
            coarse = labels.shape[axis]
            if n != coarse:
                nearest = ((torch.arange(n, device=labels.device) + 0.5) * (coarse / n)).long()
                labels = labels.index_select(axis, nearest)
        return Islands(labels, self.count)

    def __getitem__(self, samples: Bool[Tensor, "b"]) -> Islands:
        return Islands(self.labels[samples], self.count)

    def parts(self, field: Float[Tensor, "b *grid"], outside: float) -> Float[Tensor, "mb *grid"]:
        """``field`` on each island alone and ``outside`` elsewhere, ``[m b, n1, …, nd]``."""
        return torch.cat([field.masked_fill(self.labels != island, outside) for island in range(self.count)])

    def sums(self, field: Float[Tensor, "b *grid"]) -> Float[Tensor, "b m"]:
        """Σ of ``field`` over each island."""
        total = field.new_zeros((len(field), self.count))
        return total.scatter_add_(1, self.labels.flatten(1), field.flatten(1))

    def means(self, field: Float[Tensor, "b *grid"], mass: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """On each island the mean of ``field``, weighted by ``mass``."""
        return self.spread((self.sums(field * mass) / self.sums(mass)).nan_to_num_(0.0, 0.0, 0.0))

    def spread(self, numbers: Float[Tensor, "b m"]) -> Float[Tensor, "b *grid"]:
        """A number per island at each of its points."""
        return numbers.gather(1, self.labels.flatten(1)).reshape(self.labels.shape)

    def offsets(
        self,
        plans: Float[Tensor, "b m m"],
        a: Float[Tensor, "b *grid"],
        b: Float[Tensor, "b *grid"],
        softness: float,
    ) -> Float[Tensor, "b m"]:
        """What to add to log v on each island so that every island gets its mass: of b, or what its penalty leaves it.

        NaN where no electron goes from an island or none comes to it. plans: log of the electrons that go from island
        to island. a, b: masses as the plan has or should have them. softness: ε/ρ; 0 where marginals are exact.
        """
        masses = (self.sums(a).cpu().numpy(), self.sums(b).cpu().numpy())
        numbers = np.stack([offsets(*each, softness) for each in zip(plans.cpu().numpy(), *masses, strict=True)])
        return torch.from_numpy(numbers).to(a)

    def by_island(self, numbers: Float[Tensor, "b m"]) -> Float[Tensor, "m b *ones"]:
        """A number per island, as it is to be broadcast over ``parts``."""
        return numbers.mT.reshape(self.count, len(numbers), *[1] * (self.labels.ndim - 1))


def offsets(log_plan: Floats, rows: Floats, columns: Floats, softness: float = 0.0) -> Floats:
    """t ``[m]`` such that the columns of P e^t, its rows scaled to ``rows`` again, sum to ``columns``.

    log_plan: log P, ``[m, m]``, electrons from island i to j. The sum that t makes least is convex. It is minimised
    along one direction after another: the offset of all that lies beyond an edge of the spanning tree of the strongest
    exchanges. Each is a sum of positive terms, so it is exact however few electrons go; NaN where none do.
    """
    shift = np.zeros(len(rows))
    excess = columns - rows
    cuts = _cuts(np.logaddexp(log_plan, log_plan.T))
    log_rows = np.log(np.where(rows > 0, rows, 1.0)) + np.where(rows > 0, 0.0, -np.inf)
    for _ in range(SWEEPS):
        largest = 0.0
        for beyond in cuts:
            if not (columns[beyond].sum() > 0 and columns[~beyond].sum() > 0):
                continue
            plan = log_plan + shift
            ratio = _log_sums(plan[:, beyond]) - _log_sums(plan[:, ~beyond])
            wanted = float(excess[beyond].sum())
            wanted = 0.0 if abs(wanted) <= ROUNDING else wanted
            held = softness * float(columns[beyond].sum())
            step = _balance(ratio, log_rows, beyond, wanted, held)
            shift[beyond] += step
            if math.isnan(step):
                return np.full_like(shift, np.nan)
            largest = max(largest, abs(step))
        if largest <= 1e-6 or len(cuts) == 1:
            break
    return np.asarray(shift - (shift @ columns) / columns.sum())


def _balance(ratio: Floats, log_rows: Floats, beyond: NDArray[np.bool_], wanted: float, held: float) -> float:
    """c with Σ out − Σ in + held × c = wanted, by Newton's method for the logarithms, held between bounds.

    Of row i the part e^{ratio + c}/(1 + e^{ratio + c}) goes ``beyond``: out, for rows on this side; the rest is in.
    """
    low, high, c = -np.inf, np.inf, 0.0
    with np.errstate(all="ignore"):
        for _ in range(100):
            there, back = -np.logaddexp(0, -(ratio + c)), -np.logaddexp(0, ratio + c)
            out, into = _log_sums((log_rows + there)[~beyond]), _log_sums((log_rows + back)[beyond])
            mixed = log_rows + there + back
            slope = np.exp([_log_sums(mixed[~beyond]) - out, _log_sums(mixed[beyond]) - into])
            extra = held * c - wanted
            left, right = np.logaddexp(out, np.log(max(extra, 0.0))), np.logaddexp(into, np.log(max(-extra, 0.0)))
            error = float(left - right)
            change = slope * np.exp([out - left, into - right])
            rise = float(change.sum() + held * np.exp(-(left if extra > 0 else right)))
            if not math.isfinite(error):
                return math.nan  # nothing goes one way or the other
            low, high = (low, c) if error > 0 else (c, high)
            step = -error / rise if rise > 0 else math.inf * -error
            following = c + min(max(step, -1e4), 1e4)
            if not low < following < high:
                following = (low + high) / 2 if math.isfinite(low + high) else c + math.copysign(100.0, step)
            if abs(following - c) <= 1e-9:
                return following
            c = following
    return c


def _log_sums(logs: Floats) -> Floats:
    """log Σ exp over the last axis."""
    return np.asarray(np.logaddexp.reduce(logs, axis=-1, initial=-np.inf))


def _cuts(strength: Floats) -> list[NDArray[np.bool_]]:
    """What lies beyond each edge of the spanning tree of the largest ``strength`` (Prim 1957), strongest edge first."""
    m = len(strength)
    parent, best = np.zeros(m, dtype=int), strength[0].copy()
    edges, order = [], [0]
    while len(order) < m:
        best[order] = -np.inf
        waiting = [island for island in range(m) if island not in order]
        child = max(waiting, key=lambda island: best[island])
        edges.append((best[child], child))
        order.append(child)
        nearer = strength[child] > best
        nearer[order] = False
        parent[nearer], best[nearer] = child, strength[child][nearer]
    below = np.eye(m, dtype=bool)
    for child in reversed(order[1:]):
        below[parent[child]] |= below[child]
    return [below[child] for _, child in sorted(edges, key=lambda edge: -edge[0])]


def _numbered(mass: Floats, periodic: Sequence[bool]) -> Integers:
    """The number of the island of each point, from 0."""
    from scipy import ndimage

    falling = np.sort(mass, axis=None)[::-1]
    filled = np.cumsum(falling)
    dense = mass >= falling[np.searchsorted(filled, (1 - OUTSIDE) * filled[-1])]
    labels, count = ndimage.label(dense, np.ones((3,) * mass.ndim))
    if count > 1:
        labels = _wrapped(labels, count, periodic)
        sums = np.bincount(labels.ravel(), mass.ravel())
        large = sums >= LEAST * filled[-1]
        large[0] = False
        if large.sum() > 1:
            labels = _filled((np.cumsum(large) * large)[labels], periodic)
            return _joined(labels - 1, mass, periodic)
    return np.zeros(mass.shape, dtype=np.int64)


def _wrapped(labels: Integers, count: int, periodic: Sequence[bool]) -> Integers:
    """``labels`` joined across periodic faces."""
    pairs = []
    for axis in np.flatnonzero(periodic):
        first, last = (np.atleast_1d(np.take(labels, index, axis)) for index in (0, -1))
        # Neighbours by an edge or a corner touch too, as within the cell.
        for steps in np.ndindex((3,) * first.ndim):
            moved = np.roll(first, tuple(step - 1 for step in steps), tuple(range(first.ndim)))
            both = (moved > 0) & (last > 0)
            pairs.append(np.stack((moved[both], last[both])))
    if not pairs:
        return labels
    return _merged(labels, np.concatenate(pairs, 1), count + 1)


def _merged(labels: Integers, pairs: Integers, count: int) -> Integers:
    """``labels`` of which ``pairs`` ``[2, k]`` are one; 0 stays 0 where it is in no pair."""
    from scipy.sparse.csgraph import connected_components

    graph = np.zeros((count, count), dtype=bool)
    graph[pairs[0], pairs[1]] = True
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)[labels]


def _filled(labels: Integers, periodic: Sequence[bool]) -> Integers:
    """Points without a label get that of the nearest point that has one."""
    from scipy import ndimage

    margins = [(n // 2, n // 2) if wraps else (0, 0) for n, wraps in zip(labels.shape, periodic, strict=True)]
    padded = np.pad(labels, margins, mode="wrap")
    nearest = ndimage.distance_transform_edt(padded == 0, return_distances=False, return_indices=True)
    inner = tuple(slice(low, low + n) for (low, _), n in zip(margins, labels.shape, strict=True))
    return np.asarray(padded[tuple(nearest)][inner])


def _joined(labels: Integers, mass: Floats, periodic: Sequence[bool]) -> Integers:
    """``labels`` of which those are one that exchange so much that the marginal error sees it."""
    count = int(labels.max()) + 1
    sums = np.bincount(labels.ravel(), mass.ravel(), count)
    border = np.zeros(count * count)
    for axis, wraps in enumerate(periodic):
        here, there = (np.roll(field, -1, axis) for field in (labels, mass))
        pairs, thinner = labels * count + here, np.minimum(mass, there)
        if not wraps:
            pairs, thinner = (np.delete(field, -1, axis) for field in (pairs, thinner))
        border += np.bincount(pairs.ravel(), thinner.ravel(), count * count)
    matrix = border.reshape(count, count)
    strong = matrix + matrix.T > STRONG * np.minimum.outer(sums, sums)
    return _merged(labels, np.stack(np.nonzero(strong)), count)
