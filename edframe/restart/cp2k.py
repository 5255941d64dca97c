"""CP2K: a cube on its finest grid, and ``SCF_GUESS EXTERNAL_DENSITY``.

CP2K reads it since September 2026 (cp2k/cp2k, pull request 5959), for calculations without spin, by GPW, with
functionals of the density and its gradient. Releases before end with an error at the keyword. The grid has been
compared with that of CP2K 2023.1; no run has started from a cube here, because that release is too old.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io.cube import write as write_cube
from edframe.io.units import BOHR
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new

DIGITS = 10
"""Of the values in the cube: six would leave an error of 1e-6 in the number of electrons."""

DFT = "FORCE_EVAL/DFT"


class Cp2k:
    """CP2K's Quickstep."""

    name = "cp2k"
    title = "CP2K"

    def needs(self, input: Path, out: Path | None = None, *, may_run: bool = False) -> Needs:
        return _Input.read(input).needs

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        given = _Input.read(input)
        folder = out or input.parent
        target, file = folder / f"{input.stem}.restart{input.suffix or '.inp'}", folder / f"{input.stem}.density.cube"
        require_new((file, target), force)
        folder.mkdir(parents=True, exist_ok=True)
        write_cube(file, density, digits=DIGITS)
        named = str(file.absolute()) if out else file.name
        changes = {"SCF_GUESS": "EXTERNAL_DENSITY", "EXTERNAL_DENSITY_FILE_NAME": named}
        target.write_text(given.changed(changes), encoding="utf-8")
        notes = [
            "CP2K reads a density since its release of autumn 2026; earlier ones end with an error at that keyword"
        ]
        if out:
            notes.append(f"run CP2K in {input.absolute().parent}, where the files are that the input names")
        return Written((file,), target, changes, input.absolute().parent, tuple(notes))

    def run(self, written: Written) -> Outcome:
        raise DataError(f"CP2K is not run from here: run it with {written.input}, in the folder of the input")

    def converged(self, input: Path, folder: Path) -> Converged:
        raise DataError("CP2K is not run from here; give a cube that it wrote")

    def check(self, log: str) -> str | None:
        return (
            None
            if "PROGRAM ENDED AT" in log
            else "CP2K did not end by itself, as releases do that do not know the keyword"
        )


