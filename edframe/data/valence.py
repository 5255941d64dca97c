"""How many electrons atoms bring, by the training samples, for structures whose density is not known.

Narrower than ``edframe.io.valence``, which lists what a density may hold at all: here one number is chosen, so only the
usual pseudopotentials count.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.sample import Sample

TOLERANCE, RELATIVE = 0.02, 5e-4
"""Electrons, and fraction of them, by which a sample may differ from the sum over its atoms: grids blur integrals."""
SAMPLES = 1000
"""Samples that are asked at most."""
CORES: tuple[tuple[range, tuple[int, ...]], ...] = (
    (range(1, 3), (0,)),
    (range(3, 5), (2, 0)),
    (range(5, 11), (2,)),
    (range(11, 13), (10, 4, 2)),
    (range(13, 19), (10,)),
    (range(19, 31), (18, 12, 10)),
    (range(31, 33), (28, 18)),
    (range(33, 37), (28,)),
    (range(37, 49), (36, 30, 28)),
    (range(49, 51), (46, 36)),
    (range(51, 55), (46,)),
    (range(55, 72), (54, 48, 46)),
    (range(72, 81), (68, 62, 60)),
    (range(81, 84), (78, 68)),
    (range(84, 87), (78,)),
    (range(87, 104), (86, 80, 78)),
)
"""Atomic numbers, and the electrons that pseudopotentials of these elements leave out: closed shells, without the outer
p or s and p shells of metals (_pv and _sv of VASP), or the outer d shell behind them (_d)."""
CHARGE = 0.6
"""Electrons per atom that no charge of a cell amounts to."""
MOST = 200_000
"""Combinations of cores that are tried at most."""


@dataclass(frozen=True)
class Valence:
    """Electrons ``[species]`` that a neutral atom of each species brings.

    settled: the numbers hold for each species by itself. Otherwise the data determine sums only (LiF: 8 electrons,
    perhaps 1 + 7 or 3 + 5), and ``span`` ``[row, species]`` are the compositions whose combinations can be counted.
    """

    species: tuple[str, ...]
    electrons: tuple[float, ...]
    settled: bool
    span: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, samples: Sequence[Sample], species: Sequence[str]) -> Valence:
        """By ``source["valence"]`` (species → electrons) where all of the samples have it, else from their electrons.

        At most ``SAMPLES`` of them are used, drawn evenly. Integers that differ from the atomic number by a core of
        closed shells are preferred, where exactly one choice of them agrees with more than half of the samples: some
        may be charged. Else the numbers are solved for, as far as the compositions determine them; charged samples
        without a majority of neutral ones determine nothing.
        """
        counts: dict[tuple[int, ...], list[float]] = defaultdict(list)
        stated: dict[str, set[float]] = defaultdict(set)
        silent = False
        places = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), SAMPLES)).astype(int)).tolist()
        for sample in (samples[place] for place in places):
            row = [0] * len(species)
            for site in sample.structure:
                row[species.index(site.specie.symbol)] += 1
            counts[tuple(row)].append(sample.electrons)
            said = sample.source.get("valence")
            silent |= said is None
            for symbol, electrons in (said or {}).items():
                stated[symbol].add(float(electrons))
        if not silent and all(len(stated[symbol]) == 1 for symbol in species):
            return cls(tuple(species), tuple(next(iter(stated[symbol])) for symbol in species), settled=True)
        from scipy.linalg import qr

        rows = np.array(list(counts), dtype=float)
        electrons_of = _by_cores(rows, list(counts.values()), species)
        if electrons_of is not None:
            return cls(tuple(species), tuple(electrons_of.tolist()), settled=True)
        values = np.array([np.median(electrons) for electrons in counts.values()])
        solved, _, rank, _ = np.linalg.lstsq(rows, values, rcond=1e-9)
        whole = np.rint(solved)
        if (np.abs(rows @ whole - values) <= _near(values)).all():
            solved = whole
        agreeing = sum(
            int((np.abs(np.array(electrons) - count) <= _near(np.array(electrons))).sum())
            for electrons, count in zip(counts.values(), rows @ solved, strict=True)
        )
        if 2 * agreeing <= len(places):  # charged or cut: no sum over atoms
            return cls(tuple(species), tuple(solved.tolist()), settled=False)
        span = rows[qr(rows.T, mode="r", pivoting=True)[1][:rank]]
        return cls(tuple(species), tuple(solved.tolist()), bool(rank == len(species)), tuple(map(tuple, span.tolist())))

    @classmethod
    def load(cls, facts: Mapping[str, Any]) -> Valence:
        """What ``vars`` of one gave, from JSON."""
        return cls(
            tuple(facts["species"]), tuple(facts["electrons"]), facts["settled"], tuple(map(tuple, facts["span"]))
        )

    def count(self, structure: Structure) -> float:
        """The electrons of a neutral structure.

        Raises DataError for other species, and where the training samples do not determine it.
        """
        formula = structure.composition.formula
        row = np.zeros(len(self.species))
        for site in structure:
            if site.specie.symbol not in self.species:
                raise DataError(
                    f"{formula}: the training data hold {', '.join(self.species)}, and say nothing about the electrons "
                    f"of {site.specie.symbol}"
                )
            row[self.species.index(site.specie.symbol)] += 1
        if not self.settled:
            span = np.array(self.span).reshape(-1, len(self.species))
            if not self.span or np.abs(np.linalg.lstsq(span.T, row)[0] @ span - row).max() > 1e-6 * row.max():
                raise DataError(
                    f"{formula}: the training data do not determine how many electrons {' and '.join(self.species)} "
                    "each bring, only those of structures with the proportions of the samples; give --electrons"
                )
        return float(row @ np.array(self.electrons))

    def contradiction(self, electrons: Mapping[str, float]) -> str | None:
        """How these electrons per species are not those of the data, in words; None where they may well be."""
        theirs = np.array([electrons[symbol] for symbol in self.species])
        apart = np.abs(theirs - np.array(self.electrons))
        if self.settled and apart.max() > TOLERANCE:
            worst = int(apart.argmax())
            return (
                f"{theirs[worst]:g} valence electrons of {self.species[worst]}, the data have {self.electrons[worst]:g}"
            )
        for row in np.array(self.span).reshape(-1, len(self.species)):
            ours = float(row @ np.array(self.electrons))
            if not self.settled and abs(row @ theirs - ours) > CHARGE * row.sum():
                formula = "".join(f"{s}{n:g}" for s, n in zip(self.species, row, strict=True) if n)
                return f"{row @ theirs:g} valence electrons of {formula}, the data have {ours:g}"
        return None


def cores(number: int) -> tuple[int, ...]:
    """Electrons that pseudopotentials of the element with atomic number ``number`` leave out."""
    return next((sizes for numbers, sizes in CORES if number in numbers), ())


def _near(electrons: NDArray[np.float64]) -> NDArray[np.float64]:
    near: NDArray[np.float64] = TOLERANCE + RELATIVE * electrons
    return near


def _by_cores(
    rows: NDArray[np.float64], counts: Sequence[Sequence[float]], species: Sequence[str]
) -> NDArray[np.float64] | None:
    """The one choice of closed-shell cores that agrees with most samples, and more than half; None: none or several."""
    from pymatgen.core.periodic_table import Element

    choices = [[Element(symbol).Z - core for core in cores(Element(symbol).Z)] for symbol in species]
    if np.prod([float(len(choice)) for choice in choices]) > MOST:
        return None
    everything = tuple(Element(symbol).Z for symbol in species)
    candidates = np.array(sorted({*itertools.product(*choices), everything}), dtype=float)
    sums = candidates @ rows.T
    agreeing = np.zeros(len(candidates))
    for column, electrons in enumerate(counts):
        values = np.array(electrons)
        agreeing += (np.abs(sums[:, column, None] - values) <= _near(values)).sum(1)
    most = agreeing.max()
    if 2 * most <= sum(map(len, counts)) or (agreeing == most).sum() > 1:
        return None
    chosen: NDArray[np.float64] = candidates[agreeing.argmax()]
    return chosen
