"""What losses keep of each sample from one training step to its next visit, such as the potentials of a solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.data.augmentation import move, move_back
from edframe.data.loading import Batch

if TYPE_CHECKING:
    from jaxtyping import Float

MEMORY_BYTES = 1024**3
"""What is stored on the device of the densities, and written with each checkpoint, stays below this size."""


class Visits:
    """Tensors by name and sample: fields ``[c, x, y, z]`` (float32) of the unmoved sample, numbers ``[]`` (float64).

    Once ``bound`` bytes are reached, what is there is still renewed and nothing is added.
    """

    def __init__(self, device: torch.device | str, bound: int = MEMORY_BYTES) -> None:
        self.device = device
        self.bound = bound
        self._kept: dict[str, Tensor] = {}
        self._bytes = 0

    def visit(self, batch: Batch, step: int) -> BatchVisit:
        """What a loss knows of training step ``step``, in which it is given ``batch``."""
        return BatchVisit(step, self, batch)

    def state(self) -> dict[str, Float[Tensor, "..."]]:
        """All that is stored; not copies."""
        return dict(self._kept)

    def restore(self, state: Mapping[str, Float[Tensor, "..."]]) -> None:
        """Continue with what ``state`` returned, on any device."""
        self._kept = {key: value.to(self.device, copy=True) for key, value in state.items()}
        self._bytes = sum(value.nbytes for value in self._kept.values())

    def get(self, key: str) -> Float[Tensor, "*field"] | None:
        """What is stored under a key."""
        return self._kept.get(key)

    def put(self, key: str, value: Float[Tensor, "*field"]) -> None:
        """Store a copy of ``value`` in place of the former one, or where there is room."""
        former = self._kept.pop(key, None)
        self._bytes -= 0 if former is None else former.nbytes
        if self._bytes + value.nbytes <= self.bound:
            self._kept[key] = value.to(self.device, copy=True)
            self._bytes += value.nbytes


@dataclass
class BatchVisit:
    """One step's view of Visits, see ``edframe.interfaces.Visit``: it moves fields as the batch was moved."""

    step: int
    memory: Visits
    batch: Batch

    def recall(self, name: str) -> Float[Tensor, "b *field"] | None:
        """Fields ``[b, c, x, y, z]`` or numbers ``[b]`` of this batch, NaN where there are none; None without any."""
        entries = [self.memory.get(key) for key in self._keys(name)]
        known = next((value for value in entries if value is not None), None)
        if known is None:
            return None
        absent = torch.full_like(known, torch.nan)
        values = torch.stack([absent if value is None else value for value in entries])
        return values if values.ndim == 1 or self.batch.motion is None else move(values, self.batch.motion)

    def keep(self, name: str, values: Float[Tensor, "b *field"]) -> None:
        """Keep fields ``[b, c, x, y, z]`` or numbers ``[b]``, without their gradient."""
        own = values.detach().to(torch.float64 if values.ndim == 1 else torch.float32)
        if values.ndim > 1 and self.batch.motion is not None:
            own = move_back(own, self.batch.motion)
        for key, value in zip(self._keys(name), own, strict=True):
            self.memory.put(key, value)

    def _keys(self, name: str) -> list[str]:
        return [f"{name}/{sample.id}" for sample in self.batch.samples]
