"""Grid points within a sphere, enumerated row by row: what is in memory are the points, not the box around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

AT_ONCE = 2**19
"""Points that are in memory at once, some 30 bytes each."""


@dataclass(frozen=True)
class Points:
    """steps: per axis the steps of the points, ``[p]`` int32, counted from the most negative one. places: ``[d, p]`` in
    Å from the centre."""

    steps: tuple[Int[Tensor, "p"], ...]
    places: Float[Tensor, "d p"]


@dataclass(frozen=True)
class Sphere:
    """Rows of points, each along the last axis: leading steps ``[row, d − 1]``, first step and number ``[row]``.

    reach: the largest step per axis. voxel: its edges as rows, Å. count: number of points.
    """

    reach: tuple[int, ...]
    voxel: NDArray[np.float64]
    leading: NDArray[np.int64]
    first: NDArray[np.int64]
    number: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of points."""
        return int(self.number.sum())

    def parts(self) -> Iterator[tuple[int, int]]:
        """Rows from … to …, each part with AT_ONCE points, or a row more."""
        pieces = np.cumsum(self.number) // AT_ONCE
        bounds = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(self.number)]
        yield from ((a, b) for a, b in pairwise(bounds) if b > a)

    def points(self, part: tuple[int, int], device: str) -> Points:
        """The points of some rows."""
        rows = slice(*part)
        number = self.number[rows]
        within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        last = np.repeat(self.first[rows], number) + within
        steps = np.column_stack([np.repeat(self.leading[rows], number, axis=0), last])
        return Points(
            tuple(
                torch.as_tensor(column + most, dtype=torch.int32, device=device)
                for column, most in zip(steps.T, self.reach, strict=True)
            ),
            torch.as_tensor((steps @ self.voxel).T.copy(), dtype=torch.float32, device=device),
        )


@lru_cache(maxsize=32)
def sphere_of(cell: tuple[tuple[float, ...], ...], shape: tuple[int, ...], cutoff: float) -> Sphere:
    """Grid points that can be within ``cutoff`` Å of a place nearer to the origin than to any other point, by index."""
    voxel = np.array(cell) / np.array(shape)[:, None]
    d = len(shape)
    corners = np.stack(np.meshgrid(*[[-0.5, 0.5]] * d, indexing="ij"), -1).reshape(-1, d) @ voxel
    radius = cutoff + np.linalg.norm(corners, axis=1).max()
    # A point within the radius has its k-th step at most radius × (length of the k-th reciprocal vector).
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(voxel), axis=0)).astype(int)
    sizes = 2 * reach[:-1] + 1
    leading = np.indices(sizes).reshape(d - 1, int(np.prod(sizes))).T - reach[:-1]
    # Of a row, the steps k with |u + k v|² ≤ radius².
    away, edge = leading @ voxel[:-1], voxel[-1]
    square, along = edge @ edge, away @ edge
    inside = along**2 - square * ((away**2).sum(1) - radius**2)
    hit = inside >= 0
    half = np.sqrt(inside[hit])
    first = np.ceil((-along[hit] - half) / square).astype(np.int64)
    last = np.floor((-along[hit] + half) / square).astype(np.int64)
    some = last >= first
    return Sphere(
        tuple(reach.tolist()), voxel, leading[hit][some].astype(np.int64), first[some], (last - first + 1)[some]
    )


@lru_cache(maxsize=16)
def points_of(
    cell: tuple[tuple[float, ...], ...], shape: tuple[int, ...], cutoff: float, part: tuple[int, int], device: str
) -> Points:
    """``Sphere.points``, of those that were asked for last."""
    return sphere_of(cell, shape, cutoff).points(part, device)
