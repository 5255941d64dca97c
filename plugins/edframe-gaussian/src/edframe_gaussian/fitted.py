"""Superposed atoms that are fitted to the training densities: for any element, any code, any pseudopotential."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.data.valence import Valence
from edframe.errors import DataError
from edframe.grid import Grid, Region
from edframe.interfaces import Contents, Features, FittedFeaturizer
from edframe.sample import Sample
from edframe_gaussian.atoms import Atoms
from edframe_gaussian.gaussian import CUTOFF as WIDTHS
from edframe_gaussian.pairs import pairs
from edframe_gaussian.plugin import AtomsConfig
from edframe_gaussian.superposed import Superposed, channel_names
from edframe_gaussian.superposition import CUTOFF, fit_atoms
from edframe_gaussian.tables import RadialSpline

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

SPACING = 0.01
"""Å between the radii at which the fitted densities are tabulated."""


class AtomsFeaturizer(FittedFeaturizer):
    """Σ ρ_s(|x − R|) over atoms and all periodic images: one channel per element, and their sum as baseline.

    The functions ρ_s, in e/Å^d, are those whose superposition is nearest to the training densities, see ``fit_atoms``:
    ions where the data have ions. The baseline is scaled as a whole to the electrons that the neutral atoms of a
    structure have in the training data, where these determine it. Its magnetisation is zero, because neither its sign
    nor its size is a property of an element. ``widths`` adds Gaussian channels as those of ``gaussian``, per element.
    """

    def __init__(self, config: AtomsConfig, contents: Contents) -> None:
        self.config = config
        self.contents = contents
        self._radial: list[RadialSpline] = []
        self._state: dict[str, Tensor] = {}

    @property
    def channels(self) -> list[str]:
        """A name for each channel: first the densities, then the Gaussians."""
        return channel_names(self.contents.species, self.config.widths)

    @property
    def has_baseline(self) -> bool:
        """True: the superposition itself."""
        return True

    def fit(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """The atoms nearest to the densities of ``samples``; their integrals, and the NMAE of their superposition.

        Raises DataError where a species of the dataset is in no sample.
        """
        species = self.contents.species
        atoms = fit_atoms(samples, species)
        radii = (np.arange(round(CUTOFF / SPACING) + 1) * SPACING).astype(np.float64)
        valence = Valence.of(samples, species)
        self.restore({
            "densities": torch.from_numpy(atoms.profile(radii)),
            "charges": torch.from_numpy(atoms.charges),
            "electrons": torch.tensor(valence.electrons, dtype=torch.float64),
            "settled": torch.tensor(valence.settled),
            "span": torch.tensor(valence.span, dtype=torch.float64).reshape(-1, len(species)),
        })  # fmt: skip
        integrals = {f"electrons in {s}": float(q) for s, q in zip(species, atoms.charges, strict=True)}
        return {"NMAE of the superposition / %": atoms.error, **integrals}

    def state(self) -> Mapping[str, Shaped[Tensor, "..."]]:
        """Densities ``[species, radius]`` every 0.01 Å and their integrals, and what is known of the electrons."""
        return self._state

    def restore(self, state: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        """Be as fitted. Raises DataError when ``state`` is of other species."""
        species = self.contents.species
        if len(state["densities"]) != len(species):
            raise DataError(f"it holds {len(state['densities'])} atoms, the data have {len(species)} species")
        self._state = dict(state)
        self._radial = [RadialSpline(values.numpy(), SPACING) for values in state["densities"].cpu().double()]
        electrons, span = tuple(state["electrons"].tolist()), tuple(map(tuple, state["span"].tolist()))
        self.valence = Valence(species, electrons, bool(state["settled"]), span)

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels ``[b, c, n1, …, nd]`` and baseline ``[b, s, n1, …, nd]`` in e/Å^d.

        Raises DataError for an unknown species, a lattice that is not the grid's, a grid of another dimension than
        the dataset's, or one that does not see a structure at all.
        """
        return self._superposed(structures, grid, device).features()

    def tiled(self, structure: Structure, grid: Grid, device: torch.device | str) -> Callable[[Region], Features]:
        """The same for parts of the grid, see ``TiledFeaturizer``."""
        return self._superposed([structure], grid, device).tiled()

    def _superposed(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Superposed:
        self._check(grid)
        electrons = [self._electrons(structure) for structure in structures]
        return Superposed.of(
            self._radial, None, structures, grid, self.contents.species, self.config.widths, electrons,
            self.contents.spins, device,
        )  # fmt: skip

    def at(
        self, structure: Structure, grid: Grid, points: Float[Tensor, "p d"], device: torch.device | str
    ) -> Features:
        """The same at single points, see ``PointFeaturizer``; the baseline is scaled by the integrals of the atoms."""
        self._check(grid)
        species, widths = self.contents.species, self.config.widths
        atoms = Atoms.of([structure], grid, species)
        reach = max([CUTOFF, *(WIDTHS * width for width in widths)])
        point, atom, distance = pairs(points.cpu().double().numpy(), atoms.fractions, grid, reach)
        kinds = atoms.species[atom]
        channels = torch.zeros(len(self.channels), len(points), device=device)
        for index, symbol in enumerate(species):
            mine = kinds == index
            places = torch.from_numpy(point[mine]).long().to(device)
            squared = torch.from_numpy(distance[mine] ** 2).float().to(device)
            channels[index].index_add_(0, places, self._radial[index](squared))
            for k, width in enumerate(widths):
                values = Element(symbol).Z * torch.exp(-squared / (2 * width**2))
                slot = len(species) + index * len(widths) + k
                channels[slot].index_add_(0, places, values * (squared <= (WIDTHS * width) ** 2))
        wanted, held = self._electrons(structure), self._integral(structure)
        baseline = torch.zeros(1, self.contents.spins, len(points), device=device)
        baseline[0, 0] = channels[: len(species)].sum(0) * (wanted / held)
        return Features(channels[None], baseline)

    def _check(self, grid: Grid) -> None:
        if not self._radial:
            raise DataError("the featurizer 'atoms' is not fitted yet; `edframe run` fits it to the training samples")
        if grid.dimension != self.contents.dimension:
            fitted = self.contents.dimension
            raise DataError(f"the featurizer 'atoms' was fitted in {fitted} dimensions, the grid has {grid.dimension}")

    def _electrons(self, structure: Structure) -> float:
        """Of the neutral atoms; where the data do not determine these, those of the fitted atoms."""
        try:
            return self.valence.count(structure)
        except DataError:
            return self._integral(structure)

    def _integral(self, structure: Structure) -> float:
        charges = dict(zip(self.contents.species, self._state["charges"].tolist(), strict=True))
        return float(sum(charges.get(element.symbol, 0.0) for element in structure.species))
