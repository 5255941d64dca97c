"""Superposed atomic densities: the density of the atoms before they bond, as channels and as the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Features, Featurizer
from edframe_gaussian.atoms import Atoms
from edframe_gaussian.gaussian import add_gaussians
from edframe_gaussian.plugin import SADConfig
from edframe_gaussian.radial import add_superposition
from edframe_gaussian.tables import RadialSpline, load_atomic_densities


class SADFeaturizer(Featurizer):
    """Σ ρ_atom(|x − R|) over atoms and all periodic images: one channel per element, and their sum as baseline.

    ρ_atom is the spherical valence density of the free, neutral atom in PBE with GTH pseudopotentials, in e/Å^d; on
    grids of d < 3 it is integrated over the axes left out. Each atom is scaled so that its values on the grid sum to
    its valence electrons; the baseline is then scaled as a whole for what open ends of the cell cut off, so that it
    integrates to the electrons of the neutral atoms. Its magnetisation is zero. ``widths`` adds Gaussian channels
    as those of ``gaussian``, per element.

    Raises DataError for a species that has no table. Source of the densities: ``edframe_gaussian.atomic_tables``.
    """

    def __init__(self, config: SADConfig, contents: Contents) -> None:
        self.config = config
        self.contents = contents
        self._atomic = load_atomic_densities(contents.species)
        self._radial = [RadialSpline(a.projected(contents.dimension), a.spacing) for a in self._atomic]
        self._numbers = [Element(symbol).Z for symbol in contents.species]

    @property
    def channels(self) -> list[str]:
        """A name for each channel: first the densities, then the Gaussians."""
        species = self.contents.species
        gaussians = [f"{symbol} gaussian {width} Å" for symbol in species for width in self.config.widths]
        return [f"{symbol} density" for symbol in species] + gaussians

    @property
    def has_baseline(self) -> bool:
        """True: the superposition itself."""
        return True

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels ``[b, c, n1, …, nd]`` and baseline ``[b, s, n1, …, nd]`` in e/Å^d.

        Raises DataError for an unknown species, a lattice that is not the grid's, a grid of another dimension than
        the dataset's, or a grid so coarse, or so placed, that it does not see a structure at all.
        """
        if grid.dimension != self.contents.dimension:
            raise DataError(
                f"the featurizer 'sad' was made for grids of dimension {self.contents.dimension}, "
                f"not {grid.dimension}: its densities are integrated over the axes left out"
            )
        atoms = Atoms.of(structures, grid, self.contents.species)
        batch, kinds, count, widths = len(structures), len(self._atomic), len(self.channels), self.config.widths
        fields = torch.zeros(batch * count, *grid.shape, device=device)
        for index, (atomic, radial) in enumerate(zip(self._atomic, self._radial, strict=True)):
            mine = atoms.species == index
            slots = atoms.sample[mine] * count + index
            add_superposition(fields, radial, atomic.cutoff, atoms.fractions[mine], slots, grid, atomic.charge)
        for k, width in enumerate(widths):
            slots = atoms.sample * count + kinds + atoms.species * len(widths) + k
            add_gaussians(fields, width, atoms, slots, self._numbers, grid)
        channels = fields.view(batch, count, *grid.shape)
        return Features(channels, self._baseline(channels[:, :kinds], structures, grid))

    def _baseline(self, densities: Tensor, structures: Sequence[Structure], grid: Grid) -> Tensor:
        charges = {atomic.symbol: atomic.charge for atomic in self._atomic}
        electrons = [sum(charges[e.symbol] for e in s.species) for s in structures]
        total = densities.sum(1)
        found = total.flatten(1).sum(1, dtype=torch.float64) * grid.voxel_volume
        for structure, wanted, value in zip(structures, electrons, found.tolist(), strict=True):
            if not value > 1e-3 * wanted:
                voxel = " × ".join(f"{side:.2f}" for side in grid.spacing)
                raise DataError(
                    f"{structure.composition.formula}: the grid holds {value:.3g} of {wanted:g} e. Its atoms lie "
                    f"beyond open ends of the cell, or its voxels ({voxel} Å) are wider than the atoms"
                )
        scale = torch.as_tensor(electrons, dtype=torch.float64, device=found.device) / found
        total = total * scale.to(total.dtype).view(-1, *[1] * grid.dimension)
        baseline = torch.zeros(len(structures), self.contents.spins, *grid.shape, device=total.device)
        baseline[:, 0] = total
        return baseline
