"""Real fields on a periodic grid as vectors of Fourier coefficients, and back on any grid of the same cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Basis:
    """Plane waves of a grid, one of each pair ±G. As real functions: √2 cos(G·r) and −√2 sin(G·r), and 1 for G = 0.

    vectors: ``[k, d]`` int64, G in units of the reciprocal lattice vectors, shortest first. alone: which of them,
    ``[k]`` bool, are their own opposite on the grid (0, and some at the edge of an even axis): they have no sine.
    """

    vectors: Int[Tensor, "k d"]
    alone: Bool[Tensor, "k"]

    @classmethod
    def of(cls, grid: Grid, cutoff: float | None) -> Basis:
        """All with |G| ≤ ``cutoff`` in 1/Å that ``grid`` holds; None: all, a complete basis of the fields on it."""
        sizes = np.array(grid.shape)
        axes = np.meshgrid(*[np.arange(-(n // 2), (n + 1) // 2) for n in sizes], indexing="ij")
        all_vectors = np.stack(axes, -1).reshape(-1, grid.dimension)
        place, opposite = (np.ravel_multi_index(tuple((m % sizes).T), grid.shape) for m in (all_vectors, -all_vectors))
        one_of_each = place <= opposite
        lengths = 2 * math.pi * np.linalg.norm(all_vectors @ np.linalg.inv(grid.vectors).T, axis=1)
        if cutoff is not None:
            one_of_each &= lengths <= cutoff
        chosen = np.flatnonzero(one_of_each)
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        return cls(torch.from_numpy(all_vectors[chosen]), torch.from_numpy((place == opposite)[chosen]))

    @property
    def size(self) -> int:
        """p, the number of real functions."""
        return 2 * len(self.alone) - int(self.alone.sum())

    def coefficients(self, fields: Float[Tensor, "*fields"]) -> Float[Tensor, "... p"]:
        """Fields ``[…, n1, …, nd]`` as ``[…, p]`` float64: those of all cosines, then those of the sines.

        The sum of their squares is the mean square of the field over the grid, as far as the basis reaches
        (Parseval). A wave that the grid of ``fields`` is too coarse for has coefficient 0.
        """
        shape = fields.shape[-self.vectors.shape[1] :]
        sizes = torch.tensor(shape, device=self.vectors.device)
        held = ((-sizes <= 2 * self.vectors) & (2 * self.vectors < sizes)).all(1)
        axes = tuple(range(-len(shape), 0))
        spectrum = torch.fft.fftn(fields.double(), dim=axes, norm="forward").flatten(-len(shape))
        chosen = spectrum[..., self._places(shape)] * (held * self._scale())
        return torch.cat([chosen.real, chosen.imag[..., ~self.alone]], dim=-1)

    def fields(self, coefficients: Float[Tensor, "... p"], shape: tuple[int, ...]) -> Float[Tensor, "*fields"]:
        """Values ``[…, n1, …, nd]`` (float64) of ``coefficients`` ``[…, p]`` at the points of a grid of ``shape``."""
        cosines = coefficients[..., : len(self.alone)].double()
        imaginary = torch.zeros_like(cosines)
        imaginary[..., ~self.alone] = coefficients[..., len(self.alone) :].double()
        waves = torch.complex(cosines, imaginary) * self._scale()
        spectrum = waves.new_zeros(*waves.shape[:-1], math.prod(shape))
        spectrum.index_add_(-1, self._places(shape), waves)  # waves that a coarse grid cannot distinguish add up
        # The real part represents the opposite vectors, too.
        spectrum = spectrum.reshape(*waves.shape[:-1], *shape)
        values: Tensor = torch.fft.ifftn(spectrum, dim=tuple(range(-len(shape), 0)), norm="forward").real
        return values

    def _places(self, shape: tuple[int, ...]) -> Tensor:
        """Flat index of each wave in the spectrum of a grid of ``shape``, ``[k]``."""
        flat = torch.zeros_like(self.vectors[:, 0])
        for axis, size in enumerate(shape):
            flat = flat * size + self.vectors[:, axis] % size
        return flat

    def _scale(self) -> Tensor:
        ones = torch.ones(len(self.alone), dtype=torch.float64, device=self.alone.device)
        return ones.masked_fill(~self.alone, math.sqrt(2))
