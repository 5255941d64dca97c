"""VASP: a CHGCAR as VASP writes it, and ``ICHARG = 1``.

VASP takes a CHGCAR alone that has its grid and its PAW occupancies, and goes on from atoms otherwise. So the grid is
fixed in INCAR, and the occupancies are those of a CHGCAR that lies beside INCAR: of a run with the same atoms, one step
of which is enough (https://www.vasp.at/wiki/ICHARG, https://www.vasp.at/wiki/CHGCAR). VASP is not at hand here: its
files have been compared with those that it writes, but no run has started from them.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pymatgen.core.structure import Structure

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io.structures import read_structures
from edframe.io.units import BOHR
from edframe.io.vasp import read as read_chgcar
from edframe.io.vasp import write as write_chgcar
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new

FUNCTIONALS = {"pe": "pbe", "ps": "pbesol", "91": "pw91", "ca": "lda", "rp": "rpbe", "re": "revpbe"}
"""GGA in INCAR and LEXCH in POTCAR, in small letters."""

RYDBERG = 13.605826
"""eV, as VASP has it: its grid depends on it."""

FINER = {"n": (3, 2), "a": (4, 2), "s": (3, 1)}
"""First letter of PREC → points of the grid of orbitals per wave at ENCUT, and of the density's grid per point of
that (https://www.vasp.at/wiki/PREC)."""

SHELLS = {"d": "4", "f": "6"}
"""LMAXMIX for elements with such electrons: occupancies of lower l are not enough for bands."""


class Vasp:
    """VASP, by its four input files in a folder."""

    name = "vasp"
    title = "VASP"

    def needs(self, input: Path, out: Path | None = None, *, may_run: bool = False) -> Needs:
        return _Inputs(input).needs

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        given = _Inputs(input)
        folder = out or input
        target = folder / ("INCAR" if out else "INCAR.restart")
        file = folder / "CHGCAR"
        require_new((file, target), force)
        occupancies = given.occupancies
        names = list(density.fields)
        notes = []
        if given.spins == 2 and len(names) == 1:
            notes.append("the density has no magnetisation, so VASP adds that of MAGMOM")
        if len(names) == 2 and occupancies and "magnetisation" not in occupancies:
            names = names[:1]
            notes.append(f"the magnetisation is left out, because {input / 'CHGCAR'} has no occupancies for it")
        if occupancies:
            notes.append(f"the PAW occupancies are those of {input / 'CHGCAR'}, because a density does not hold them")
        if given.deep:
            notes.append(f"LMAXMIX = {given.deep} must also have been set in the run that made {input / 'CHGCAR'}")
        notes.append("for bands at this density set ICHARG = 11")
        folder.mkdir(parents=True, exist_ok=True)
        fields = {name: density.fields[name] for name in names}
        kept = {name: occupancies[name] for name in names if name in occupancies}
        write_chgcar(file, replace(density, fields=fields, augmentation=kept, structure=given.structure))
        changes = {"ISTART": "0", "ICHARG": "1"} | ({"LMAXMIX": given.deep} if given.deep else {})
        changes |= {f"NG{axis}F": str(n) for axis, n in zip("XYZ", density.grid.shape, strict=True)}
        if out is not None:
            for name in ("POSCAR", "POTCAR", "KPOINTS"):
                if (input / name).is_file() and not (out / name).exists():
                    shutil.copyfile(input / name, out / name)
        target.write_text(given.changed(changes), encoding="latin-1")
        return Written((file,), target, changes, folder.absolute(), tuple(notes))

    def run(self, written: Written) -> Outcome:
        raise DataError(f"VASP is not run from here: run it in {written.input.parent}, and look in its output for "
                        "`charge-density read from file`")  # fmt: skip

    def converged(self, input: Path, folder: Path) -> Converged:
        raise DataError("VASP is not run from here; give a CHGCAR that it wrote")

    def check(self, log: str) -> str | None:
        if "dimensions on CHGCAR file are different" in log:
            return "the CHGCAR has another grid, and VASP started from atoms"
        if "chargedensity file is incomplete" in log or "charge density could not be read" in log:
            return "the CHGCAR lacks occupancies or is cut off, and VASP started from atoms"
        return None


@dataclass(frozen=True)
class _Inputs:
    """A folder with POSCAR, INCAR and POTCAR."""

    folder: Path

    @cached_property
    def needs(self) -> Needs:
        count = sum(self._valence[site.specie.symbol] for site in self.structure)
        electrons = float(self.tags.get("NELECT", str(count)).split()[0])
        asked = self.tags.get("METAGGA") or (
            "hybrid" if self.tags.get("LHFCALC", "F").strip(".").upper()[:1] == "T" else ""
        )
        functional = (asked or self.tags.get("GGA") or self._potcar[0]["LEXCH"]).lower()
        level = Level(FUNCTIONALS.get(functional, functional), {
            symbol: each["TITEL"].split()[1] for symbol, each in zip(self._elements, self._potcar, strict=True)
        })  # fmt: skip
        return Needs(self.structure, self.shape, self.spins, electrons, count - electrons, level)

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """INCAR: tag → value; the first counts, as in VASP."""
        text = re.sub(r"[#!].*", "", re.sub(r"\\[ \t]*\n", " ", self._text("INCAR")))
        found: dict[str, str] = {}
        for match in re.finditer(r"(?:^|;)[ \t]*(\w+)[ \t]*=([^;\n]*)", text, re.MULTILINE):
            found.setdefault(match[1].upper(), match[2].strip().strip('"'))
        return found

    @cached_property
    def structure(self) -> Structure:
        self._text("POSCAR")
        return read_structures(self.folder / "POSCAR").structures[0]

    @property
    def spins(self) -> int:
        if any(self.tags.get(tag, "F").strip(".").upper()[:1] == "T" for tag in ("LNONCOLLINEAR", "LSORBIT")):
            raise DataError(
                f"{self.folder / 'INCAR'}: a noncollinear calculation is not started here; use a collinear one"
            )
        return int(self.tags.get("ISPIN", "1"))

    @property
    def shape(self) -> tuple[int, int, int]:
        """NGXF, NGYF, NGZF of INCAR, else the grid of the CHGCAR there, else the one that VASP takes by default."""
        given = [self.tags.get(f"NG{axis}F") for axis in "XYZ"]
        if all(given):
            return tuple(int(str(n)) for n in given)  # type: ignore[return-value]
        if self._chgcar is not None:
            return self._chgcar.grid.shape  # type: ignore[return-value]
        precision = self.tags.get("PREC", "Normal").lower()[:1]
        if precision not in FINER:
            raise DataError(f"{self.folder / 'INCAR'}: the grid of PREC = {self.tags['PREC']} is not known here; set "
                            "NGXF, NGYF and NGZF, or use PREC = Normal or Accurate")  # fmt: skip
        cutoff = self.tags.get("ENCUT") or max((each["ENMAX"] for each in self._potcar), key=float)
        per_wave, finer = FINER[precision]
        points = []
        for side in self.structure.lattice.abc:
            waves = math.sqrt(float(cutoff.split()[0]) / RYDBERG) * side / BOHR / (2 * math.pi)
            points.append(finer * _smooth(int(per_wave * waves + 0.5)))
        return tuple(points)  # type: ignore[return-value]

    @property
    def deep(self) -> str:
        """LMAXMIX for d and f electrons, where INCAR does not set it; else empty."""
        if "LMAXMIX" in self.tags:
            return ""
        blocks = {element.block for element in self.structure.composition.elements}
        return SHELLS["f"] if "f" in blocks else SHELLS["d"] if "d" in blocks else ""

    @property
    def occupancies(self) -> Mapping[str, str]:
        """Text behind each field of the CHGCAR there. Raises DataError where PAW potentials need it and it is not."""
        if not any("PAW" in each["TITEL"] for each in self._potcar):
            return {}
        found = self._chgcar.augmentation if self._chgcar is not None else {}
        if "total" not in found:
            raise DataError(
                f"{self.folder} has no CHGCAR with PAW occupancies, without which VASP does not use a density: run "
                "VASP there for one step (NELM = 1 in INCAR), which leaves one, then this command again"
            )
        return found

    def changed(self, changes: Mapping[str, str]) -> str:
        """INCAR with tags set: other values of the same tags become comments."""
        text = self._text("INCAR")
        names = "|".join(changes)
        kept = re.sub(rf"(?im)^([ \t]*(?:{names})[ \t]*=.*)$", r"# \1", text)
        kept = re.sub(rf"(?im);[ \t]*(?:{names})[ \t]*=[^;\n]*", "", kept)
        return "".join(f"{name} = {value}\n" for name, value in changes.items()) + kept

    @cached_property
    def _chgcar(self) -> Volume | None:
        path = self.folder / "CHGCAR"
        if not path.is_file():
            return None
        found = read_chgcar(path)
        if [site.specie.symbol for site in found.structure] != [site.specie.symbol for site in self.structure]:
            raise DataError(f"{path} has other atoms than POSCAR, or another order, so that its occupancies belong to "
                            "other atoms; make it from this POSCAR")  # fmt: skip
        return found

    @cached_property
    def _potcar(self) -> list[dict[str, str]]:
        """TITEL, ZVAL, LEXCH and ENMAX of each potential, in order."""
        text = self._text("POTCAR")
        columns = {
            "TITEL": re.findall(r"TITEL\s*=\s*(\S.*?)\s*$", text, re.MULTILINE),
            "ZVAL": re.findall(r"ZVAL\s*=\s*(\d+\.?\d*)", text),
            "LEXCH": re.findall(r"LEXCH\s*=\s*(\w+)", text),
            "ENMAX": re.findall(r"ENMAX\s*=\s*(\d+\.?\d*)", text),
        }
        count = len(self._elements)
        if any(len(found) != count for found in columns.values()):
            raise DataError(f"{self.folder / 'POTCAR'} has not one TITEL, ZVAL, LEXCH and ENMAX for each of the "
                            f"{count} elements of POSCAR, in its order")  # fmt: skip
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @cached_property
    def _elements(self) -> list[str]:
        symbols = [site.specie.symbol for site in self.structure]
        return [symbol for k, symbol in enumerate(symbols) if k == 0 or symbol != symbols[k - 1]]

    @cached_property
    def _valence(self) -> Mapping[str, float]:
        return {symbol: float(each["ZVAL"]) for symbol, each in zip(self._elements, self._potcar, strict=True)}

    def _text(self, name: str) -> str:
        if not self.folder.is_dir():
            raise DataError(f"{self.folder} is no folder; give the one with POSCAR, INCAR and POTCAR")
        try:
            return (self.folder / name).read_text(encoding="latin-1")
        except OSError as error:
            raise DataError(f"{self.folder / name} cannot be read ({error.strerror or error}); a start of VASP needs "
                            "POSCAR, INCAR and POTCAR") from error  # fmt: skip


def _smooth(n: int) -> int:
    """The first even number from ``n`` on with no prime factor above 7, as VASP's FFT wants."""
    while True:
        rest = n
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and n % 2 == 0:
            return n
        n += 1
