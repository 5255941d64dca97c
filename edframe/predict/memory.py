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
from edframe.memory import by_points, by_words, fitting, free_memory

ROUGH = 8192
"""Bytes for a point of the grid that no model needs: twice what a U-Net takes on a small grid of odd axes. Where so
much is free, nothing more is estimated, because PyTorch takes seconds to load what that takes."""

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


def require_memory(model: nn.Module, channels: int, spins: int, grid: Grid, device: torch.device | str) -> None:
    """Raise RunError where a density on ``grid`` needs more memory than is free, with a grid that would fit."""
    free = free_memory(str(device))
    if grid.points * ROUGH < free:
        return
    size = needed(model, channels, spins, grid)
    if size is not None and size > free:
        raise RunError(
            f"a density on {by_points(grid.shape)} points needs {by_words(size)} of memory, and {by_words(free)} are "
            f"free; {advice(grid.shape, free / size)}"
        )


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
