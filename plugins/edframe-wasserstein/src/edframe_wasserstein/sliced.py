"""The sliced Wasserstein distance: exact transport in one dimension, averaged over directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_wasserstein.masses import normalise
from edframe_wasserstein.plugin import DIRECTIONS, MAX_NEAR_CUT

if TYPE_CHECKING:
    from jaxtyping import Float

NEAR = 0.5
"""Distance from a cut in Å within which electrons count as near."""

TINY = torch.finfo(torch.float64).tiny


def sliced_transport(
    a: Float[Tensor, "b *grid"],
    b: Float[Tensor, "b *grid"],
    grid: Grid,
    directions: int = DIRECTIONS,
    max_near_cut: float = MAX_NEAR_CUT,
) -> tuple[Float[Tensor, "b"], Mapping[str, Float[Tensor, "b"]]]:
    """d · mean over directions θ of ½ W₂²(θ·a, θ·b): the value in Å² and diagnostics, each ``[b]``.

    a, b: ``[b, x, y, z]`` (d axes), any unit; each is divided by its own sum, and what lies below zero counts as zero.
    θ·a is the projection of a on the direction θ. With the factor d a rigid shift by δ costs ½|δ|², and no pair costs
    more than its optimal transport. Differentiable once, by both densities, on their device.

    A torus has no projections on lines, so each periodic axis is cut open where the second density is emptiest, and
    distances are those in the cell cut there. diagnostics: ``near_cut``, the largest fraction of the electrons of a or
    b within 0.5 Å of a cut. Raises DataError when that of b exceeds ``max_near_cut``, and for a density with the wrong
    shape, no positive value or one that is not finite. Bonneel et al. 2015.
    """
    a, b = normalise(a, grid, "first"), normalise(b, grid, "second")
    if len(a) != len(b):
        raise DataError(f"sliced compares batches of one size, not {len(a)} densities with {len(b)}")
    a, b, near_cut = _cut_open(a, b, grid, max_near_cut)
    points = torch.from_numpy(grid.coordinates().reshape(-1, grid.dimension)).to(a.device)
    thetas = torch.from_numpy(orthogonal_directions(directions, grid.dimension)).to(a.device)
    value = _Sliced.apply(a.flatten(1), b.flatten(1), points, thetas)  # type: ignore[no-untyped-call]
    return grid.dimension * value, {"near_cut": near_cut}


def orthogonal_directions(count: int, dimension: int) -> NDArray[np.float64]:
    """At least ``count`` unit vectors ``[k, d]``, always the same: random orthonormal frames, one after the other.

    Whole frames, because then the mean of (θ·δ)² is |δ|²/d for every δ. In one dimension there is one direction.
    """
    frames = 1 if dimension == 1 else -(-count // dimension)
    normal = np.random.default_rng(0).standard_normal((frames, dimension, dimension))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.einsum("fii->fi", r))[:, None]  # makes the frames uniform: Mezzadri 2007
    vectors: NDArray[np.float64] = q.swapaxes(1, 2).reshape(-1, dimension)
    return vectors


class _Sliced(torch.autograd.Function):
    """Mean over directions ``[k, d]`` of ½ W₂² between masses ``[b, p]`` with unit sums at ``points`` ``[p, d]``."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, points: Tensor, directions: Tensor) -> Tensor:
        value = a.new_zeros(len(a))
        first, second = (torch.zeros_like(mass) if ctx.needs_input_grad[i] else None for i, mass in enumerate((a, b)))
        for direction in directions:
            x = points @ direction
            order = _ascending(x)
            x = x[order]
            levels_a, levels_b = _cumulate(a[:, order]), _cumulate(b[:, order])
            partners = _partners(levels_a, levels_b)
            value += _half_squared_distance(levels_a, levels_b, partners, x)
            if first is not None:
                first[:, order] += _potential(partners, x)
            if second is not None:
                second[:, order] += _potential(_partners(levels_b, levels_a), x)
        # At equality zero is one of the slopes, and the one wanted.
        scale = (value > 0)[:, None] / len(directions)
        ctx.gradients = [None if gradient is None else gradient * scale for gradient in (first, second)]
        return value / len(directions)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        first, second = (None if g is None else upstream[:, None] * g for g in ctx.gradients)
        return first, second, None, None


def _ascending(x: Tensor) -> Tensor:
    """Indices that sort x, ``[p]``: on processors by NumPy, whose sort is vectorised."""
    return torch.from_numpy(np.argsort(x.numpy())) if x.device.type == "cpu" else x.argsort()


