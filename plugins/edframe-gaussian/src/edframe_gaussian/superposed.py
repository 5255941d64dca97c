"""What featurizers of superposed atoms share: a density and Gaussians per species on a grid, and a baseline's scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid, Region, slabs
from edframe.interfaces import Features
from edframe_gaussian.atoms import Atoms
from edframe_gaussian.gaussian import gaussians
from edframe_gaussian.summation import Fields, Summation
from edframe_gaussian.tables import RadialSpline

if TYPE_CHECKING:
    from jaxtyping import Float


SLAB = 2**22
"""Points of the grid whose sum is taken at once."""


def channel_names(species: Sequence[str], widths: Sequence[float]) -> list[str]:
    """A name for each channel of ``Superposed``: first the densities, then the Gaussians."""
    return [f"{symbol} density" for symbol in species] + [
        f"{symbol} gaussian {width} Å" for symbol in species for width in widths
    ]


@dataclass(frozen=True)
class Superposed:
    """Densities, then Gaussians Z exp(−r²/2σ²), per species; the density's part alone holds the electrons.

    electrons: of each structure, to which the sum of its densities is scaled for the baseline.
    """

    densities: Fields
    gaussians: Fields | None
    structures: tuple[Structure, ...]
    electrons: tuple[float, ...]
    grid: Grid
    spins: int

    @classmethod
    def of(
        cls,
        radial: Sequence[RadialSpline],
        charges: Sequence[float] | None,
        structures: Sequence[Structure],
        grid: Grid,
        species: Sequence[str],
        widths: Sequence[float],
        electrons: Sequence[float],
        spins: int,
        device: torch.device | str,
    ) -> Superposed:
        """charges: to which each atom is scaled, see ``add_superposition``; None: atoms are what ``radial`` says.

        Raises DataError for an unknown species and for a lattice that is not the grid's.
        """
        atoms = Atoms.of(structures, grid, species)
        kinds, sums = len(species), []
        for index, function in enumerate(radial):
            mine = atoms.species == index
            slots = atoms.sample[mine] * kinds + index
            charge = None if charges is None else charges[index]
            sums.append(Summation(function, atoms.fractions[mine], slots, grid, device, integral=charge))
        densities = Fields(tuple(sums), len(structures), kinds)
        numbers, count = [Element(symbol).Z for symbol in species], kinds * len(widths)
        beside = [
            gaussians(width, atoms, atoms.sample * count + atoms.species * len(widths) + k, numbers, grid, device)
            for k, width in enumerate(widths)
        ]
        others = Fields(tuple(beside), len(structures), count) if beside else None
        return cls(densities, others, tuple(structures), tuple(electrons), grid, spins)

    def features(self) -> Features:
        """Channels ``[b, c, n1, …, nd]`` and baseline ``[b, s, n1, …, nd]`` on the grid.

        The baseline is scaled to the electrons and has no magnetisation. Raises DataError for a grid so coarse, or so
        placed, that it does not see a structure.
        """
        densities = self.densities.on()
        total = densities.sum(1)
        return self._features(densities, total, self._scales(_integrals(total, self.grid)))

    def tiled(self) -> Callable[[Region], Features]:
        """The same for parts of the grid, see ``TiledFeaturizer``."""
        held = torch.stack([
            _integrals(self.densities.on(slab).sum(1), self.grid) for slab in slabs(self.grid, SLAB)
        ]).sum(0)  # fmt: skip
        scales = self._scales(held)

        def on(region: Region) -> Features:
            densities = self.densities.on(region)
            return self._features(densities, densities.sum(1), scales, region)

        return on

    def _scales(self, held: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        for structure, wanted, value in zip(self.structures, self.electrons, held.tolist(), strict=True):
            if not value > 1e-3 * wanted:
                voxel = " × ".join(f"{side:.2f}" for side in self.grid.spacing)
                raise DataError(
                    f"{structure.composition.formula}: the grid holds {value:.3g} of {wanted:g} e. Its atoms lie "
                    f"beyond open ends of the cell, or its voxels ({voxel} Å) are wider than the atoms"
                )
        return torch.as_tensor(self.electrons, dtype=torch.float64, device=held.device) / held

    def _features(self, densities: Tensor, total: Tensor, scales: Tensor, region: Region | None = None) -> Features:
        baseline = total.new_zeros(len(total), self.spins, *total.shape[1:])
        baseline[:, 0] = total * scales.to(total.dtype).view(-1, *[1] * self.grid.dimension)
        if self.gaussians is None:
            return Features(densities, baseline)
        return Features(torch.cat([densities, self.gaussians.on(region)], 1), baseline)


def _integrals(total: Float[Tensor, "b *grid"], grid: Grid) -> Float[Tensor, "b"]:
    return total.flatten(1).sum(1, dtype=torch.float64) * grid.voxel_volume
