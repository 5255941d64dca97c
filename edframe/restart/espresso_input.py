"""Inputs of pw.x: what they say of cell, atoms, waves and pseudopotentials, and changes of single variables."""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.io.units import BOHR
from edframe.restart.namelists import changed, read
from edframe.restart.pseudopotential import Pseudopotential

LATTICES = {
    1: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    2: ((-0.5, 0, 0.5), (0, 0.5, 0.5), (-0.5, 0.5, 0)),
    3: ((0.5, 0.5, 0.5), (-0.5, 0.5, 0.5), (-0.5, -0.5, 0.5)),
    4: ((1, 0, 0), (-0.5, math.sqrt(0.75), 0), (0, 0, 1)),
    6: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    8: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
"""``ibrav`` and its vectors in units of the sides a, b, c (pw.x, Modules/latgen.f90); others are refused by name."""


@dataclass(frozen=True)
class PwInput:
    """An input file of pw.x. variables: namelist → variable → value, all names in small letters. cards: other lines."""

    path: Path
    text: str
    variables: Mapping[str, Mapping[str, Any]]
    cards: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> PwInput:
        """Raises DataError for a file that is no input of pw.x."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as an input of pw.x ({error})") from error
        named, cards = read(text)
        missing = [name for name in ("control", "system", "electrons") if name not in named]
        if missing:
            raise DataError(f"{path} is no input of pw.x: it has no namelist &{missing[0]}")
        return cls(path, text, named, tuple(cards))

    @property
    def folder(self) -> Path:
        """Where pw.x is run: relative paths in the input start there."""
        return self.path.absolute().parent

    @property
    def save(self) -> Path:
        """``outdir/prefix.save``."""
        outdir = self._control("outdir", os.environ.get("ESPRESSO_TMPDIR", "./"))
        return self.folder / outdir / f"{self.prefix}.save"

    @property
    def pseudo_dir(self) -> Path:
        """The folder of the pseudopotentials."""
        home = os.environ.get("ESPRESSO_PSEUDO", str(Path.home() / "espresso" / "pseudo"))
        return self.folder / self._control("pseudo_dir", home)

    @property
    def prefix(self) -> str:
        return str(self._control("prefix", "pwscf"))

    @property
    def gamma(self) -> bool:
        """Whether pw.x uses real wave functions, and half of the waves."""
        return any(re.match(r"K_POINTS\W+gamma", line, re.IGNORECASE) for line in self.cards)

    @property
    def spins(self) -> int:
        system = self.variables["system"]
        if system.get("noncolin"):
            raise DataError(f"{self.path}: noncollinear calculations are not started here; use a collinear one")
        return int(system.get("nspin", 1))

    @property
    def cutoff(self) -> float:
        """Of |G|² of the density, in 1/bohr²: ``ecutrho`` in Ry, four times ``ecutwfc`` by default."""
        system = self.variables["system"]
        if "ecutwfc" not in system:
            raise DataError(f"{self.path}: &system has no ecutwfc")
        return float(system.get("ecutrho", 4 * float(system["ecutwfc"])))

    @cached_property
    def structure(self) -> Structure:
        cell = self._cell * BOHR
        try:
            placed = _ase().get_atomic_positions(
                list(self.cards), n_atoms=int(self.variables["system"]["nat"]), cell=cell, alat=self._alat * BOHR
            )
            symbols = [_ase().label_to_symbol(label) for label, *_ in placed]
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise DataError(f"{self.path}: its atoms cannot be read ({error})") from error
        if not placed:
            raise DataError(f"{self.path}: it has no ATOMIC_POSITIONS")
        return Structure(Lattice(cell), symbols, [place for _, place, *_ in placed], coords_are_cartesian=True)

    @property
    def shape(self) -> tuple[int, int, int]:
        """pw.x's FFT grid: the first product of 2, 3 and 5 that holds all waves (``realspace_grid_init``)."""
        from scipy.fft import next_fast_len

        system = self.variables["system"]
        reach = np.floor(math.sqrt(self.cutoff) * np.linalg.norm(self._cell, axis=1) / (2 * math.pi) + 1e-8)
        fitting = [next_fast_len(2 * int(n) + 1, real=True) for n in reach]
        given = [int(system.get(f"nr{axis}", 0)) for axis in (1, 2, 3)]
        return tuple(own or fit for own, fit in zip(given, fitting, strict=True))  # type: ignore[return-value]

    @cached_property
    def pseudopotentials(self) -> Mapping[str, Pseudopotential]:
        """By element. Raises DataError where a file is not there."""
        folder = self.pseudo_dir
        species = _ase().get_atomic_species(list(self.cards), n_species=int(self.variables["system"]["ntyp"]))
        return {_ase().label_to_symbol(label): Pseudopotential.read(folder / file) for label, _, file in species or ()}

    @property
    def charge(self) -> float:
        """``tot_charge``, e."""
        return float(self.variables["system"].get("tot_charge", 0.0))

    @property
    def electrons(self) -> float:
        """Valence electrons, less the charge."""
        potentials = self.pseudopotentials
        return sum(potentials[site.specie.symbol].valence for site in self.structure) - self.charge

    def changed(self, changes: Mapping[str, str]) -> str:
        """The text with variables set, each named ``namelist.variable``, and the rest as it was."""
        return changed(self.text, changes)

    def _control(self, name: str, default: str) -> str:
        return str(self.variables["control"].get(name, default))

    @property
    def _alat(self) -> float:
        """The lattice parameter in bohr; 0 where none is given."""
        system = self.variables["system"]
        return float(system["celldm(1)"]) if "celldm(1)" in system else float(system.get("a", 0.0)) / BOHR

    @cached_property
    def _cell(self) -> NDArray[np.float64]:
        """Lattice vectors as rows, bohr."""
        system = self.variables["system"]
        kind, a = int(system.get("ibrav", 0)), self._alat
        if kind == 0:
            try:
                given, _ = _ase().get_cell_parameters(list(self.cards), alat=a * BOHR if a else None)
            except (ValueError, TypeError) as error:
                raise DataError(f"{self.path}: its CELL_PARAMETERS cannot be read ({error})") from error
            if given is None:
                raise DataError(f"{self.path}: ibrav is 0, and there are no CELL_PARAMETERS")
            return np.asarray(given, float) / BOHR
        if kind not in LATTICES or not a:
            raise DataError(
                f"{self.path}: ibrav = {kind} is not read here; give the cell by ibrav = 0 and CELL_PARAMETERS, or by "
                f"ibrav = {', '.join(map(str, LATTICES))}"
            )
        if "celldm(1)" in system:
            ratios = [1.0, float(system.get("celldm(2)", 1.0)), float(system.get("celldm(3)", 1.0))]
        else:
            ratios = [float(system.get(side, system["a"])) / float(system["a"]) for side in ("a", "b", "c")]
        if kind in (1, 2, 3):
            ratios = [1.0, 1.0, 1.0]
        elif kind in (4, 6):
            ratios[1] = 1.0
        return np.asarray(np.array(LATTICES[kind], float) * a * np.array(ratios))


def _ase() -> Any:
    """ASE's reader of the cards, which has no types."""
    return importlib.import_module("ase.io.espresso")
