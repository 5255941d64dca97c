"""The memory that a model needs for a grid, found by running it without numbers, before a prediction starts."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edframe.errors import RunError
from edframe.grid import Grid
from edframe.interfaces import TiledModel
from edframe.memory import by_points, by_words, fitting, free_memory, taken_memory
from edframe.predict.symmetry import Symmetrised

ROUGH = 8192
"""Bytes for a point of the grid that no model needs: twice what a U-Net takes on a small grid of odd axes. Where so
much is free, nothing more is estimated, because PyTorch takes seconds to load what that takes."""

BESIDE = 24
"""Bytes for a point of the grid that a prediction as a whole takes beside the model: the density, and its text."""

MEMBER = 12
"""Bytes for a point of the grid of each density of an ensemble."""

TURNED = 80
"""Bytes for a point of the grid that moving by an operation of the cell takes beside what is moved."""

ASKING = 64
"""Bytes for a point of the grid and each of its inputs, of a model that cannot be run without numbers: twice what a
Fourier transform in double precision takes, as of the model ``krr``."""

TILED = 0.95
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


@dataclass(frozen=True)
class Need:
    """The memory that a density on ``grid`` takes, and what there is.

    size: bytes; None where so much is free that they are not estimated. free: bytes that may be taken. inputs: channels
    and baseline of a point.
    """

    model: nn.Module
    inputs: tuple[int, int]
    grid: Grid
    size: int | None
    free: float
    device: str

    @classmethod
    def of(
        cls, model: nn.Module, channels: int, spins: int, grid: Grid, device: torch.device | str,
        memory: float | None = None, members: int = 1,
    ) -> Need:  # fmt: skip
        """memory: bytes that may be taken in all; None: what is free. members: of an ensemble, whose densities are held
        together."""
        free, size = _room(device, memory), None
        beside = BESIDE + (MEMBER * members if members > 1 else 0)
        if isinstance(model, Symmetrised):
            model, beside = model.model, beside + TURNED + 4 * channels + 12 * spins
        if grid.points * (ROUGH + beside) >= free:
            size = needed(model, channels, spins, grid) + beside * grid.points
        return cls(model, (channels, spins), grid, size, free, str(device))

    @property
    def fits(self) -> bool:
        """Whether there is enough for the whole grid."""
        return self.size is None or self.size <= self.free

    def require(self, reason: str = "") -> None:
        """Raise RunError where there is not, with a grid that would fit. reason: why there are no tiles."""
        if self.size is not None and self.size > self.free:
            raise RunError(
                f"a density on {by_points(self.grid.shape)} points needs {by_words(self.size)} of memory, and "
                f"{by_words(self.free)} are free{reason and '; '}{reason}; "
                f"{advice(self.grid.shape, self.free / self.size)}"
            )

    def tile(self, processes: int = 1) -> int:
        """Points of a tile that fits, in each of some processes, which also hold the libraries.

        A part of the room is for what is not the model: sums of atoms on a coarser grid, and slabs.
        """
        room = self.free
        if processes > 1:
            room = room / processes - taken_memory()
            if self.device.startswith("cuda"):
                room = self.free / -(-processes // max(1, torch.cuda.device_count()))
        assert isinstance(self.model, TiledModel)
        side = 3 * self.model.stride * -(-self.model.reach // self.model.stride) or 64
        sample = Grid.of(self.grid.voxel * side, (side,) * self.grid.dimension, False)
        return max(1, int(TILED * room * sample.points / needed(self.model, *self.inputs, sample)))


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


def too_large(grid: Grid) -> str:
    """What is said where a density on ``grid`` runs out of memory."""
    return f"there is not enough memory for a density on {by_points(grid.shape)} points; {advice(grid.shape, 0.5)}"


@torch.no_grad()
def needed(model: nn.Module, channels: int, spins: int, grid: Grid) -> int:
    """Bytes for one density on ``grid`` with its channels and baseline; of a model that asks for values, roughly."""
    state = {name: value.to("meta") for name, value in model.state_dict().items()}
    seen, baseline = (torch.empty((1, n, *grid.shape), device="meta") for n in (channels, spins))
    electrons = torch.empty(1, device="meta")
    held = _Held()
    try:
        with held:
            torch.func.functional_call(model, state, (seen, baseline, grid, electrons))
    except (RuntimeError, NotImplementedError):
        return ASKING * (channels + spins) * grid.points
    inputs = 2 * 4 * (channels + spins) * grid.points  # made, and joined
    return int(WORK * held.peak) + inputs
