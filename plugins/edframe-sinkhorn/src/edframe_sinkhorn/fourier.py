"""A kernel of lines in reciprocal space: two fast Fourier transforms instead of up to six products of matrices.

The transform of a product of convolutions is the product of their transforms. What it loses is absolute, some 1e-16 of
the largest sum, while lines keep the relative accuracy of every sum; so it serves where sums are within 1e-8 of the
largest, as those of a density with a vacuum of 1e-8 against a similar one are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

    from edframe_sinkhorn.lines import Floats, Lines

LEAST = 1e-8
"""Sums above, as a fraction of the largest of a sample, are good to 1e-7."""


def eigenvalues(lines: Lines, shape: Sequence[int]) -> Float[Tensor, "*half"]:
    """Of the kernel of ``lines`` on a periodic grid of this ``shape``, ``[n1, …, nd//2 + 1]`` as ``rfftn`` has them.

    A wave on the grid is one of det(embedding) waves on its finer lattice, whose eigenvalues are averaged.
    """
    index = round(abs(np.linalg.det(lines.embedding)))
    turn = index * math.lcm(*shape)  # all phases are multiples of 1/turn
    inverse = np.rint(index * np.linalg.inv(lines.embedding)).astype(np.int64)
    last = len(shape) - 1
    waves = [np.arange(n // 2 + 1 if axis == last else n) * (turn // (index * n)) for axis, n in enumerate(shape)]
    cosets = list(itertools.product(*(range(int(side)) for side in lines.embedding.diagonal())))
    total = np.zeros([len(wave) for wave in waves])
    tables = [_transform(variance, turn) for variance in lines.variances]
    for coset in cosets:
        product = np.full(total.shape, math.exp(-lines.log_norm) / index)
        for direction, table in zip(lines.directions, tables, strict=True):
            phases = [
                factor * (wave + part * (turn // index)) % turn
                for factor, wave, part in zip(direction @ inverse, waves, coset, strict=True)
            ]
            product *= table[sum(np.ix_(*phases)) % turn]
        total += product
    return torch.from_numpy(total)


def _transform(variance: float, turn: int) -> Floats:
    """Σ exp(−t²/2w) cos 2πφt over integers t, at the phases φ = 0, 1/turn, …; w is the ``variance``."""
    phases = np.arange(turn)[:, None] / turn
    if variance < 0.5:
        steps = np.arange(1, 2 + math.ceil(math.sqrt(80 * variance)))
        return np.asarray(1 + 2 * np.cos(2 * np.pi * phases * steps) @ np.exp(-(steps**2) / (2 * variance)))
    near = phases - np.arange(-2, 4)  # Poisson summation: Gaussians around integer phases
    return np.asarray(math.sqrt(2 * np.pi * variance) * np.exp(-2 * np.pi**2 * variance * near**2).sum(1))


def convolved(density: Float[Tensor, "b *grid"], values: Float[Tensor, "*half"]) -> Float[Tensor, "b *grid"]:
    """The convolution of ``density`` by the kernel with these eigen``values``, float64."""
    axes = tuple(range(1, density.ndim))
    waves = torch.fft.rfftn(density.double(), dim=axes)
    sums: Tensor = torch.fft.irfftn(waves.mul_(values), s=density.shape[1:], dim=axes)
    return sums
