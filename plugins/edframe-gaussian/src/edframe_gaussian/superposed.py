"""What featurizers of superposed atoms share: a density and Gaussians per species on a grid, and a baseline's scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe_gaussian.atoms import Atoms
from edframe_gaussian.gaussian import add_gaussians
from edframe_gaussian.radial import add_superposition
from edframe_gaussian.tables import RadialSpline

if TYPE_CHECKING:
    from jaxtyping import Float


def channel_names(species: Sequence[str], widths: Sequence[float]) -> list[str]:
    """A name for each channel of ``superpose``: first the densities, then the Gaussians."""
    return [f"{symbol} density" for symbol in species] + [
        f"{symbol} gaussian {width} Å" for symbol in species for width in widths
    ]


def superpose(
    radial: Sequence[RadialSpline],
    charges: Sequence[float] | None,
    structures: Sequence[Structure],
    grid: Grid,
    species: Sequence[str],
    widths: Sequence[float],
    device: torch.device | str,
) -> Float[Tensor, "b c *grid"]:
    """Channels ``[b, c, n1, …, nd]``: Σ radial over the atoms of each species, then Gaussians Z exp(−r²/2σ²).

    charges: to which each atom is scaled, see ``add_superposition``; None: atoms are what ``radial`` says. Raises
    DataError for an unknown species and for a lattice that is not the grid's.
    """
    atoms = Atoms.of(structures, grid, species)
    count, kinds = len(species) * (1 + len(widths)), len(species)
    fields = torch.zeros(len(structures) * count, *grid.shape, device=device)
    for index, function in enumerate(radial):
        mine = atoms.species == index
        slots = atoms.sample[mine] * count + index
        charge = None if charges is None else charges[index]
        add_superposition(fields, function, function.cutoff, atoms.fractions[mine], slots, grid, charge)
    for k, width in enumerate(widths):
        slots = atoms.sample * count + kinds + atoms.species * len(widths) + k
        add_gaussians(fields, width, atoms, slots, [Element(symbol).Z for symbol in species], grid)
    return fields.view(len(structures), count, *grid.shape)


def baseline_of(
    densities: Float[Tensor, "b species *grid"],
    electrons: Sequence[float],
    structures: Sequence[Structure],
    grid: Grid,
    spins: int,
) -> Float[Tensor, "b {spins} *grid"]:
    """The sum of ``densities`` ``[b, species, n1, …, nd]``, scaled to ``electrons``, as ``[b, s, n1, …, nd]``.

    Its magnetisation is zero. Raises DataError for a grid so coarse, or so placed, that it does not see a structure.
    """
    total = densities.sum(1)
    sums = total.flatten(1).sum(1, dtype=torch.float64) * grid.voxel_volume
    for structure, wanted, value in zip(structures, electrons, sums.tolist(), strict=True):
        if not value > 1e-3 * wanted:
            voxel = " × ".join(f"{side:.2f}" for side in grid.spacing)
            raise DataError(
                f"{structure.composition.formula}: the grid holds {value:.3g} of {wanted:g} e. Its atoms lie "
                f"beyond open ends of the cell, or its voxels ({voxel} Å) are wider than the atoms"
            )
    scale = torch.as_tensor(electrons, dtype=torch.float64, device=sums.device) / sums
    baseline = torch.zeros(len(structures), spins, *grid.shape, device=total.device)
    baseline[:, 0] = total * scale.to(total.dtype).view(-1, *[1] * grid.dimension)
    return baseline
