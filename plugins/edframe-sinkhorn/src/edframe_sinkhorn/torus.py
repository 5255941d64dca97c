"""Points of a lattice modulo a periodic cell, and the circles that an integer direction draws through them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

READ = 0.5
"""Time to collect the points of a line, of the time to multiply it by a matrix: measured with 48 points."""


class Torus:
    """The points of a lattice modulo a periodic cell, numbered from 0; ``grid``: the numbers of the grid's points.

    embedding: ``[d, d]``, lower triangular: the grid point i is the point i @ embedding of the lattice. shape: of the
    grid, which repeats after that many points along each axis.
    """

    def __init__(self, embedding: Integers, shape: Sequence[int]) -> None:
        self._periods = np.array(shape)[:, None] * embedding
        self._sides = tuple(int(side) for side in self._periods.diagonal())
        self._points = np.indices(self._sides).reshape(len(shape), -1).T
        self.grid = self.number(np.indices(shape).reshape(len(shape), -1).T @ embedding)

    def __len__(self) -> int:
        return len(self._points)

    def number(self, points: Integers) -> Integers:
        """Numbers of lattice points ``[…, d]``."""
        points = points.copy()
        for axis in reversed(range(len(self._sides))):  # the period of an axis moves this one and those before
            points -= (points[..., axis] // self._sides[axis])[..., None] * self._periods[axis]
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(points, -1, 0)), self._sides))

    def circles(self, direction: Integers, among: Integers) -> Integers:
        """The circles x, x + e, x + 2e, … that meet ``among``, each once and from a point in it: ``[circle, step]``."""
        volume = len(self)
        turns = np.rint(direction @ np.linalg.inv(self._periods) * volume).astype(np.int64)
        order = math.lcm(*(volume // math.gcd(volume, int(turn)) for turn in turns))
        leap = self.number(self._points + direction)
        lowest = np.arange(volume)  # number on the circle of each point
        leaps: list[Integers] = []
        while 2 ** len(leaps) < order:
            leaps.append(leap)
            lowest = np.minimum(lowest, lowest[leap])
            leap = leap[leap]
        start = np.full(volume, -1)
        start[lowest[among]] = among
        circles = start[start >= 0][:, None]
        for leap in leaps:
            circles = np.concatenate((circles, leap[circles]), axis=1)
        return circles[:, :order]


def visits(embedding: Integers, directions: Integers) -> list[tuple[int, int, int]]:
    """An order of the lines along ``directions`` ``[k, d]`` in which few points are reached at first.

    For each: its number k, the steps along it that lead from a point of the grid to the next one reached before, and
    those that lead to the next point of the grid.
    """
    residues = Torus(embedding, (1,) * len(embedding))  # of the lattice modulo the grid

    def steps_to(points: Integers, k: int) -> int:
        return next(t for t in itertools.count(1) if residues.number(t * directions[k]) in points)

    order: list[tuple[int, int, int]] = []
    reached = residues.grid
    waiting = list(range(len(directions)))
    while waiting:
        k = min(waiting, key=lambda k: steps_to(reached, k))
        waiting.remove(k)
        order.append((k, steps_to(reached, k), steps_to(residues.grid, k)))
        reached = residues.circles(directions[k], reached).ravel()
    return order


def work(order: list[tuple[int, int, int]]) -> float:
    """Multiplications and reads of all lines in units of those of one line of the grid with itself."""
    total, points = 0.0, 1
    for number, (_, stride, home) in enumerate(order, start=1):
        total += points * (home + READ) if number < len(order) else home / stride + READ
        points *= stride
    return total
