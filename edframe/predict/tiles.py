"""The tiles of a grid that memory does not hold, or that several processes share.

A model that states its reach (``TiledModel``) sees one tile after the other with a halo as wide as it looks, so nothing
but rounding differs from a prediction of the whole grid. See ``edframe.predict.in_tiles``.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from edframe.grid import Grid, Region
from edframe.interfaces import TiledModel

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Tile:
    """seen: the points that the model is given. inner: those that are kept, as a region of the grid."""

    seen: Region
    inner: Region

    def cut(self, fields: Float[Tensor, "k *seen"]) -> Float[Tensor, "k *inner"]:
        """``fields`` at the inner points."""
        for axis in range(len(self.seen.start)):
            first = self.inner.start[axis] - self.seen.start[axis]
            fields = fields.narrow(axis + 1, first, self.inner.shape[axis])
        return fields


def tiles(grid: Grid, model: TiledModel, points: int, processes: int = 1) -> list[Tile]:
    """Tiles of at most ``points`` points each, with their halos; of such, those that ``processes`` are soonest done
    with: one, with the fewest points in all.

    Where not even the smallest are so small, the smallest.
    """
    sides = [_sides(n, model) for n in grid.shape]
    best: tuple[bool, int, int] | None = None
    chosen: tuple[int, ...] = ()
    for sizes in itertools.product(*sides):
        seen = [min(n, size + 2 * halo(model)) if size < n else n for n, size in zip(grid.shape, sizes, strict=True)]
        largest = math.prod(seen)
        count = math.prod(-(-n // size) for n, size in zip(grid.shape, sizes, strict=True))
        too_large = largest > points
        rank = (too_large, largest if too_large else -(-count // processes) * largest, largest)
        if best is None or rank < best:
            best, chosen = rank, sizes
    parts = [_along(n, size, wraps, model) for n, size, wraps in zip(grid.shape, chosen, grid.periodic, strict=True)]
    return [
        Tile(
            Region(tuple(seen[0] for seen, _ in axes), tuple(seen[1] for seen, _ in axes)),
            Region(tuple(inner[0] for _, inner in axes), tuple(inner[1] for _, inner in axes)),
        )
        for axes in itertools.product(*parts)
    ]


def halo(model: TiledModel) -> int:
    """Points around a tile: the reach of the model, in whole blocks."""
    return -(-model.reach // model.stride) * model.stride


def _sides(n: int, model: TiledModel) -> list[int]:
    """Lengths of a tile's inner part along an axis of ``n`` points: blocks, those of as many tiles once."""
    blocks = math.ceil(n / model.stride)
    lengths = {math.ceil(blocks / count) * model.stride for count in range(1, blocks + 1)}
    return sorted({min(length, n) for length in lengths if length >= min(n, 8)}, reverse=True)


def _along(n: int, size: int, wraps: bool, model: TiledModel) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and number of points, of what is seen and of what is kept, of each tile along an axis."""
    pieces = []
    margin = halo(model)
    for first in range(0, n, size):
        count = min(size, n - first)
        start, stop = first - margin, first + count + margin
        if not wraps:
            start, stop = max(0, start), min(n, stop)
        if size >= n or stop - start >= n:
            start, stop = 0, n
        pieces.append(((start, stop - start), (first, count)))
    return pieces
