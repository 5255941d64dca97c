"""Superposed atomic densities: the density of the atoms before they bond, as channels and as the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid, Region
from edframe.interfaces import Contents, Features, Featurizer
from edframe_gaussian.plugin import SADConfig
from edframe_gaussian.superposed import Superposed, channel_names
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
        atomic = load_atomic_densities(contents.species)
        self._charges = [each.charge for each in atomic]
        self._radial = [RadialSpline(each.projected(contents.dimension), each.spacing) for each in atomic]

    @property
    def channels(self) -> list[str]:
        """A name for each channel: first the densities, then the Gaussians."""
        return channel_names(self.contents.species, self.config.widths)

    @property
    def electrons(self) -> Mapping[str, float]:
        """The valence electrons of the tables."""
        return dict(zip(self.contents.species, self._charges, strict=True))

    @property
    def has_baseline(self) -> bool:
        """True: the superposition itself."""
        return True

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels ``[b, c, n1, …, nd]`` and baseline ``[b, s, n1, …, nd]`` in e/Å^d.

        Raises DataError for an unknown species, a lattice that is not the grid's, a grid of another dimension than
        the dataset's, or a grid so coarse, or so placed, that it does not see a structure at all.
        """
        return self._superposed(structures, grid, device).features()

    def tiled(self, structure: Structure, grid: Grid, device: torch.device | str) -> Callable[[Region], Features]:
        """The same for parts of the grid, see ``TiledFeaturizer``."""
        return self._superposed([structure], grid, device).tiled()

    def _superposed(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Superposed:
        if grid.dimension != self.contents.dimension:
            raise DataError(
                f"the featurizer 'sad' was made for grids of dimension {self.contents.dimension}, "
                f"not {grid.dimension}: its densities are integrated over the axes left out"
            )
        electrons = [sum(self.electrons.get(e.symbol, 0.0) for e in s.species) for s in structures]
        return Superposed.of(
            self._radial, self._charges, structures, grid, self.contents.species, self.config.widths, electrons,
            self.contents.spins, device,
        )  # fmt: skip
