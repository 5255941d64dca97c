"""The memory that a model needs for a grid, found by running it without numbers, before a prediction starts."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edframe.errors import RunError
from edframe.grid import Grid
from edframe.interfaces import TiledModel
from edframe.memory import by_points, by_words, fitting, free_memory, taken_memory

ROUGH = 8192
"""Bytes for a point of the grid that no model needs: twice what a U-Net takes on a small grid of odd axes. Where so
much is free, nothing more is estimated, because PyTorch takes seconds to load what that takes."""

BESIDE = 24
"""Bytes for a point of the grid that a prediction as a whole takes beside the model: the density, and its text."""

TILED = 0.8
"""Part of the memory that the model takes of a prediction in tiles."""

WORK = 1.5
"""What libraries take for themselves, such as packed blocks of a convolution, over what the tensors hold."""


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The bytes of all tensors that live, and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._take(tensor)
        return result

    def _take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def require_memory(
    model: nn.Module, channels: int, spins: int, grid: Grid, device: torch.device | str, memory: float | None = None
) -> None:
    """Raise RunError where a density on ``grid`` needs more memory than there is, with a grid that would fit.

    memory: bytes that may be taken in all; None: what is free.
    """
    free = _room(device, memory)
    if grid.points * ROUGH < free:
        return
    size = needed(model, channels, spins, grid)
    if size is not None and size > free:
        raise RunError(
            f"a density on {by_points(grid.shape)} points needs {by_words(size)} of memory, and {by_words(free)} are "
            f"free; {advice(grid.shape, free / size)}"
        )


def tile_points(
    model: TiledModel, channels: int, spins: int, grid: Grid, device: torch.device | str, memory: float | None = None
) -> int | None:
    """Points of a tile that fit into the memory, see ``require_memory``; None where all of ``grid`` does.

    A part of the room is for what is not the model: sums of atoms on a coarser grid, and slabs.
    """
    assert isinstance(model, nn.Module)
    free = _room(device, memory)
    if grid.points * ROUGH < free:
        return None
    size = needed(model, channels, spins, grid)
    if size is None or size + BESIDE * grid.points <= free:
        return None
    side = 3 * model.stride * -(-model.reach // model.stride) or 64
    sample = Grid.of(grid.voxel * side, (side,) * grid.dimension, False)
    per_point = (needed(model, channels, spins, sample) or size) / sample.points
    return max(1, int(TILED * free / per_point))


def _room(device: torch.device | str, memory: float | None) -> float:
    """Bytes that a prediction may take."""
    free = float(free_memory(str(device)))
    if memory is None or str(device).startswith("cuda"):
        return free
    return max(0.0, min(free, memory - taken_memory()))


def advice(shape: tuple[int, ...], share: float) -> str:
    """What would fit into ``share`` of the memory."""
    smaller = fitting(shape, 0.9 * share)
    return f"{by_points(smaller)} points would fit, by `--grid {' '.join(map(str, smaller))}`"


@torch.no_grad()
def needed(model: nn.Module, channels: int, spins: int, grid: Grid) -> int | None:
    """Bytes for one density on ``grid`` with its channels and baseline; None for a model that asks for values."""
    state = {name: value.to("meta") for name, value in model.state_dict().items()}
    seen, baseline = (torch.empty((1, n, *grid.shape), device="meta") for n in (channels, spins))
    electrons = torch.empty(1, device="meta")
    held = _Held()
    try:
        with held:
            torch.func.functional_call(model, state, (seen, baseline, grid, electrons))
    except (RuntimeError, NotImplementedError):
        return None
    inputs = 2 * 4 * (channels + spins) * grid.points  # made, and joined
    return int(WORK * held.peak) + inputs
