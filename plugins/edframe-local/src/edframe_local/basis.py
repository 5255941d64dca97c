"""Functions of the atoms around a point that do not change under rotations, mirrors, permutations and translations."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe_local.harmonics import harmonic_rows
from edframe_local.neighbours import Surroundings

if TYPE_CHECKING:
    from jaxtyping import Float

CORE = 0.2
"""Å within which radial functions and harmonics flatten out, so that they are smooth at the nucleus itself."""


def radial(distances: Float[Tensor, "*points"], count: int, cutoff: float) -> Float[Tensor, "*points {count}"]:
    """f_n of ``distances`` ``[…]`` in Å for n < ``count``: ``[…, n]``, 0 from the cut-off on, smooth everywhere.

    f_n(d) = (1 + cos(πd/r_c))/2 · cos(nπt), t from 0 to 1, like d up to ``CORE`` and like √d beyond: finest where
    densities are steepest.
    """
    d = distances.clamp(max=cutoff)
    fade = 0.5 * (1 + torch.cos((math.pi / cutoff) * d))
    t = d / (((d * d + CORE**2).sqrt() + CORE) * (math.hypot(cutoff, CORE) - CORE)).sqrt()
    waves = torch.cos(math.pi * t)
    functions = [fade, fade * waves]
    for _ in range(count - 2):  # cos(nx) = 2 cos(x) cos((n−1)x) − cos((n−2)x)
        functions.append(2 * waves * functions[-1] - functions[-2])
    return torch.stack(functions[:count]).movedim(0, -1)  # one function after the other in memory


@dataclass(frozen=True)
class Basis:
    """The invariants of one point. In their order, with A_snlm the sum of f_n(d) Y_lm over the neighbours of species s:

    - two bodies (the point and an atom): Σ f_n(d) for each species and n < ``pairs``;
    - three: Σ_m A_snlm A_s'n'lm for each two (s, n), (s', n') with n < ``radial`` and l ≤ ``angular``, of these
      the ``triples`` of lowest degree n + n' + l;
    - four and more: products of these with A_sn00, the ``products`` of lowest degree.

    species: how many. dimension: 1, 2 or 3. cutoff: r_c in Å. kinds: of each species its weight in each kind of atom
    that takes the place of s in terms of three and more bodies; empty: each species is a kind of its own. Atoms are
    summed before products are taken, so the cost of a point is linear in its neighbours. After Drautz, Phys. Rev. B 99,
    014104 (2019), with the point in the place of the central atom as in Focassio et al., npj Comput. Mater. 9, 87
    (2023).
    """

    species: int
    dimension: int
    cutoff: float
    pairs: int
    radial: int
    angular: int
    triples: int
    products: int
    kinds: tuple[tuple[float, ...], ...] = ()

    @property
    def channels(self) -> int:
        """How many (s, n) there are in terms of three and more bodies."""
        return self.sorts * self.radial

    @property
    def sorts(self) -> int:
        """How many s there are in terms of three and more bodies: kinds, or species."""
        return len(self.kinds[0]) if self.kinds else self.species

    @cached_property
    def triples_listed(self) -> list[tuple[int, int, int]]:
        """(l, i, j) of the triples, by degree; i ≤ j number the ``channels`` (s, n)."""
        channels = range(self.channels)
        largest = min(self.angular, 1) if self.dimension == 1 else self.angular
        every = [
            (ell, i, j) for ell in range(largest + 1) for i, j in itertools.combinations_with_replacement(channels, 2)
        ]
        every.sort(key=lambda t: (t[1] % self.radial + t[2] % self.radial + t[0], t))
        return every[: self.triples]

    @cached_property
    def products_listed(self) -> list[tuple[int, int]]:
        """The products in order: (place of a triple, channel (s, n)) by their degree."""
        degree = [i % self.radial + j % self.radial + ell for ell, i, j in self.triples_listed]
        every = itertools.product(range(len(degree)), range(self.channels))
        ranked = sorted(every, key=lambda p: (degree[p[0]] + p[1] % self.radial, p))
        return ranked[: self.products]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many invariants there are of two, of three, and of more bodies."""
        return self.species * self.pairs, len(self.triples_listed), len(self.products_listed)

    @property
    def size(self) -> int:
        """How many invariants there are."""
        return sum(self.sizes)

    def __call__(self, around: Surroundings) -> tuple[NDArray[np.int64], Float[Tensor, "n {self.size}"]]:
        """Which points, ``[n]``, and their invariants, ``[n, size]``."""
        two, moments = self.sums(around)
        real = around.points.reshape(-1) >= 0
        if not real.all():
            keep = torch.as_tensor(np.flatnonzero(real), device=two.device)
            two, moments = two[keep], moments[keep]
        three = self.triples_of(moments, self.triples)
        return around.points.reshape(-1)[real], torch.cat([two, three, self._more(three, moments)], 1)

    def sums(self, around: Surroundings) -> tuple[Float[Tensor, "n two"], Float[Tensor, "n lm c"]]:
        """Σ f_n per species, ``[n, species · pairs]``, and A, ``[n, (l, m), (n, s)]``, see ``place``."""
        counts = [vectors.shape[2] for vectors in around.vectors]
        flat = torch.cat([vectors.flatten(0, 1) for vectors in around.vectors], 1)
        squared = flat.square().sum(-1)
        functions = radial(squared.sqrt(), max(self.pairs, self.radial), self.cutoff)
        weights = (
            flat.new_tensor(self.kinds) if self.kinds else torch.eye(self.species, dtype=flat.dtype, device=flat.device)
        )
        own = flat.new_empty(*squared.shape, self.radial, weights.shape[1])  # f_n in each kind of atom
        two, start = [], 0
        for index, of_species in enumerate(torch.split(functions, counts, 1)):
            two.append(of_species[..., : self.pairs].sum(1))
            own[:, start : start + counts[index]] = of_species[..., : self.radial, None] * weights[index]
            start += counts[index]
        rows = harmonic_rows(flat / (squared + CORE**2).sqrt()[..., None], self.largest)
        harmonics = torch.stack([row for of_one in rows for row in of_one], 1)
        return torch.cat(two, 1), harmonics @ own.flatten(2)

    @cached_property
    def largest(self) -> int:
        """The largest l of the triples."""
        return max((ell for ell, _, _ in self.triples_listed), default=0)

    def place(self, channel: int) -> int:
        """Where in A the channel (s, n), number s · radial + n, is: n · sorts + s, so that low degrees are first."""
        return channel % self.radial * self.sorts + channel // self.radial

    @cached_property
    def orders(self) -> list[int]:
        """How many m each l has."""
        return [1 if not ell or self.dimension == 1 else 2 * ell + 1 if self.dimension == 3 else 2
                for ell in range(self.largest + 1)]  # fmt: skip

    def by_l(self, moments: Float[Tensor, "n lm c"]) -> tuple[Float[Tensor, "n m c"], ...]:
        """The part of A of each l."""
        return torch.split(moments, self.orders, 1)

    def placed(self, count: int) -> list[tuple[int, int, int]]:
        """(l, i, j) of the first ``count`` triples, i and j the places of their channels in A."""
        return [(ell, self.place(i), self.place(j)) for ell, i, j in self.triples_listed[:count]]

    def widths(self, placed: list[tuple[int, int, int]]) -> list[int]:
        """For each l, how many places in A, first ones, its triples need: few for high l, by their degree."""
        return [max((1 + max(i, j) for of, i, j in placed if of == ell), default=0) for ell in range(self.largest + 1)]

    def triples_of(self, moments: Float[Tensor, "n lm c"], count: int) -> Float[Tensor, "n triples"]:
        """The first ``count`` invariants of three bodies, ``[n, count]``, from A."""
        placed = self.placed(count)
        widths = self.widths(placed)
        starts = [0, *itertools.accumulate(width**2 for width in widths)]
        listed = [starts[ell] + i * widths[ell] + j for ell, i, j in placed]
        few = [a[..., :width] for a, width in zip(self.by_l(moments), widths, strict=True)]
        squares = torch.cat([(a.transpose(1, 2) @ a).flatten(1) for a in few], 1)
        return squares.index_select(1, torch.tensor(listed, device=squares.device))

    def _more(self, three: Tensor, moments: Tensor) -> Tensor:
        device = three.device
        triples = torch.tensor([triple for triple, _ in self.products_listed], device=device, dtype=torch.long)
        places = torch.tensor([self.place(i) for _, i in self.products_listed], device=device, dtype=torch.long)
        return three.index_select(1, triples) * moments[:, 0].index_select(1, places)
