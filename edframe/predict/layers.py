"""From the fields of tiles to a density: they are kept in a file, and the sums over the grid are taken from them.

Layer by layer, so that memory holds few points at a time. See ``TiledModel``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from edframe.data.basis import Basis
from edframe.data.sums import Summing, on_parts
from edframe.grid import Grid, Region, slabs
from edframe.interfaces import Features, TiledModel
from edframe.memory import release
from edframe.predict.on_disk import AT_ONCE, in_file
from edframe.predict.tiles import Tile

if TYPE_CHECKING:
    from jaxtyping import Float


def held(features: Callable[[Region], Features], grid: Grid) -> float | None:
    """∫ of the positive part of the baseline's total over the grid; None without a baseline."""
    total = 0.0
    for slab in slabs(grid, AT_ONCE):
        part = features(slab)
        if part.baseline is None:
            return None
        total += _total(part, grid)
    return total


def fields_of(
    model: TiledModel,
    features: Callable[[Region], Features],
    grid: Grid,
    tile: Tile,
    electrons: float,
    whole: float | None,
    device: torch.device | str,
) -> Float[np.ndarray[Any, Any], "k *inner"]:
    """The model's fields at the inner points of ``tile``. whole: what ``held`` gives."""
    seen, part = features(tile.seen), grid.part(tile.seen)
    count = electrons if whole is None else electrons * _total(seen, part) / whole
    values = model.fields(seen.channels, seen.baseline, part, torch.tensor([count], dtype=torch.float64).to(device))
    return np.ascontiguousarray(tile.cut(values[0]).float().cpu().numpy())


def kept(
    done: Iterable[tuple[Tile, NDArray[np.float32]]], grid: Grid, folder: Path | None, *, x_fastest: bool = False
) -> Float[np.ndarray[Any, Any], "k *grid"]:
    """The fields of tiles, put together in a file, see ``in_file``."""
    fields: NDArray[np.float32] | None = None
    for tile, values in done:
        if fields is None:
            fields = in_file((len(values), *grid.shape), np.float32, folder, x_fastest=x_fastest)
        fields[(slice(None), *_places(tile.inner))] = values
        release(fields)
    assert fields is not None
    return fields


def layers(
    model: TiledModel,
    fields: Float[np.ndarray[Any, Any], "k *grid"],
    grid: Grid,
    electrons: float,
    device: torch.device | str,
    points: int = AT_ONCE,
) -> Iterator[tuple[Region, NDArray[np.float64]]]:
    """The density ``[s, x, y, z]`` in e/Å³ from the fields, in the order in which these lie in their file.

    points: of a layer, at most.
    """
    parts = list(slabs(grid, points, axis=0 if fields.flags.c_contiguous else grid.dimension - 1))
    number = torch.tensor([electrons], device=device)

    def steps() -> Iterable[Summing]:
        for part in parts:
            values = torch.from_numpy(np.array(fields[(slice(None), *_places(part))], order="C"))
            release(fields)
            yield model.finished(values[None].to(device), grid.part(part), number)

    for part, density in zip(parts, on_parts(steps), strict=True):
        yield part, density[0].double().cpu().numpy()


def added(
    density: NDArray[np.float64] | None,
    parts: Iterable[tuple[Region, NDArray[np.float64]]],
    basis: Basis,
    folder: Path | None,
    *,
    turn: NDArray[np.int64] | None = None,
    share: float = 1.0,
    x_fastest: bool = False,
) -> Float[np.ndarray[Any, Any], "s *grid"]:
    """A density on the grid given, with ``share`` of what ``layers`` gives on the grid in ``basis`` added to it.

    density: None: zeros in a file, see ``in_file``. turn: the operation by which the atoms were moved before, which is
    undone; None: none.
    """
    for part, values in parts:
        if density is None:
            density = in_file((len(values), *basis.grid.shape), np.float64, folder, x_fastest=x_fastest)
        if turn is None and basis.same:
            density[(slice(None), *_places(part))] += share * values
        else:
            index = basis.places(part, turn).numpy()
            for channel, one in zip(density, values, strict=True):
                channel.reshape(-1)[index] += share * one.ravel()
        release(density)
    assert density is not None
    return density


def predicted(
    model: TiledModel,
    features: Callable[[Region], Features],
    basis: Basis,
    electrons: float,
    parts: Sequence[Tile],
    folder: Path | None,
    device: torch.device | str,
    points: int = AT_ONCE,
) -> Float[np.ndarray[Any, Any], "s *grid"]:
    """The density ``[s, x, y, z]`` in e/Å³ on the grid that ``basis`` is of, in a file without a name in ``folder``.

    features: on a region of ``basis.grid``, for ``parts`` of which the model is called. folder: None: that for
    temporary files. points: that sums are taken of at once. Raises DataError where the disk is full.
    """
    grid = basis.grid
    whole = held(features, grid)
    done = ((tile, fields_of(model, features, grid, tile, electrons, whole, device)) for tile in parts)
    return added(None, layers(model, kept(done, grid, folder), grid, electrons, device, points), basis, folder)


def _places(part: Region) -> tuple[slice, ...]:
    return tuple(slice(first, first + count) for first, count in zip(part.start, part.shape, strict=True))


def _total(features: Features, grid: Grid) -> float:
    if features.baseline is None:
        return 0.0
    return float(features.baseline[0, 0].clamp_min(0).sum(dtype=torch.float64)) * grid.voxel_volume
