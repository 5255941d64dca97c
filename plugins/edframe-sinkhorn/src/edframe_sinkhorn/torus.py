"""Points of a lattice modulo a periodic cell, and the circles that an integer direction draws through them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer]

READ = 0.5
"""Time to collect the points of a line, of the time to multiply it by a matrix: measured with 48 points."""


class Torus:
    """The points of a lattice modulo a periodic cell, numbered from 0.

    periods: ``[d, d]``, the edges of the cell, lower triangular with a positive diagonal.
    """

    def __init__(self, periods: Integers) -> None:
        self._periods = periods
        self._sides = tuple(int(side) for side in periods.diagonal())

    def __len__(self) -> int:
        return math.prod(self._sides)

    def number(self, points: Integers) -> Integers:
        """Numbers of lattice points ``[…, d]``."""
        return self._numbered(self._wrapped(list(np.moveaxis(points, -1, 0))))

    def circles(self, direction: Integers, among: Integers) -> Integers:
        """The circles x, x + e, x + 2e, … that meet ``among``, each once and from a point in it: ``[circle, step]``."""
        # Two points are on one circle if they are the same modulo the periods and e.
        quotient = Torus(_triangular(np.vstack((self._periods, direction))))
        order = len(self) // len(quotient)
        places = [part.astype(np.int32) for part in np.unravel_index(among, self._sides)]
        start = np.full(len(quotient), -1, dtype=np.int64)
        start[quotient._numbered(quotient._wrapped(places))] = np.arange(len(among))
        begin = start[start >= 0]
        points = [part[begin, None] for part in places]
        while points[0].shape[1] < order:
            steps = points[0].shape[1]
            wanted = min(steps, order - steps)  # of the points so far, moved by as many steps
            moved = self._wrapped(
                [part[:, :wanted] + int(steps * e) for part, e in zip(points, direction, strict=True)]
            )
            points = [np.concatenate(both, axis=1) for both in zip(points, moved, strict=True)]
        return self._numbered(points)

    def _wrapped(self, coordinates: Sequence[Integers]) -> list[Integers]:
        """Coordinates of points, an array for each axis, as they are in the cell."""
        parts = list(coordinates)
        for axis in reversed(range(len(parts))):  # the period of an axis moves this one and those before
            turns = parts[axis] // self._sides[axis]
            for moved in range(axis + 1):
                if period := int(self._periods[axis, moved]):
                    parts[moved] = parts[moved] - turns * period
        return parts

    def _numbered(self, parts: Sequence[Integers]) -> Integers:
        number: Integers = parts[0].astype(np.int32 if len(self) < 2**31 else np.int64)
        for part, side in zip(parts[1:], self._sides[1:], strict=True):
            number *= side
            number += part
        return number


def _triangular(rows: Integers) -> Integers:
    """A lower triangular basis ``[d, d]`` with positive diagonal of the lattice that integer ``rows`` span."""
    rows = rows.copy()
    d = rows.shape[1]
    basis = np.zeros((d, d), dtype=np.int64)
    for axis in reversed(range(d)):
        while np.count_nonzero(rows[:, axis]) > 1:  # Euclid's algorithm on a column
            least = np.where(rows[:, axis] != 0, np.abs(rows[:, axis]), np.iinfo(np.int64).max).argmin()
            factors = rows[:, axis] // rows[least, axis]
            factors[least] = 0
            rows -= factors[:, None] * rows[least]
        pivot = np.flatnonzero(rows[:, axis])[0]
        basis[axis] = rows[pivot] * np.sign(rows[pivot, axis])
        rows = np.delete(rows, pivot, axis=0)
    return basis


def embedded(embedding: Integers, shape: Sequence[int]) -> tuple[Torus, Integers]:
    """The torus of a grid that repeats after ``shape`` points, and the numbers of the grid's points on it.

    embedding: ``[d, d]``, lower triangular: the grid point i is the point i @ embedding of the lattice.
    """
    torus = Torus(np.array(shape)[:, None] * embedding)
    return torus, torus.number(np.indices(shape).reshape(len(shape), -1).T @ embedding)


def visits(embedding: Integers, directions: Integers) -> list[tuple[int, int, int]]:
    """An order of the lines along ``directions`` ``[k, d]`` in which few points are reached at first.

    For each: its number k, the steps along it that lead from a point of the grid to the next one reached before, and
    those that lead to the next point of the grid.
    """
    residues, grid = embedded(embedding, (1,) * len(embedding))  # of the lattice modulo the grid
    multiples = [residues.number(np.arange(1, len(residues) + 1)[:, None] * direction) for direction in directions]

    def steps_to(points: Integers, k: int) -> int:
        return int(np.isin(multiples[k], points).argmax()) + 1

    order: list[tuple[int, int, int]] = []
    reached = grid
    waiting = list(range(len(directions)))
    while waiting:
        k = min(waiting, key=lambda k: steps_to(reached, k))
        waiting.remove(k)
        order.append((k, steps_to(reached, k), steps_to(grid, k)))
        reached = residues.circles(directions[k], reached).ravel()
    return order


def work(order: list[tuple[int, int, int]]) -> float:
    """Multiplications and reads of all lines in units of those of one line of the grid with itself."""
    total, points = 0.0, 1
    for number, (_, stride, home) in enumerate(order, start=1):
        total += points * (home + READ) if number < len(order) else home / stride + READ
        points *= stride
    return total