@dataclass(frozen=True)
class _Input:
    """An input of CP2K. values: section/section/keyword in capitals → the lines that begin so."""

    path: Path
    text: str
    values: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> _Input:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as an input of CP2K ({error})") from error
        if directive := re.search(r"(?m)^\s*@\w+", text):
            raise DataError(f"{path}: {directive[0].strip()} is not read here; write the input without directives")
        values: dict[str, list[str]] = {}
        for _, section, line in _lines(text):
            values.setdefault(f"{section}/{line.split()[0].upper()}", []).append(line)
            values.setdefault(section, []).append(line)
        if not any(section.startswith(DFT) for section in values):
            raise DataError(f"{path} is no input of CP2K with a section &FORCE_EVAL and in it &DFT")
        return cls(path, text, values)

    @cached_property
    def needs(self) -> Needs:
        if self._asked("UKS") or self._asked("LSD") or self._asked("UNRESTRICTED_KOHN_SHAM") or (
            int(self._value(f"{DFT}/MULTIPLICITY", "1")) > 1
        ):  # fmt: skip
            raise DataError(f"{self.path}: CP2K reads a density for calculations without spin alone")
        method = self._value(f"{DFT}/QS/METHOD", "GPW").upper()
        if method != "GPW":
            raise DataError(f"{self.path}: CP2K reads a density for the method GPW alone, not for {method}")
        potentials = self._kinds("POTENTIAL")
        counts = {kind: re.search(r"-[qQ](\d+)$", name) for kind, name in potentials.items()}
        charge = float(self._value(f"{DFT}/CHARGE", "0"))
        electrons = None
        known = {kind: float(found[1]) for kind, found in counts.items() if found}
        if all(label in known for label in self._labels):
            electrons = sum(known[label] for label in self._labels) - charge
        functional = self._parameter("XC_FUNCTIONAL")
        elements = dict(zip(self._labels, (site.specie.symbol for site in self.structure), strict=True))
        names = {
            elements[kind]: re.sub(r"-q\d+$", "", name.lower()) for kind, name in potentials.items() if kind in elements
        }
        return Needs(self.structure, self.shape, 1, electrons, charge, Level(functional, names))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The finest grid: the first product of 2, 3 and 5 that holds all waves up to CUTOFF."""
        from scipy.fft import next_fast_len

        given = self._value(f"{DFT}/MGRID/CUTOFF", "")
        if not given:
            raise DataError(
                f"{self.path}: &MGRID sets no CUTOFF; set it, because the grid of the density follows from it"
            )
        if "[" in given and "[ry]" not in given.lower():
            raise DataError(f"{self.path}: CUTOFF {given}: give it in Ry")
        cutoff = float(given.split("]")[-1].split()[0])
        reach = np.floor(math.sqrt(cutoff) * np.array(self.structure.lattice.abc) / BOHR / (2 * math.pi) + 1e-8)
        return tuple(int(next_fast_len(2 * int(n) + 1, real=True)) for n in reach)  # type: ignore[return-value]

    @cached_property
    def structure(self) -> Structure:
        try:
            cell = self._cell()
            rows = [line.split() for line in self.values.get("FORCE_EVAL/SUBSYS/COORD", [])]
            options = {row[0].upper(): row[1:] for row in rows if row[0].upper() in ("UNIT", "SCALED")}
            rows = [row for row in rows if row[0].upper() not in options]
            if not rows:
                rows = self._from_file()
            scaled = "SCALED" in options and (
                not options["SCALED"] or options["SCALED"][0].strip(".").upper()[:1] == "T"
            )
            unit = BOHR if options.get("UNIT", [""])[0].lower() == "bohr" and not scaled else 1.0
            positions = np.array([row[1:4] for row in rows], float) * unit
            elements = self._kinds("ELEMENT")
            symbols = [elements.get(row[0], re.sub(r"[^A-Za-z].*", "", row[0])).capitalize() for row in rows]
            return Structure(Lattice(cell), symbols, positions, coords_are_cartesian=not scaled)
        except (ValueError, IndexError, KeyError, OSError) as error:
            raise DataError(f"{self.path}: its cell or its atoms cannot be read ({error})") from error

    @property
    def _labels(self) -> list[str]:
        """The kind of each atom, as the section &KIND names it."""
        rows = [line.split() for line in self.values.get("FORCE_EVAL/SUBSYS/COORD", [])]
        rows = [row for row in rows if row[0].upper() not in ("UNIT", "SCALED")] or self._from_file()
        return [row[0] for row in rows]

    def changed(self, changes: dict[str, str]) -> str:
        """The text with keywords of &SCF set, and the rest as it was."""
        inserted = [f"      {name} {value}" for name, value in changes.items()]
        lines = self.text.splitlines()
        drop = {n for n, section, line in _lines(self.text)
                if section == f"{DFT}/SCF" and line.split()[0].upper() in changes}  # fmt: skip
        begins = {section: n for n, section in _sections(self.text)}
        if f"{DFT}/SCF" in begins:
            at = begins[f"{DFT}/SCF"]
        else:
            at, inserted = begins[DFT], ["    &SCF", *inserted, "    &END SCF"]
        kept = [[line] if n not in drop else [] for n, line in enumerate(lines)]
        kept[at] += inserted
        return "\n".join(line for part in kept for line in part) + "\n"

    def _cell(self) -> NDArray[np.float64]:
        section = "FORCE_EVAL/SUBSYS/CELL"
        if f"{section}/ABC" not in self.values:
            return np.array([_lengths(self.values[f"{section}/{axis}"][0]) for axis in "ABC"])
        a, b, c = _lengths(self.values[f"{section}/ABC"][0])
        angles = self._value(f"{section}/ALPHA_BETA_GAMMA", "90 90 90").split()
        alpha, beta, gamma = (math.radians(float(angle)) for angle in angles[:3])
        # The first vector along x, the second in the plane of x and y, as CP2K has them.
        x = math.cos(beta)
        y = (math.cos(alpha) - math.cos(beta) * math.cos(gamma)) / math.sin(gamma)
        third = [c * x, c * y, c * math.sqrt(max(1 - x * x - y * y, 0.0))]
        return np.array([[a, 0, 0], [b * math.cos(gamma), b * math.sin(gamma), 0], third])

    def _from_file(self) -> list[list[str]]:
        topology = "FORCE_EVAL/SUBSYS/TOPOLOGY"
        name = self._value(f"{topology}/COORD_FILE_NAME", self._value(f"{topology}/COORDINATE", ""))
        if not name.lower().endswith(".xyz"):
            raise ValueError("atoms are read from &COORD, or from an xyz by COORD_FILE_NAME")
        lines = (self.path.parent / name).read_text(encoding="utf-8").splitlines()
        return [line.split() for line in lines[2 : 2 + int(lines[0])]]

    def _kinds(self, keyword: str) -> dict[str, str]:
        """Kind → value of a keyword in its section; the last word, because a type may stand before a name."""
        prefix = "FORCE_EVAL/SUBSYS/KIND "
        return {
            place.removeprefix(prefix).removesuffix(f"/{keyword}"): lines[0].split()[-1]
            for place, lines in self.values.items()
            if place.startswith(prefix) and place.endswith(f"/{keyword}")
        }

    def _asked(self, keyword: str) -> bool:
        words = self.values.get(f"{DFT}/{keyword}", [""])[0].split()
        return bool(words) and (len(words) == 1 or words[1].strip(".").upper()[:1] == "T")

    def _value(self, place: str, default: str) -> str:
        return self.values[place][0].split(None, 1)[1].strip() if place in self.values else default

    def _parameter(self, section: str) -> str | None:
        found = re.search(rf"(?im)^\s*&{section}\s+(\w+)", self.text)
        return found[1].lower() if found else None


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number of the line, section, and each keyword with its values. The parameter of &KIND is in its name."""
    return (each for each in _read_through(text) if each[2])


def _sections(text: str) -> Iterator[tuple[int, str]]:
    """Number of the line in which each section begins."""
    return ((number, section) for number, section, line in _read_through(text) if not line)


def _read_through(text: str) -> Iterator[tuple[int, str, str]]:
    """Number of the line, section, and keyword; no keyword where the section begins."""
    stack: list[str] = []
    for number, raw in enumerate(text.splitlines()):
        line = re.split(r"[!#]", raw, maxsplit=1)[0].strip()
        if line.upper().startswith("&END"):
            stack = stack[:-1]
        elif line.startswith("&"):
            words = line[1:].split()
            stack.append(f"KIND {words[1]}" if words[0].upper() == "KIND" and len(words) > 1 else words[0].upper())
            yield number, "/".join(stack), ""
        elif line:
            yield number, "/".join(stack), line


def _lengths(line: str) -> list[float]:
    """Three lengths after a keyword, Å; ``[bohr]`` before them is understood."""
    unit = BOHR if "[bohr]" in line.lower() else 1.0
    return [float(word) * unit for word in re.sub(r"\[.*?\]", "", line).split()[1:4]]
