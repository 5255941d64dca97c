"""Predictions in tiles, for grids that memory does not hold: what is kept of the whole grid lies in files.

A model that states its reach (``TiledModel``) sees one tile after the other with a halo as wide as it looks, so nothing
but rounding differs from a prediction of the whole grid. Its fields are kept in a file; the sums over the grid are then
taken from them, slab by slab, and the density goes into another file, which is as an array in memory.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe.data.basis import Basis
from edframe.data.sums import Summing, on_parts
from edframe.errors import DataError
from edframe.grid import Grid, Region, slabs
from edframe.interfaces import Features, TiledModel
from edframe.memory import by_words

if TYPE_CHECKING:
    from jaxtyping import Float

SLAB = 2**21
"""Points that sums are taken of at once."""


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


def tiles(grid: Grid, model: TiledModel, points: int) -> list[Tile]:
    """Tiles of at most ``points`` points each, with their halos; of such, those that take the fewest points in all.

    Where not even the smallest are so small, the smallest.
    """
    sides = [_sides(n, model) for n in grid.shape]
    best: tuple[bool, int, int] | None = None
    chosen: tuple[int, ...] = ()
    for sizes in itertools.product(*sides):
        seen = [min(n, size + 2 * halo(model)) if size < n else n for n, size in zip(grid.shape, sizes, strict=True)]
        largest = math.prod(seen)
        counts = [-(-n // size) for n, size in zip(grid.shape, sizes, strict=True)]
        total = math.prod(count * m for count, m in zip(counts, seen, strict=True))
        too_large = largest > points
        rank = (too_large, largest if too_large else total, largest)
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


def predicted(
    model: TiledModel,
    features: Callable[[Region], Features],
    basis: Basis,
    electrons: float,
    parts: Sequence[Tile],
    folder: Path | None,
    device: torch.device | str,
    slab: int = SLAB,
) -> NDArray[np.float64]:
    """The density ``[s, x, y, z]`` in e/Å³ on the grid that ``basis`` is of, in a file without a name in ``folder``.

    features: on a region of ``basis.grid``, for ``parts`` of which the model is called. folder: None: that for
    temporary files. slab: points that sums are taken of at once. Raises DataError where the disk is full.
    """
    grid = basis.grid
    held = _positive(features, grid)
    fields: NDArray[np.float32] | None = None
    for tile in parts:
        seen, part = features(tile.seen), grid.part(tile.seen)
        count = electrons if held is None else electrons * _total(seen, part) / held
        values = model.fields(seen.channels, seen.baseline, part, torch.tensor([count], dtype=torch.float64).to(device))
        if fields is None:
            fields = in_file((values.shape[1], *grid.shape), np.float32, folder)
        place = tuple(slice(a, a + n) for a, n in zip(tile.inner.start, tile.inner.shape, strict=True))
        fields[(slice(None), *place)] = tile.cut(values[0]).float().cpu().numpy()
        release(fields)
    assert fields is not None
    kept, layers = fields, list(slabs(grid, slab))
    number = torch.tensor([electrons], device=device)

    def steps() -> Iterable[Summing]:
        for layer in layers:
            one = torch.from_numpy(kept[:, layer.start[0] : layer.start[0] + layer.shape[0]].copy())
            yield model.finished(one[None].to(device), grid.part(layer), number)
            release(kept)

    density: NDArray[np.float64] | None = None
    for layer, values in zip(layers, on_parts(steps), strict=True):
        if density is None:
            density = in_file((values.shape[1], *grid.shape), np.float64, folder)
        rows = range(layer.start[0], layer.start[0] + layer.shape[0])
        for channel, one in zip(density, values[0].double().cpu().numpy(), strict=True):
            if basis.same:
                channel[rows.start : rows.stop] = one
            else:
                channel.reshape(-1)[basis.places(rows).numpy()] = one.ravel()
        release(density)
    assert density is not None
    return density


def _positive(features: Callable[[Region], Features], grid: Grid) -> float | None:
    """∫ of the positive part of the baseline's total over the grid; None without a baseline."""
    total = 0.0
    for slab in slabs(grid, SLAB):
        part = features(slab)
        if part.baseline is None:
            return None
        total += _total(part, grid)
    return total


def _total(features: Features, grid: Grid) -> float:
    if features.baseline is None:
        return 0.0
    return float(features.baseline[0, 0].clamp_min(0).sum(dtype=torch.float64)) * grid.voxel_volume


def in_file(shape: tuple[int, ...], kind: type[Any], folder: Path | None) -> NDArray[Any]:
    """An array of zeros in a file without a name, which goes with it. Raises DataError where the disk has no room."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process without a word
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, kind, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{folder or tempfile.gettempdir()} has no room for {by_words(size)}, which a prediction in tiles keeps "
            f"there meanwhile ({error.strerror or error}); choose another folder, or a coarser grid by --spacing"
        ) from error


def release(array: NDArray[Any]) -> None:
    """Let go the memory of an array in a file, whose values remain in the file."""
    mapped: Any = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError):
            mapped.madvise(mmap.MADV_DONTNEED)
