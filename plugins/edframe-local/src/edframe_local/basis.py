"""Functions of the atoms around a point that do not change under rotations, mirrors, permutations and translations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe_local.harmonics import harmonic_rows, orders
from edframe_local.neighbours import Surroundings
from edframe_local.squares import Squares

if TYPE_CHECKING:
    from jaxtyping import Float

CORE = 0.2
"""Å within which radial functions and harmonics flatten out, so that they are smooth at the nucleus itself."""


MANY = 24
"""Atoms of a species beyond which a product of small matrices for each point is sooner done than one for each atom."""


def radial(distances: Float[Tensor, "*points"], count: int, cutoff: float) -> Float[Tensor, "*points {count}"]:
    """f_n of ``distances`` ``[…]`` in Å for n < ``count``: ``[…, n]``, 0 from the cut-off on, smooth everywhere.

    f_n(d) = (1 + cos(πd/r_c))/2 · cos(nπt), t from 0 to 1, like d up to ``CORE`` and like √d beyond: finest where
    densities are steepest. One function after the other in memory.
    """
    d = distances.clamp(max=cutoff)
    scale = math.hypot(cutoff, CORE) - CORE
    waves = (d * d).add_(CORE**2).sqrt_().add_(CORE).mul_(scale / math.pi**2).rsqrt_().mul_(d).cos_()
    functions = d.new_empty(count, *d.shape)
    torch.mul(d, math.pi / cutoff, out=functions[0]).cos_().add_(1).mul_(0.5)
    if count > 1:
        torch.mul(functions[0], waves, out=functions[1])
    waves.mul_(2)
    for n in range(2, count):  # cos(nx) = 2 cos(x) cos((n−1)x) − cos((n−2)x)
        torch.mul(waves, functions[n - 1], out=functions[n]).sub_(functions[n - 2])
    return functions.movedim(0, -1)


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
        three = self.triples_of(moments, self.triples)
        functions = torch.cat([two, three, self._more(three, moments)])
        real = around.points.reshape(-1) >= 0
        return around.points.reshape(-1)[real], functions.T[torch.as_tensor(real, device=functions.device)]

    @torch.no_grad()
    def sums(self, around: Surroundings) -> tuple[Float[Tensor, "two n"], tuple[Float[Tensor, "_ _ n"], ...]]:
        """Σ f_n per species, ``[species · pairs, n]``, and for each l the A that are needed, ``[c, m, n]``, see
        ``place``. Points come last, so that what follows is of whole rows. Nothing is differentiated."""
        vectors, points = around.planes, around.planes.shape[2]
        squared = vectors.square().sum(0)
        functions = radial(squared.sqrt(), max(self.pairs, self.radial), self.cutoff).movedim(-1, 0)
        harmonics = harmonic_rows(vectors * (squared + CORE**2).rsqrt(), self.largest)
        two = [part.sum(1) for part in torch.split(functions[: self.pairs], list(around.counts), 1)]
        widths = [-(-width // self.sorts) for width in self.widths]
        pairs = [torch.split(each, list(around.counts), 1) for each in (functions[: max(widths)], harmonics)]
        sums = [_sum_of_products(f, y) for f, y in zip(*pairs, strict=True)]
        moments, first = [], 0
        for width, m in zip(widths, self.orders, strict=True):
            places = vectors.new_zeros(width, self.sorts, m, points)
            for weights, terms in zip(self.weights, sums, strict=True):
                for f, y in terms:
                    for kind, weight in weights:
                        places[:, kind].addcmul_(f[:width, first : first + m], y[first : first + m], value=weight)
            moments.append(places.flatten(0, 1))
            first += m
        return torch.cat(two), tuple(moments)

    @cached_property
    def weights(self) -> list[list[tuple[int, float]]]:
        """Of each species the kinds that it counts in, and its weights there."""
        if not self.kinds:
            return [[(index, 1.0)] for index in range(self.species)]
        return [[(kind, weight) for kind, weight in enumerate(row) if weight] for row in self.kinds]

    @cached_property
    def largest(self) -> int:
        """The largest l of the triples."""
        return max((ell for ell, _, _ in self.triples_listed), default=0)

    def place(self, channel: int) -> int:
        """Where in A the channel (s, n), number s · radial + n, is: n · sorts + s, so that low degrees are first."""
        return channel % self.radial * self.sorts + channel // self.radial

    @cached_property
    def widths(self) -> list[int]:
        """For each l, how many channels, the first in A, there are in any of the terms: few for high l."""
        wanted = [(ell, j) for ell, _, j in self.placed(self.triples)]
        wanted += [(0, self.place(channel)) for _, channel in self.products_listed]
        return [max((1 + j for of, j in wanted if of == ell), default=0) for ell in range(self.largest + 1)]

    @cached_property
    def orders(self) -> list[int]:
        """How many m each l has."""
        return orders(self.dimension, self.largest)

    def placed(self, count: int) -> list[tuple[int, int, int]]:
        """(l, i, j) of the first ``count`` triples, i ≤ j the places of their channels in A."""
        places = ((ell, self.place(i), self.place(j)) for ell, i, j in self.triples_listed[:count])
        return [(ell, min(i, j), max(i, j)) for ell, i, j in places]

    def triples_of(self, moments: Sequence[Float[Tensor, "_ _ n"]], count: int) -> Float[Tensor, "triples n"]:
        """The first ``count`` invariants of three bodies, ``[count, n]``, from A."""
        squares, rows = _squares(self, count)
        return squares(moments).index_select(0, rows.to(moments[0].device))

    def _more(
        self, three: Float[Tensor, "triples n"], moments: Sequence[Float[Tensor, "_ _ n"]]
    ) -> Float[Tensor, "more n"]:
        triples, ends = (index.to(three.device) for index in self._products)
        return three.index_select(0, triples) * moments[0][:, 0].index_select(0, ends)

    @cached_property
    def _products(self) -> tuple[Tensor, Tensor]:
        """Of each product the triple, and the place of A_sn00."""
        triples = torch.tensor([triple for triple, _ in self.products_listed], dtype=torch.long)
        return triples, torch.tensor([self.place(i) for _, i in self.products_listed], dtype=torch.long)


@lru_cache(maxsize=8)
def _squares(basis: Basis, count: int) -> tuple[Squares, Tensor]:
    """Those of the first ``count`` triples, and which of them each is."""
    placed = basis.placed(count)
    squares = Squares.of(placed)
    return squares, torch.tensor([squares.row[triple] for triple in placed])


def _sum_of_products(functions: Float[Tensor, "c k n"], lines: Float[Tensor, "lm k n"]) -> list[tuple[Tensor, Tensor]]:
    """Terms f, y whose products f y ``[c, lm, n]`` are, in sum, Σ_k f Y: one of many atoms, else one for each."""
    if functions.shape[1] <= MANY:
        wide = functions[:, None].expand(-1, len(lines), -1, -1)
        return list(zip(wide.unbind(2), lines.unbind(1), strict=True))
    total = (functions.permute(2, 0, 1) @ lines.permute(2, 1, 0)).permute(1, 2, 0)
    return [(total, lines.new_ones(len(lines), 1))]
