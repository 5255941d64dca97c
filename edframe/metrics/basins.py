"""Electrons in the Voronoi cell of each atom: a density divided among the atoms that its points are nearest to.

The plainest division in use (Fonseca Guerra, Handgraaf, Baerends, Bickelhaupt, J. Comput. Chem. 25, 189 (2004)): it
needs no more than the positions of the atoms, so two densities of one structure are divided alike. Torch is not
imported here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

TIE = 1e-6
"""Å². Squared distances that differ by less are equal by symmetry, but for rounding."""


def basin_electrons(density: Float[Tensor, "*grid"], grid: Grid, positions: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """Electrons nearest to each atom, ``[n]`` float64, of one density ``[x, y, z]`` in e/Å^d; together they are ∫ρ.

    positions: ``[n, d]`` in Å, in any image. On periodic axes an atom is as near as its nearest image, in cells of any
    shape. A voxel that is as near to several atoms is shared by them equally, whatever their order.
    """
    density = density.double()
    fractions = positions.double().cpu().numpy() @ np.linalg.inv(grid.vectors)
    # Per axis, the fractional coordinates of the points relative to each atom, [atom, point]; wrapped to [−½, ½).
    offsets = [np.arange(n) / n - fractions[:, axis, None] for axis, n in enumerate(grid.shape)]
    offsets = [u - np.floor(u + 0.5) if periodic else u for u, periodic in zip(offsets, grid.periodic, strict=True)]
    images = nearer_images(
        grid, np.array([0.5 if p else abs(u).max() for u, p in zip(offsets, grid.periodic, strict=True)])
    )

    def distance(atom: int) -> Tensor:
        return squared_distance([u[atom] for u in offsets], images, grid, density)

    atoms = range(len(fractions))
    nearest = distance(0)
    for atom in atoms[1:]:
        nearest = nearest.minimum(distance(atom))
    nearest += TIE
    # Computed again rather than stored: the distances of 100 atoms take 100 times the memory of the density.
    owned = [distance(atom) <= nearest for atom in atoms]
    share = density / sum(mine.double() for mine in owned)
    return density.new_tensor([float((share * mine).sum()) for mine in owned]) * grid.voxel_volume


def squared_distance(
    offsets: Sequence[NDArray[np.float64]], images: NDArray[np.int64], grid: Grid, like: Float[Tensor, "..."]
) -> Float[Tensor, "*grid"]:
    """Å², ``[x, y, z]``, to the nearest of ``images`` ``[image, d]`` of an atom with ``offsets``, ``[point]`` by axis.

    |u + n|² = u·G·u + 2 u·G·n + n·G·n with the metric G of the cell: no term depends on more than two axes, and those
    that depend on the image only on one, so that only sums are taken over all voxels.
    """
    metric, axes = grid.vectors @ grid.vectors.T, range(grid.dimension)
    u = [like.new_tensor(v).reshape([-1 if k == axis else 1 for k in axes]) for axis, v in enumerate(offsets)]
    squared = float(metric[0, 0]) * u[0] ** 2
    for i in axes[1:]:
        for j in axes[: i + 1]:
            if metric[i, j] != 0:  # in a box nothing is left but the squares, added once
                squared = squared + (1 if i == j else 2) * float(metric[i, j]) * u[i] * u[j]
    change: Tensor | None = None
    for image in images:
        slope = metric @ image
        step = 2 * float(slope[0]) * u[0] + float(image @ slope)
        for axis in axes[1:]:
            step = step + 2 * float(slope[axis]) * u[axis]
        change = step if change is None else change.minimum(step)
    return squared if change is None else squared + change.clamp(max=0)


def nearer_images(grid: Grid, reach: NDArray[np.float64]) -> NDArray[np.int64]:
    """Lattice translations n, ``[image, d]``, that bring an atom nearer to some point; in a box there is none.

    reach: ``[d]``, the largest |offset| u on each axis. |u + n|² < |u|² means n·G·n < −2 u·G·n, which is at most
    2 Σ reach |G n|; and it means |n| < 2 |u|, which bounds the search.
    """
    metric = grid.vectors @ grid.vectors.T
    lengths = np.linalg.norm(grid.vectors, axis=1)
    farthest = 2 * (reach @ lengths) * np.linalg.norm(np.linalg.inv(grid.vectors), axis=0)
    bounds = np.where(grid.periodic, np.floor(farthest), 0).astype(int)
    candidates = np.array(list(itertools.product(*(range(-b, b + 1) for b in bounds))))
    products = candidates @ metric
    squares = np.einsum("ni,ni->n", candidates, products)
    kept: NDArray[np.int64] = candidates[squares < 2 * abs(products) @ reach * (1 - 1e-9)]
    return kept
