"""What is in the samples of a dataset, in a few lines: grids, spacing, atoms, electrons by formula."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edframe.grid import Grid
from edframe.interfaces import Dataset

MOST = 8
"""Grids and formulas that are listed; all are counted."""


def facts_of(dataset: Dataset) -> Sequence[Mapping[str, Any]]:
    """Of each sample its structure (with species), grid and electrons as plain data, as ``Store.facts`` gives them;
    where a dataset does not have them at hand, from its samples one by one."""
    own: Sequence[Mapping[str, Any]] | None = getattr(dataset, "facts", None)
    if own is not None:
        return own
    samples = (dataset[index] for index in range(len(dataset)))
    return [
        {
            "structure": {"species": [str(site.specie) for site in sample.structure]},
            "grid": sample.grid.to_dict(),
            "electrons": sample.electrons,
        }
        for sample in samples
    ]


def overview(facts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Grids, the spacing of their points in Å, atoms per structure, and electrons by formula, in words."""
    grids = Counter("×".join(map(str, one["grid"]["shape"])) for one in facts)
    cells = {(str(one["grid"]["cell"]), str(one["grid"]["shape"])): one["grid"] for one in facts}
    spacing = np.array([width for grid in cells.values() for width in Grid.of(**grid).spacing])
    electrons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in facts:
        electrons[_formula(one["structure"]["species"])][f"{one['electrons']:g}"] += 1
    ordered = sorted(electrons.items(), key=lambda item: -item[1].total())
    return {
        "grids (samples)": _listed(f"{grid} ({count})" for grid, count in grids.most_common()),
        "spacing": f"{_range(spacing, '.3f')} Å",
        "atoms per structure": _range(np.array([len(one["structure"]["species"]) for one in facts]), "d"),
        "electrons by formula": _listed(f"{formula}: {' or '.join(counts)}" for formula, counts in ordered),
    }


def _formula(species: Sequence[str]) -> str:
    """Symbols in order of appearance by their count: Li2 O1, as pymatgen writes it."""
    from pymatgen.core.composition import Composition

    return Composition(Counter(species)).formula


def _range(values: np.ndarray[Any, Any], form: str) -> str:
    low, high = (f"{value:{form}}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _listed(texts: Iterable[str]) -> str:
    every = list(texts)
    more = f", and {len(every) - MOST} others" if len(every) > MOST else ""
    return ", ".join(every[:MOST]) + more
