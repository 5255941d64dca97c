"""Random symmetries of the cell and translations: exact moves of grid points, no interpolation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped


class Motions:
    """The moves that map a grid onto itself: point operations of its lattice, translations on periodic axes."""

    def __init__(self, grid: Grid, device: torch.device | str) -> None:
        self.shape = torch.tensor(grid.shape, device=device)
        self.periodic = torch.tensor(grid.periodic, device=device)
        self.operations = torch.from_numpy(grid.symmetries()).to(device)
        axes = [torch.arange(n, device=device) for n in grid.shape]
        self.points = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, "b point"]:
        """``count`` random moves as source indices ``[b, point]``. The generator is on the CPU."""
        chosen = torch.randint(len(self.operations), (count,), generator=generator)
        offsets = torch.rand((count, len(self.shape)), generator=generator).to(self.shape.device)
        shift = (offsets * self.shape).long() * self.periodic
        return self._sources(self.operations[chosen.to(self.shape.device)], shift)

    def symmetries(self) -> Iterator[Int[Tensor, "1 point"]]:
        """The point operations of the lattice in turn, the identity first, as source indices ``[1, point]``."""
        for operation in self.operations:
            yield self._sources(operation[None], torch.zeros_like(self.shape)[None])

    def _sources(self, operations: Tensor, shift: Tensor) -> Tensor:
        """Source indices ``[b, point]`` of operations ``[b, d, d]`` followed by shifts ``[b, d]`` in points."""
        index = torch.zeros((len(shift), self.points.shape[1]), dtype=torch.long, device=self.shape.device)
        for axis, n in enumerate(self.shape.tolist()):
            source = (operations[:, axis, :, None] * self.points).sum(dim=1) + shift[:, axis, None]
            index = index * n + source.remainder(n)
        return index


def move(fields: Shaped[Tensor, "b c *grid"], index: Int[Tensor, "b point"]) -> Shaped[Tensor, "b c *grid"]:
    """Apply one move per sample to scalar fields ``[b, c, x, y, z]``."""
    flat = fields.flatten(2)
    return flat.gather(2, index[:, None].expand_as(flat)).reshape(fields.shape)


def move_back(fields: Shaped[Tensor, "b c *grid"], index: Int[Tensor, "b point"]) -> Shaped[Tensor, "b c *grid"]:
    """Undo ``move``."""
    flat = fields.flatten(2)
    return torch.empty_like(flat).scatter_(2, index[:, None].expand_as(flat), flat).reshape(fields.shape)
