"""Distances to the nearest periodic image in any cell, some axes of which may be open."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from edframe_sinkhorn.lines import obtuse_superbase

if TYPE_CHECKING:
    from jaxtyping import Float


class NearestImage:
    """|x − y|² to the nearest image: go to a lattice vector near x − y, then try the neighbours of that one.

    In a basis b out of an obtuse superbase let x − y = Σ zᵢbᵢ. The nearest lattice vector differs from Σ ⌊zᵢ⌋bᵢ by a
    sum of some vectors of the superbase, if at all (McKilliam, Grant and Clarkson 2014, SIAM J. Discrete Math. 28,
    1405). The same holds of ⌊zᵢ + ½⌋: (½, …, ½) added to the coordinates in the superbase is the zero vector. Sums
    come in pairs ±v: 7 in space, 3 in the plane.

    voxel: edges as rows, ``[d, d]`` in Å. shape: of the grid. periodic: one flag per axis, k of them set.
    basis: reduced lattice vectors, ``[k, d]`` in Å. dual: ``[d, k]``; x @ dual are the coordinates of x in the basis.
    neighbours: one vector v of each pair, ``[2ᵏ − 1, d]`` in Å.
    """

    def __init__(self, voxel: ArrayLike, shape: Sequence[int], periodic: Sequence[bool]) -> None:
        cell = np.asarray(voxel, dtype=np.float64) * np.array(shape)[:, None]
        lattice = cell[np.array(periodic)]
        k, d = lattice.shape
        basis = obtuse_superbase(lattice @ lattice.T)[:k] @ lattice if k else lattice
        chosen = np.array(list(itertools.product((0.0, 1.0), repeat=k))[1:]).reshape(2**k - 1, k)
        self.basis = torch.from_numpy(basis)
        self.dual = torch.from_numpy(np.linalg.pinv(basis)) if k else torch.zeros(d, 0, dtype=torch.float64)
        self.neighbours = torch.from_numpy(chosen @ basis)

    def squared(self, apart: Float[Tensor, "*points d"]) -> Float[Tensor, "*points"]:
        """Squared distances ``[…]`` in Å² of displacements ``apart``, ``[…, d]`` in Å, float64."""
        near = apart - (apart @ self.dual).round() @ self.basis
        squared = near.square().sum(-1)
        if len(self.neighbours):
            # |x ± v|² = |x|² + |v|² ± 2x·v: the better sign takes off 2|x·v| − |v|².
            gained = 2 * (near @ self.neighbours.T).abs() - self.neighbours.square().sum(-1)
            squared = squared - gained.amax(-1).clamp(min=0)
        return squared.clamp(min=0)
