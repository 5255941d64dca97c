"""The valence electrons of each atom, where the number of electrons of a density determines them."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.io.valence import NEAR, held

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MOST = 100_000
"""Combinations of pseudopotentials that are tried at most."""


def of_atoms(structure: Structure, electrons: float) -> NDArray[np.float64]:
    """Valence electrons of the neutral atoms, ``[atom]``, that sum to ``electrons``.

    Each element has one pseudopotential, with one of the usual cores (``edframe.io.valence``). Raises DataError where
    no combination gives this sum, as for an ion, or more than one does.
    """
    counts = Counter(site.specie.Z for site in structure)
    choices = [held(number) for number in counts]
    if np.prod([len(choice) for choice in choices], dtype=float) > MOST:
        raise DataError(f"the valence electrons of {structure.formula} cannot be determined from their sum")
    fitting = [
        dict(zip(counts, chosen, strict=True))
        for chosen in itertools.product(*choices)
        if abs(sum(each * counts[number] for each, number in zip(chosen, counts, strict=True)) - electrons)
        <= min(NEAR * electrons, 0.05)
    ]
    if len(fitting) != 1:
        why = "no usual pseudopotentials" if not fitting else f"{len(fitting)} combinations of pseudopotentials"
        raise DataError(
            f"the valence electrons of each atom are not known: {why} of neutral {structure.formula} hold "
            f"{electrons:.4f} electrons; use electrons_of_atoms(), which does not need them"
        )
    return np.array([float(fitting[0][site.specie.Z]) for site in structure])
