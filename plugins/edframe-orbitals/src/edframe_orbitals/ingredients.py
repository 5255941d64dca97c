"""What the orbitals say about a point: densities, their gradients, energies, bonds, and whose atoms it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe_orbitals.hamiltonian import Orbitals

if TYPE_CHECKING:
    from jaxtyping import Float

SMALL = 1e-6
"""1/bohr³, added to densities before one is divided by another: nothing in a vacuum."""
WARM = (0.1, 0.3)
"""Hartree: temperatures at which levels are filled once more, above and below the gap."""
SPECIFIC = 3
"""Numbers of an ingredient for each species: its part of the density, bonds to it, and bonds of bonds."""


def count(species: int) -> int:
    """How many ingredients there are."""
    return 32 + SPECIFIC * species


@dataclass(frozen=True)
class Prepared:
    """Orbitals in single precision, with what does not depend on the point.

    weights ``[m, 6]`` of the squares of molecular orbitals; inside ``[o, o]``: the density matrix within atoms; bonds
    ``[a, a]``: Wiberg–Mayer bond orders; attributes ``[a, k]`` of atoms; own ``[o]``: electrons of an orbital in a free
    atom; kinds ``[o, s]`` and owners ``[o, a]``: ones and zeros.
    """

    orbitals: Orbitals
    vectors: Float[Tensor, "o m"]
    occupied: Float[Tensor, "o f"]
    weights: Float[Tensor, "m 6"]
    inside: Float[Tensor, "o o"]
    bonds: Float[Tensor, "a a"]
    attributes: Float[Tensor, "a k"]
    own: Float[Tensor, "o"]
    species: Float[Tensor, "o s"]
    owners: Float[Tensor, "o a"]

    @classmethod
    def of(cls, solution: Orbitals, valence: Float[Tensor, "s"]) -> Prepared:
        """valence: electrons of each species."""
        owners, kinds, levels, filled = solution.owners, solution.kinds, solution.levels, solution.filled
        density, atoms = solution.density, len(solution.kinds)
        of_atom = torch.nn.functional.one_hot(owners, atoms).double()
        of_species = torch.nn.functional.one_hot(kinds, len(valence)).double()
        last = int((filled > 0).sum())
        middle = (levels[last - 1] + levels[min(last, len(levels) - 1)]) / 2
        warm = [2 / (1 + ((levels - middle) / width).clamp(-60, 60).exp()) for width in WARM]
        weights = torch.stack([filled, filled * levels, filled * levels**2, torch.ones_like(levels), *warm], 1)
        populations = density @ solution.overlap
        both = of_atom.T @ (populations * populations.T) @ of_atom
        bonds = both - torch.diag(both.diagonal())
        is_s = (solution.shown % 4 == 0).double()
        energies = (solution.vectors * (filled * levels)) @ solution.vectors.T
        electrons = valence[kinds]
        apart = torch.cdist(solution.positions, solution.positions) + 1
        strength, by_species, lone = bonds.sum(1), bonds @ of_species, of_atom.T @ (populations.diagonal() * is_s)
        attributes = torch.cat([
            torch.stack([
                solution.charges, lone, strength, bonds.square().sum(1), bonds @ solution.charges,
                of_atom.T @ (energies * solution.overlap).sum(1) / electrons, (1 / apart) @ solution.charges,
                bonds @ strength, bonds @ lone, both.diagonal(),
            ], 1),
            by_species, bonds @ by_species,
        ], 1)  # fmt: skip
        single = torch.bincount(owners, minlength=atoms)[owners] == 1
        own = torch.where((is_s > 0) | single, 1.0, 0.75) * torch.where(single, 1.0, electrons[owners] / 4)
        occupied = solution.vectors[:, :last] * filled[:last].sqrt()
        parts = (
            solution.vectors, occupied, weights, density * (owners[:, None] == owners), bonds, attributes, own,
            of_species[owners], of_atom,
        )  # fmt: skip
        return cls(solution, *(part.float() for part in parts))


def quantities(prepared: Prepared, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p q"]:
    """What is added up over a molecule and its images, at ``points`` in bohr; the density in 1/bohr³ first."""
    orbitals = prepared.orbitals
    apart = points[:, None] - orbitals.positions.float()[None]
    squared = apart.square().sum(-1)
    values, gradients, laplacians = _at(orbitals, apart, squared)
    molecular = values @ prepared.vectors
    levels = molecular.square() @ prepared.weights
    density = levels[:, :1]
    filled = values @ prepared.occupied
    slopes = [gradient @ prepared.occupied for gradient in gradients]
    gradient = 2 * torch.stack([(filled * slope).sum(1) for slope in slopes], 1)
    kinetic = torch.stack([slope.square().sum(1) for slope in slopes]).sum(0)
    projected = filled @ prepared.occupied.T  # the density matrix times the orbitals
    laplacian = 2 * (projected * laplacians).sum(1)  # of the density, less twice the kinetic energy density
    s = (orbitals.shown % 4 == 0).float()
    in_s, in_p = values * s, values * (1 - s)
    ours = values @ prepared.inside
    from_s = (in_s @ prepared.occupied) @ prepared.occupied.T
    split = [
        ours * values, (in_s @ prepared.inside) * in_s, (in_p @ prepared.inside) * in_p, from_s * in_s,
        (projected - from_s) * in_p, from_s * in_p,
    ]  # fmt: skip
    charges = orbitals.charges.float()
    soft = squared + 1
    potential = (charges / soft.sqrt()).sum(1)
    field = ((charges / soft**1.5)[..., None] * apart).sum(1)
    whose = (values.square() * prepared.own) @ prepared.owners
    share = whose / (whose.sum(1, keepdim=True) + 1e-12)
    about = [
        potential, (share @ prepared.bonds * share).sum(1), (share @ prepared.bonds.square() * share).sum(1),
        share.square().sum(1), field.norm(dim=1),
    ]  # fmt: skip
    rest = [(field * gradient).sum(1), kinetic, laplacian, whose.sum(1)]
    return torch.cat([
        levels, torch.stack([part.sum(1) for part in split], 1), density * torch.stack(about, 1),
        torch.stack(rest, 1), gradient, (projected * values) @ prepared.species, whose @ prepared.attributes,
    ], 1)  # fmt: skip


def ingredients(total: Float[Tensor, "p q"], species: int) -> Float[Tensor, "p i"]:
    """What a network sees, from ``quantities``; finite everywhere."""
    held = total[:, 0].clamp_min(0) + SMALL
    levels, split, about, rest, gradient, parts, attributes = torch.split(
        total, [6, 6, 5, 4, 3, species, 10 + 2 * species], 1
    )
    slope = gradient.norm(dim=1)
    bosons = slope**2 / held / 4 / (rest[:, 1] + 1e-7)  # 1 where a single orbital is filled
    one_each = torch.cat([split, about, rest[:, :1], parts, levels[:, 1:3]], 1) / held[:, None]
    logs = torch.log(torch.stack([
        held, (levels[:, 3].clamp_min(0) + SMALL) / held, (levels[:, 4].clamp_min(0) + SMALL) / held,
        (levels[:, 5].clamp_min(0) + SMALL) / held, slope / held + 0.05, rest[:, 1] / held + 0.05,
    ], 1))  # fmt: skip
    curved = torch.stack([bosons, torch.asinh(rest[:, 2] / held / 2)], 1)
    return torch.cat([one_each, logs, curved, attributes / (rest[:, 3:] + 1e-9)], 1)


def _at(
    orbitals: Orbitals, apart: Float[Tensor, "p a 3"], squared: Float[Tensor, "p a"]
) -> tuple[Float[Tensor, "p o"], list[Float[Tensor, "p o"]], Float[Tensor, "p o"]]:
    """Values, gradients and Laplacians of the atoms' orbitals."""
    exponents, coefficients = orbitals.exponents.float(), orbitals.coefficients.float()
    s = torch.exp(-exponents[:, 0] * squared[..., None]) * coefficients[:, 0]
    p = torch.exp(-exponents[:, 1] * squared[..., None]) * coefficients[:, 1]
    radial_s, radial_p = s.sum(-1), p.sum(-1)
    slope_s, slope_p = -2 * (s * exponents[:, 0]).sum(-1), -2 * (p * exponents[:, 1]).sum(-1)
    curve_s = (s * (4 * exponents[:, 0] ** 2 * squared[..., None] - 6 * exponents[:, 0])).sum(-1)
    curve_p = (p * (4 * exponents[:, 1] ** 2 * squared[..., None] - 10 * exponents[:, 1])).sum(-1)

    def joined(of_s: Tensor, of_p: Tensor) -> Tensor:
        return torch.cat([of_s[..., None], of_p], -1).flatten(1).index_select(1, orbitals.shown)

    gradients = []
    for axis in range(3):
        along = apart[..., axis, None]
        of_p = slope_p[..., None] * apart * along
        of_p[..., axis] += radial_p
        gradients.append(joined(slope_s * apart[..., axis], of_p))
    values = joined(radial_s, radial_p[..., None] * apart)
    return values, gradients, joined(curve_s, curve_p[..., None] * apart)
