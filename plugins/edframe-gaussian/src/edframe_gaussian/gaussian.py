"""Gaussians on the atoms: the input of the 2018 study, per atom or per chemical element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid, Region
from edframe.interfaces import Contents, Features, Featurizer
from edframe_gaussian.atoms import Atoms
from edframe_gaussian.plugin import GaussianConfig
from edframe_gaussian.summation import Fields, Summation

if TYPE_CHECKING:
    from jaxtyping import Float

CUTOFF = 6.0
"""Where a Gaussian ends, in widths: exp(−6²/2) = 1.5e-8 of its height, below the resolution of float32 (6e-8)."""


@dataclass(frozen=True)
class Gaussian:
    """exp(−r²/2σ²) with σ = ``width`` Å, dimensionless."""

    width: float

    @property
    def cutoff(self) -> float:
        """Å, where it ends."""
        return CUTOFF * self.width

    def __call__(self, squared: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """Values at squared distances (Å²), which are overwritten."""
        return squared.mul_(-0.5 / self.width**2).exp_()


def gaussians(
    width: float,
    atoms: Atoms,
    slots: NDArray[np.int64],
    numbers: Sequence[int],
    grid: Grid,
    device: torch.device | str,
) -> Summation:
    """Σ Z exp(−r²/2σ²) over the atoms and their periodic images, each in the field ``slots[atom]``.

    width: σ in Å. numbers: Z of each species. Dimensionless.
    """
    weights = np.array(numbers, dtype=np.float64)[atoms.species]
    return Summation(Gaussian(width), atoms.fractions, slots, grid, device, weights=weights)


class GaussianFeaturizer(Featurizer):
    """Channels Σ Z exp(−|x − R|²/2σ²) over atoms and all periodic images; no baseline.

    Z is the core charge (atomic number), R the position of an atom, σ each of ``widths`` in Å; the channels have
    no unit. ``per_species``: one channel per element of the dataset and width, summed over its atoms; the order of
    the atoms does not matter. ``per_atom``: one channel per place in the structure and width, as in the study of
    2018; a smaller structure leaves the last channels empty.

    Source: the ACRES study of 2018 on Li-O-Li; a Gaussian potential as a model's input is that of Brockherde et
    al., Nat. Commun. 8, 872 (2017).
    """

    def __init__(self, config: GaussianConfig, contents: Contents) -> None:
        self.config = config
        self.contents = contents
        self._numbers = [Element(symbol).Z for symbol in contents.species]

    @property
    def channels(self) -> list[str]:
        """A name for each channel: the element or the place in the structure, and the width."""
        places = [f"atom {i + 1}" for i in range(self.contents.max_atoms)]
        owners = places if self.ordered else self.contents.species
        return [f"{owner} gaussian {width} Å" for owner in owners for width in self.config.widths]

    @property
    def ordered(self) -> bool:
        """Whether the order of the atoms matters: with a channel per atom."""
        return self.config.channels == "per_atom"

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels ``[b, c, n1, …, nd]`` of structures that share ``grid``.

        Raises DataError for an unknown species, for a lattice that is not the grid's, and, per atom, for more
        atoms than the dataset's largest structure has.
        """
        return Features(self._parts(structures, grid, device).on(), None)

    def tiled(self, structure: Structure, grid: Grid, device: torch.device | str) -> Callable[[Region], Features]:
        """The same for parts of the grid, see ``TiledFeaturizer``."""
        parts = self._parts([structure], grid, device)
        return lambda region: Features(parts.on(region), None)

    def _parts(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Fields:
        atoms = Atoms.of(structures, grid, self.contents.species)
        widths = self.config.widths
        owner = atoms.order if self.ordered else atoms.species
        if self.ordered:
            self._check_sizes(structures)
        count = len(self.channels)
        sums = []
        for k, width in enumerate(widths):
            slots = atoms.sample * count + owner * len(widths) + k
            sums.append(gaussians(width, atoms, slots, self._numbers, grid, device))
        return Fields(tuple(sums), len(structures), count)

    def _check_sizes(self, structures: Sequence[Structure]) -> None:
        most = self.contents.max_atoms
        for structure in structures:
            if len(structure) > most:
                raise DataError(
                    f"{structure.composition.formula}: {len(structure)} atoms, but channels per atom were made for "
                    f"at most {most}. Use channels=per_species, which holds for any number of atoms."
                )
