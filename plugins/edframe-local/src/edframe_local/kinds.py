"""Kinds of atoms that are fewer than the elements, so that many elements need no more terms than three."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

CARBON = 2.55
"""Pauling's electronegativity of carbon."""


def kinds_of(species: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Of each species its weights in three kinds: hydrogen; all others; these by their electronegativity, Pauling's,
    less that of carbon. An element without one, such as He, counts as carbon."""
    from pymatgen.core.periodic_table import Element

    weights = []
    for symbol in species:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no electronegativity
            value = float(Element(symbol).X)
        shift = 0.0 if value != value else value - CARBON
        weights.append((1.0, 0.0, 0.0) if symbol == "H" else (0.0, 1.0, shift))
    return tuple(weights)
