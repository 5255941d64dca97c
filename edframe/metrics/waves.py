"""Kernels of pair interactions as spectra on a grid: Σᵢⱼ fᵢ K(rᵢ − rⱼ) fⱼ by one Fourier transform of the field f.

Periodic axes have their own waves; open ones are padded with zeros, so that nothing reaches around.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid
from edframe.metrics.basins import nearer_images, squared_distance

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = [
    "PartlyTransformed",
    "Spectrum",
    "displacements",
    "halved",
    "nyquist",
    "padded",
    "pair_sum",
    "sampled",
    "shortest_waves",
    "wave_numbers",
]


PartlyTransformed = Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[np.float64]]
"""A kernel, ``[g, o]``, transformed along some axes and not across: of the length of the waves along them, ``[g]`` in
Å⁻¹, of the distance from them, ``[o]`` in Å, and of their number."""


@dataclass(frozen=True)
class Spectrum:
    """A kernel of pairs on the waves of a padded grid.

    shape: points of the padded grid. values: the Fourier transform of the kernel, ``[k1, …, kd/2+1]``, with the
    weights of the halved last axis.
    """

    shape: tuple[int, ...]
    values: NDArray[np.float64]


def pair_sum(field: Float[Tensor, "b *grid"], grid: Grid, spectrum: Spectrum) -> Float[Tensor, "b"]:
    """∫∫ f(r) K(r − r′) f(r′) dV dV′, ``[b]``, differentiable; ``field`` is ``[b, x, y, z]``, in float32 or better."""
    import torch

    axes = tuple(range(1, grid.dimension + 1))
    waves = torch.view_as_real(torch.fft.rfftn(field, spectrum.shape, axes))
    values = torch.from_numpy(spectrum.values).to(waves)
    total: Tensor = (waves.square().sum(-1) * values).flatten(1).sum(1)
    return total * (grid.voxel_volume / float(np.prod(spectrum.shape)))


def halved(full: NDArray[np.float64], last: int) -> NDArray[np.float64]:
    """Half of a spectrum that is even, ``[k1, …, last/2+1]``, where the waves of the last axis that stand for two count
    twice. full: with all waves of the last axis, or with that half of them."""
    half = full[..., : last // 2 + 1].copy()
    half[..., 1 : (last + 1) // 2] *= 2
    return half


def padded(grid: Grid, gap: float = 0.0) -> tuple[int, ...]:
    """Points per axis with zeros after the open ones: twice as many, and at least ``gap`` Å between an end and the next
    image of the other."""
    from scipy.fft import next_fast_len

    heights = 1 / np.linalg.norm(np.linalg.inv(grid.voxel), axis=0)  # between planes of points
    wanted = [max(2 * n, n + int(np.ceil(gap / h))) for n, h in zip(grid.shape, heights, strict=True)]
    return tuple(
        n if periodic else next_fast_len(more, real=True)
        for n, more, periodic in zip(grid.shape, wanted, grid.periodic, strict=True)
    )


def nyquist(grid: Grid) -> float:
    """The largest |k|, in Å⁻¹, up to which waves of every direction are told apart on the points: half of the shortest
    vector of the lattice that is reciprocal to the voxel."""
    reciprocal = 2 * np.pi * np.linalg.inv(grid.voxel).T
    shortest = np.linalg.norm(reciprocal, axis=1).min()
    reach = np.floor(shortest * grid.spacing / (2 * np.pi) + 1e-9).astype(int)
    candidates = np.array([n for n in itertools.product(*(range(-r, r + 1) for r in reach)) if any(n)])
    return float(np.linalg.norm(candidates @ reciprocal, axis=1).min()) / 2


def wave_numbers(grid: Grid, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """|k|² in Å⁻² of the waves of a grid with ``shape`` points, ``[k1, …, kd/2+1]``.

    Of all waves that are the same on the points, the longest: that does not depend on the choice of the cell.
    """
    import torch

    # The waves are points in the cell that is reciprocal to the voxel, and periodic there.
    reciprocal = Grid.of(2 * np.pi * np.linalg.inv(grid.voxel).T, shape)
    fractions = [np.fft.fftfreq(n).astype(np.float64) for n in shape]
    fractions[-1] = fractions[-1][: shape[-1] // 2 + 1]
    images = nearer_images(reciprocal, np.full(len(shape), 0.5))
    like = torch.empty(0, dtype=torch.float64)
    squared = squared_distance(fractions, images, reciprocal, like).numpy()
    return np.broadcast_to(squared, [len(f) for f in fractions])


def sampled(grid: Grid, shape: tuple[int, ...], kernel: PartlyTransformed) -> NDArray[np.float64]:
    """The transform of a kernel that is known by waves along periodic axes and sampled across them: ``[k1, …, kd]``, or
    half of it along the last axis."""
    across = [axis for axis in range(grid.dimension) if not grid.periodic[axis]]
    along = [axis for axis in range(grid.dimension) if grid.periodic[axis]]
    steps = displacements(grid, shape, across)
    if along:
        edges = grid.voxel[along]
        waves, parallel = shortest_waves(edges, [shape[axis] for axis in along]), steps @ np.linalg.pinv(edges) @ edges
        area = float(np.sqrt(np.linalg.det(edges @ edges.T)))
    else:
        waves, parallel, area = np.zeros((1, grid.dimension)), np.zeros_like(steps), 1.0
    lengths, distances = np.linalg.norm(waves, axis=1), np.linalg.norm(steps - parallel, axis=1)
    values = kernel(lengths, distances, len(along))
    if not along:
        return np.asarray(np.fft.rfftn(values.reshape(shape)).real * grid.voxel_volume)
    if abs(parallel).max() > 1e-9 * grid.spacing.max():  # open edges lean along periodic axes
        values = values * np.exp(1j * waves @ parallel.T)
    order = (*along, *across)
    values = np.moveaxis(values.reshape([shape[axis] for axis in order]), range(grid.dimension), order)
    components: NDArray[np.float64] = np.fft.fftn(values, axes=across).real * (grid.voxel_volume / area)
    return components


def shortest_waves(edges: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """The waves themselves, ``[waves, d]`` in Å⁻¹, along the edges ``[p, d]`` in Å of voxels with ``shape`` points."""
    counts = np.stack(np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"), axis=-1).reshape(-1, len(shape))
    reciprocal = 2 * np.pi * np.linalg.pinv(edges).T
    own = np.linalg.qr(reciprocal.T)[1].T  # the same vectors in as many dimensions
    waves: NDArray[np.float64] = counts @ reciprocal
    for image in nearer_images(Grid.of(own, 1), np.full(len(shape), 0.5)):
        other = (counts + image) @ reciprocal
        shorter = np.linalg.norm(other, axis=1) < np.linalg.norm(waves, axis=1)
        waves[shorter] = other[shorter]
    return waves


def displacements(grid: Grid, shape: Sequence[int], axes: Sequence[int]) -> NDArray[np.float64]:
    """Differences of points along some axes, padded to ``shape``, ``[steps, d]`` in Å, in the order of a transform."""
    steps = [np.fft.fftfreq(shape[axis], 1 / shape[axis]) for axis in axes]
    counts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, len(axes))
    vectors: NDArray[np.float64] = counts @ grid.voxel[list(axes)]
    return vectors
