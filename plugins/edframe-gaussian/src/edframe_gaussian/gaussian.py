"""Gaussians on the atoms: the input of the 2018 study, per atom or per chemical element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Features, Featurizer
from edframe_gaussian.atoms import Atoms
from edframe_gaussian.plugin import GaussianConfig
from edframe_gaussian.radial import add_superposition

if TYPE_CHECKING:
    from jaxtyping import Float

CUTOFF = 6.0
"""Where a Gaussian ends, in widths: exp(−6²/2) = 1.5e-8 of its height, below the resolution of float32 (6e-8)."""


def add_gaussians(
    out: Float[Tensor, "slot *grid"],
    width: float,
    atoms: Atoms,
    slots: NDArray[np.int64],
    numbers: Sequence[int],
    grid: Grid,
) -> None:
    """Add Z exp(−r²/2σ²) around every atom and its periodic images to ``out[slot]``, in place.

    out: ``[slot, n1, …, nd]``. width: σ in Å. slots: ``[atom]``. numbers: Z of each species. Dimensionless.
    """
    for index, number in enumerate(numbers):
        mine = atoms.species == index
        radial = partial(_gaussian, height=float(number), exponent=0.5 / width**2)
        add_superposition(out, radial, CUTOFF * width, atoms.fractions[mine], slots[mine], grid)


def _gaussian(squared: Tensor, height: float, exponent: float) -> Tensor:
    return (squared * -exponent).exp_().mul_(height)


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
        atoms = Atoms.of(structures, grid, self.contents.species)
        widths = self.config.widths
        owner = atoms.order if self.ordered else atoms.species
        if self.ordered:
            self._check_sizes(structures)
        count = len(self.channels)
        fields = torch.zeros(len(structures) * count, *grid.shape, device=device)
        for k, width in enumerate(widths):
            slots = atoms.sample * count + owner * len(widths) + k
            add_gaussians(fields, width, atoms, slots, self._numbers, grid)
        return Features(fields.view(len(structures), count, *grid.shape), None)

    def _check_sizes(self, structures: Sequence[Structure]) -> None:
        most = self.contents.max_atoms
        for structure in structures:
            if len(structure) > most:
                raise DataError(
                    f"{structure.composition.formula}: {len(structure)} atoms, but channels per atom were made for "
                    f"at most {most}. Use channels=per_species, which holds for any number of atoms."
                )
