"""Levels of theory, by name. All are PBE with GTH pseudopotentials at the Γ point; they differ in basis and mesh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edframe.errors import DataError
from edframe.io.units import BOHR

FUNCTIONAL = "pbe"
PSEUDOPOTENTIAL = "gth-pbe"

UP_TO_ARGON = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar"
UP_TO_RADON = (
    f"{UP_TO_ARGON} K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb "
    "Te I Xe Cs Ba Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn"
)


@dataclass(frozen=True)
class Level:
    """How a density is computed.

    basis: PySCF's name. spacing: of the mesh on which PBE and the Hartree potential are integrated, Å at most; its
    kinetic-energy cutoff is π² / 2 spacing² in atomic units. elements: symbols of those with basis and pseudopotential.
    conv_tol: change of the energy at which the SCF ends, hartree. precision: of PySCF's lattice sums.
    """

    name: str
    basis: str
    spacing: float
    elements: str
    conv_tol: float = 1e-9
    precision: float = 1e-8

    def mesh(self, sides: Sequence[float]) -> list[int]:
        """Points along the lattice vectors of lengths ``sides`` (Å), products of 2, 3 and 5 for the FFT."""
        from scipy.fft import next_fast_len

        return [int(next_fast_len(math.ceil(side / self.spacing - 1e-6), real=True)) for side in sides]

    def facts(self) -> dict[str, Any]:
        """What a label records of its level."""
        return {
            "level": self.name,
            "functional": FUNCTIONAL,
            "basis": self.basis,
            "pseudopotential": PSEUDOPOTENTIAL,
            "precision": self.precision,
        }

    def require(self, species: Sequence[str], places: Sequence[str]) -> None:
        """Raises DataError for the first of ``species`` that the level lacks, naming its place and levels with it."""
        for symbol, place in zip(species, places, strict=True):
            if symbol not in self.elements.split():
                having = [level.name for level in LEVELS.values() if symbol in level.elements.split()]
                advice = f"use {' or '.join(having)}" if having else f"no level has {symbol}: leave the structure out"
                raise DataError(
                    f"{place}: the level {self.name} has no basis or no pseudopotential for {symbol}; {advice}"
                )


PBE_DZVP = Level("pbe-dzvp", "gth-dzvp", 0.09, UP_TO_ARGON)
"""Its mesh leaves 0.004% NMAE (CO, HF) to 0.03% (NaH), against one of 0.056 Å."""

PBE_TZV2P_200 = Level("pbe-tzv2p-200", "gth-tzv2p", math.pi / math.sqrt(2 * 200) * BOHR, UP_TO_ARGON, conv_tol=1e-11)
"""The level of Li, Sharir, Yuan, Chan 2025: cutoff 200 hartree, a mesh of 0.083 Å."""

PBE_TZV2P_QUICK = Level("pbe-tzv2p-quick", "gth-tzv2p", 0.105, UP_TO_ARGON, conv_tol=1e-7, precision=1e-6)
"""The same, for labels by the hundred: a third of the time, and a density that differs by less than 0.02% NMAE."""

PBE_DZVP_MOLOPT = Level("pbe-dzvp-molopt", "gth-dzvp-molopt-sr", 0.09, UP_TO_RADON)
"""For heavier elements: contracted functions that are well conditioned in dense solids."""

LEVELS = {level.name: level for level in (PBE_DZVP, PBE_TZV2P_200, PBE_TZV2P_QUICK, PBE_DZVP_MOLOPT)}