def _cumulate(mass: Tensor) -> Tensor:
    """Cumulative masses ``[b, p]`` that end with exactly one."""
    sums = mass.cumsum(1)
    return sums / sums[:, -1:]


def _partners(a: Tensor, b: Tensor) -> Tensor:
    """For each level of a, the index of the first of b that reaches it, ``[b, p]``: where the optimal map sends it.

    A level of zero, where a holds nothing yet, counts as just above zero: a target always holds mass.
    """
    a = a.clamp(min=TINY)
    if a.device.type != "cpu":
        return torch.searchsorted(b, a)
    # NumPy goes on from where the last level was found: three times as fast.
    return torch.stack([torch.from_numpy(np.searchsorted(*both)) for both in zip(b.numpy(), a.numpy(), strict=True)])


def _half_squared_distance(a: Tensor, b: Tensor, partners: Tensor, x: Tensor) -> Tensor:
    """½ ∫ (x_a(q) − x_b(q))² dq over quantiles q, ``[b]``; a, b: cumulative masses ``[b, p]`` at ascending x ``[p]``.

    Both quantile functions are constant between neighbours of the merged levels of a and b. Each such interval is
    counted at its upper end; where levels of a and b are equal, that of a comes first. ``partners`` of a.
    """
    # The first level of a above each of b, found by counting those that are not: faster than a search.
    above = torch.zeros_like(partners).scatter_add_(1, partners, torch.ones_like(partners)).cumsum(1)
    total = a.new_zeros(len(a))
    for own, other, partner in ((a, b, partners), (b, a, above)):
        lower = torch.maximum(pad(own[:, :-1], (1, 0)), pad(other, (1, 0)).gather(1, partner))
        apart = x - x[partner.clamp(max=len(x) - 1)]
        total += ((own - lower) * apart.square()).sum(1) / 2
    return total


def _potential(partners: Tensor, x: Tensor) -> Tensor:
    """∫ (x − T(x)) dx, ``[b, p]``: the derivative by the mass at x, T being the optimal map, up to a constant."""
    steps = x.diff() * ((x[1:] + x[:-1]) / 2 - x[partners[:, :-1]])
    return pad(steps.cumsum(1), (1, 0))


def _cut_open(a: Tensor, b: Tensor, grid: Grid, max_near_cut: float) -> tuple[Tensor, Tensor, Tensor]:
    """Both masses, rolled so that each periodic axis begins where b is emptiest, and the fraction near the cuts.

    A cut runs between two planes of points. It is where Σ mass · exp(−distance/0.5 Å) of b is least, so that it keeps
    its distance from the atoms also where there is nothing at all.
    """
    near_cut = a.new_zeros(len(a))
    normals = np.linalg.norm(np.linalg.inv(grid.vectors), axis=0)
    for axis, (n, wraps) in enumerate(zip(grid.shape, grid.periodic, strict=True)):
        if not wraps or n == 1:  # along an axis of one point nothing moves
            continue
        step = 1 / (n * float(normals[axis]))
        index = torch.arange(n, device=a.device)
        after = (index - index[:, None]) % n
        distance = (torch.minimum(after, n - 1 - after) + 0.5) * step  # [cut, plane] in Å
        others = [i + 1 for i in range(grid.dimension) if i != axis]
        planes = [mass.detach().sum(others) if others else mass.detach() for mass in (a, b)]
        cut = (planes[1] @ torch.exp(-distance / NEAR).to(a.dtype).T).argmin(1)
        near = distance[cut] <= max(NEAR, step / 2)
        of_a, of_b = ((plane * near).sum(1) for plane in planes)
        if (of_b > max_near_cut).any():
            raise DataError(
                f"sliced cuts periodic axis {axis + 1} open, but {100 * of_b.max().item():.2g}% of the reference's "
                f"electrons are within {NEAR} Å of the emptiest plane (allowed: {100 * max_near_cut:g}%): "
                "use 'sinkhorn' or 'wasserstein', or more vacuum"
            )
        near_cut = torch.stack((near_cut, of_a, of_b)).amax(0)
        rolled = ((index + cut[:, None]) % n).reshape(-1, *(n if i == axis else 1 for i in range(grid.dimension)))
        a, b = (torch.take_along_dim(mass, rolled, dim=axis + 1) for mass in (a, b))
    return a, b, near_cut
