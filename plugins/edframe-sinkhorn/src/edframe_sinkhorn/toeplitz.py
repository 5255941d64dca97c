"""The Gibbs kernel of any cost on any grid: a table of the cost by index difference, and matrix products."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from edframe_sinkhorn.bands import HEADROOM
from edframe_sinkhorn.images import NearestImage
from edframe_sinkhorn.kernel import in_single, smallest_with

if TYPE_CHECKING:
    from jaxtyping import Float


class ToeplitzKernel:
    """K = exp(−c/ε), c = |x − y|²/2 (p = 2) or |x − y| (p = 1), to the nearest image along periodic axes.

    The cost depends only on the difference of two grid indices, so it is a table of Π (2nᵢ − 1) entries. For each
    difference along the longest axis the rest of the kernel is one matrix. It is written out when its turn comes and
    applied at once to all samples and all pairs of slabs with that difference: N² multiplications for N points, and
    the geometry costs nothing per pair.

    voxel: edges as rows, ``[d, d]`` in Å. shape, periodic: of the grid. epsilon: blur² in Å² for p = 2, blur in Å for
    p = 1.
    """

    def __init__(
        self,
        voxel: ArrayLike,
        shape: Sequence[int],
        periodic: Sequence[bool],
        epsilon: float,
        p: int,
        device: torch.device | str,
    ) -> None:
        self.shape = tuple(shape)
        self.epsilon = epsilon
        self.single = True
        steps = [torch.arange(1 - n, n, dtype=torch.float64) for n in self.shape]
        differences = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1)
        apart = differences @ torch.as_tensor(voxel, dtype=torch.float64)
        squared = NearestImage(voxel, shape, periodic).squared(apart)
        self._log = -(squared / 2 if p == 2 else squared.sqrt()).to(device) / epsilon
        self._longest = self.shape.index(max(self.shape))
        table = self._log.exp().movedim(self._longest, 0)
        self._tables = {torch.float64: table, torch.float32: in_single(table)}
        self._smallest = smallest_with(float(self._log.amin()), math.prod(self.shape))

    def apply(
        self, density: Float[Tensor, "b *grid"], other: Float[Tensor, "b *grid"] | None = None, even: bool = False
    ) -> Float[Tensor, "b *grid"]:
        """K ``density``, ``[b, n1, …, nd]``, in the scaling domain."""
        slabs = density.movedim(1 + self._longest, 0)
        n, batch = slabs.shape[:2]
        # The matrices take the points of a slab in reversed order.
        columns = slabs.flip(tuple(range(2, slabs.ndim))).reshape(n, batch, -1)
        result = torch.zeros_like(columns)
        for difference, block in enumerate(self._blocks(density.dtype), start=1 - n):
            source = columns[max(0, -difference) : n - max(0, difference)]
            result[max(0, difference) : n + min(0, difference)] += source @ block
        return result.reshape(slabs.shape).movedim(0, 1 + self._longest).contiguous()

    def limits(self, density: Float[Tensor, "b *grid"]) -> list[Float[Tensor, "..."] | float]:
        """Larger where K itself underflows."""
        return [self._smallest]

    def log_apply(self, log_density: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """log(K exp(``log_density``)), float64 ``[b, n1, …, nd]``; −inf means zero density.

        In the scaling domain. Points whose result is too small for it are computed again in the log domain, which has
        no limit and takes some 40 times longer.
        """
        largest = log_density.flatten(1).amax(1).reshape(-1, *[1] * len(self.shape))
        offset = largest.nan_to_num(neginf=0.0) - HEADROOM
        sums = self.apply((log_density - offset).exp_())
        lost = ~(sums >= self._smallest)
        result = sums.log_().add_(offset)
        for sample in lost.flatten(1).any(1).nonzero()[:, 0]:
            result[sample][lost[sample]] = self._log_rows(log_density[sample], lost[sample].nonzero())
        return result

    def _blocks(self, precision: torch.dtype) -> Iterator[Tensor]:
        """K between two slabs across the longest axis, ``[m, m]``, by the difference of their indices, ascending."""
        rest = self.shape[: self._longest] + self.shape[self._longest + 1 :]
        for table in self._tables[precision]:
            yield _hankel(table, rest).reshape(math.prod(rest), -1)

    def _log_rows(self, log_density: Tensor, points: Tensor) -> Tensor:
        """log(K exp(``log_density``)), ``[q]``, at ``points``, ``[q, d]``: log-sum-exp over whole rows of K."""
        windows = _hankel(self._log, self.shape)
        reverse = log_density.flip(tuple(range(log_density.ndim))).flatten()
        at_once = (2**15 if reverse.device.type == "cpu" else 2**24) // len(reverse)  # that many fit into the cache
        return torch.cat(
            [
                torch.logsumexp(windows[tuple(some.T)].reshape(len(some), -1) + reverse, dim=1)
                for some in torch.split(points, max(1, at_once))
            ]
        )


def _hankel(table: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A view ``[n1, …, nd, n1, …, nd]`` of a ``table`` of differences 1 − n, …, n − 1: of i and n − 1 − j at (i, j)."""
    for axis, n in enumerate(shape):
        table = table.unfold(axis, n, 1)
    return table
