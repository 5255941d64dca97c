"""A radial function as a narrow core and a smooth tail, which a coarser grid resolves.

The tail is the function itself beyond the core's radius, and within it the even spline whose waves beyond the Nyquist
wave number of the coarse grid are weakest, in least squares. Core plus tail is the function, so the only error is what
those waves still hold. Optimised so are pseudopotentials: Rappe, Rabe, Kaxiras & Joannopoulos, Phys. Rev. B 41, 1227
(1990). Three dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

TOLERANCE = 3e-6
"""∫|error| of a tail over ∫|function|, at most."""
STEP = 0.01
"""Å between the radii at which functions are tabulated."""
SPACINGS = tuple(0.15 * 1.2**k for k in range(18))
"""Å, of the coarse grids that a tail may be made for."""
RADII = tuple(0.4 * 1.15**k for k in range(20))
"""Å, of cores."""
DEGREE = 7
"""Of the spline within the core."""
SHARPEST = 50.0
"""1/Å, of the waves beyond the Nyquist wave number that are looked at, at least."""
ENTRIES = 2**16
"""Of a table over the squared distance."""


class Profile(Protocol):
    """A radial function with an end, hashable: the same object is the same function."""

    @property
    def cutoff(self) -> float:
        """Å, beyond which it is zero, or negligible."""

    def __call__(self, squared: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """Values at squared distances (Å², float32, may be overwritten)."""

    def __hash__(self) -> int:
        """By what the function is."""


class Table:
    """A radial function by linear interpolation in the squared distance, zero from ``cutoff`` (Å) on."""

    def __init__(self, values: NDArray[np.float64], cutoff: float) -> None:
        """values: ``[ENTRIES]`` at squared distances from 0 on, evenly, the next of which is the cutoff's."""
        table = np.append(values, 0.0)
        self.cutoff = cutoff
        self._per_square = ENTRIES / cutoff**2
        self._values = torch.as_tensor(np.append(table, 0.0), dtype=torch.float32)
        self._slopes = torch.as_tensor(np.append(np.diff(table), [0.0, 0.0]), dtype=torch.float32)

    def __call__(self, squared: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """Values at squared distances, which are overwritten."""
        if self._values.device != squared.device:
            self._values, self._slopes = self._values.to(squared.device), self._slopes.to(squared.device)
        position = squared.mul_(self._per_square).clamp_(max=ENTRIES + 1)
        entry = position.int()
        fraction = position.sub_(entry).view(-1)
        flat = entry.view(-1)
        value = self._values.index_select(0, flat).addcmul_(self._slopes.index_select(0, flat), fraction)
        return value.view_as(squared)


@dataclass(frozen=True, eq=False)
class Separation:
    """core, tail: their sum is the function. integral: of the tail over space. spacing: Å, of the grid for the tail."""

    core: Table
    tail: Table
    integral: float
    spacing: float


@lru_cache(maxsize=512)
def separated(function: Profile, spacing: float, radius: float) -> Separation | None:
    """With a core of ``radius`` Å and a tail for a grid of ``spacing`` Å; None where the tail is not smooth enough."""
    radii, values = _tabulated(function)
    shells = 4 * np.pi * radii**2 * STEP
    waves, step, bessel = _waves(spacing, function.cutoff)
    inside = int(np.searchsorted(radii, radius, side="right"))
    intervals = max(4, int(np.ceil(1.5 * radius / spacing)) + 3)
    splines = _splines(np.minimum(radii[:inside] / radius, 1 - 1e-12) * intervals, intervals)
    outer = np.where(np.arange(len(radii)) >= inside, values, 0.0)
    weighted = bessel * waves[:, None]
    matrix = weighted[:, :inside] @ (splines * shells[:inside, None])
    # What the waves leave open, such as the value at the nucleus, remains as in the function.
    start = np.linalg.lstsq(splines, values[:inside], rcond=1e-10)[0]
    change = np.linalg.lstsq(matrix, -weighted @ (shells * outer) - matrix @ start, rcond=1e-7)[0]
    tail = outer.copy()
    tail[:inside] = splines @ (start + change)
    left = ((bessel @ (shells * tail)) * waves**2 * step) @ bessel / (2 * np.pi**2)
    if (np.abs(left) * shells).sum() > TOLERANCE * (np.abs(values) * shells).sum():
        return None
    squares = np.arange(ENTRIES) / ENTRIES
    whole = _between(tail, np.sqrt(squares * function.cutoff**2))
    places = squares * radii[inside - 1] ** 2
    exact = function(torch.as_tensor(places, dtype=torch.float32)).double().cpu().numpy()
    core = exact - _between(tail, np.sqrt(places))
    return Separation(
        Table(core, float(radii[inside - 1])), Table(whole, function.cutoff), float((tail * shells).sum()), spacing
    )


def _splines(places: NDArray[np.float64], intervals: int) -> NDArray[np.float64]:
    """The B-splines of DEGREE over ``intervals`` of length 1, at ``places`` ``[p]`` within them: ``[p, spline]``.

    By truncated powers, as in C. de Boor, A Practical Guide to Splines (1978), chapter IX. Not by SciPy, which takes as
    long to load as the first features of a crystal.
    """
    away = places[:, None] + DEGREE - np.arange(intervals + DEGREE)
    powers = [(-1) ** k * math.comb(DEGREE + 1, k) * (away - k).clip(0) ** DEGREE for k in range(DEGREE + 2)]
    inside = (away > 0) & (away < DEGREE + 1)
    return np.where(inside, np.sum(powers, axis=0), 0.0) / math.factorial(DEGREE)


def _between(values: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values`` at multiples of STEP, piecewise cubic in between, with slopes of fourth order."""
    beyond = np.array([[6, -8, 3], [3, -3, 1]])  # of the parabola through the last three
    wide = np.concatenate([beyond @ values[:3], values, beyond[::-1, ::-1] @ values[-3:]])
    slopes = (8 * (wide[3:-1] - wide[1:-3]) - (wide[4:] - wide[:-4])) / 12
    before = np.minimum((radii / STEP).astype(np.int64), len(values) - 2)
    part = radii / STEP - before
    first, rise, slope, end = values[before], np.diff(values)[before], slopes[before], slopes[before + 1]
    between: NDArray[np.float64] = first + part * (
        slope + part * (3 * rise - 2 * slope - end + part * (slope + end - 2 * rise))
    )
    return between


@lru_cache(maxsize=16)
def _waves(spacing: float, cutoff: float) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Wave numbers beyond the Nyquist wave number of ``spacing``, as many as tell apart the ends of a function of this
    length, the step between them, and sin(kr)/(kr) ``[wave, radius]``."""
    nyquist = np.pi / spacing
    more = max(7 * nyquist, SHARPEST)
    count = int(np.ceil(1.5 * more * cutoff / np.pi))
    step = more / count
    waves: NDArray[np.float64] = nyquist + step * (np.arange(count, dtype=np.float64) + 0.5)
    return waves, step, np.sinc(np.outer(waves, _radii(cutoff)) / np.pi)


def _radii(cutoff: float) -> NDArray[np.float64]:
    return np.asarray(STEP * np.arange(int(np.floor(cutoff / STEP + 1e-6)) + 1, dtype=np.float64))


@lru_cache(maxsize=64)
def _tabulated(function: Profile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    radii = _radii(function.cutoff)
    squared = torch.as_tensor(radii**2, dtype=torch.float32)
    return radii, np.asarray(function(squared).double().cpu().numpy())
