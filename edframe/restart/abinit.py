"""ABINIT: ``…_DEN.nc`` by ``getden_filepath``, in the form of a file that the same input wrote without a step.

Such a template has the atoms, the mesh and the electrons as ABINIT understands the input. On the same mesh ABINIT does
not rescale a density, so its electrons must be right beforehand.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io import abinit as files
from edframe.io.hdf5 import opened
from edframe.io.units import HARTREE
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new
from edframe.restart.process import installed, run

PROGRAM = "abinit"
FUNCTIONALS = {1: "lda", 7: "lda-pw", 11: "pbe", 14: "revpbe", 15: "rpbe", 23: "wc", -101130: "pbe", -116133: "pbesol"}
"""By ABINIT's ``ixc``; other numbers are named by themselves."""
FIRST = {"nnsclo": "-1"}
"""Five loops at the fixed density in the first step (m_vtorho.F90), one in the others. By default there are two: the
wave functions, random at first, do not belong to the density yet, theirs replaces a good one, and ABINIT takes more
steps from its own converged density than from atoms. ``docs/restarts.md`` compares it with ``nline 10``."""
TEMPLATE = {"nstep": "0", "iomode": "3", "prtden": "1", "prtwf": "0"}


class Abinit:
    """ABINIT 9 and later."""

    name = "abinit"
    title = "ABINIT"

    def needs(self, input: Path, out: Path | None, *, may_run: bool) -> Needs:
        return self._stated(self._template(input, out, may_run))

    def _stated(self, path: Path) -> Needs:
        """What a file of ABINIT says of the calculation that wrote it."""
        volume = files.read(path)
        with opened(path) as file:
            symbols = [str(site.specie.symbol) for site in volume.structure]
            kinds = np.array(file["atom_species"][()], int).tolist()
            number, electrons = int(file["ixc"][()]), float(file["nelect"][()])
            charge, components = float(file["charge"][()]), file["density"].shape[0]
            heads = zip(file["title"], file["md5_pseudos"], strict=True)
            names = [f"{_text(title).split()[1]} {_text(digest)[:8]}" for title, digest in heads]
        if components > 2:
            raise DataError(f"{path}: noncollinear calculations are not started here; use a collinear one")
        used = {symbol: names[kind - 1] for symbol, kind in zip(symbols, kinds, strict=True)}
        shape: Any = volume.grid.shape
        level = Level(FUNCTIONALS.get(number, f"ixc {number}"), used)
        return Needs(volume.structure, shape, components, electrons, charge, level)

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        template = self._template(input, out, may_run)
        folder = (out or input.parent).absolute()
        place, target = folder / f"{input.stem}.start_DEN.nc", folder / f"{input.stem}.restart{input.suffix or '.abi'}"
        require_new((place, target), force)
        shutil.copyfile(template, place)
        files.write(place, density)
        changes = {"getden_filepath": f'"{place}"', **FIRST}
        target.write_text(changed(_text_of(input), changes), encoding="utf-8")
        notes = [
            "nnsclo -1 keeps the density fixed for five loops of the first step, until the wave functions follow it; "
            "without, ABINIT takes more steps from a density than from atoms"
        ]
        with opened(place) as file:
            if int(file["usepaw"][()]):
                notes.append("the PAW occupancies are those of free atoms, because a density does not hold them")
            if density.fields.keys() == {"total"} and file["density"].shape[0] == 2:
                notes.append("the density has no magnetisation, so ABINIT starts unpolarised")
        return Written((place,), target, changes, input.absolute().parent, tuple(notes))

    def run(self, written: Written) -> Outcome:
        log, outcome = self._run(written.input, written.folder)
        if why := self.check(log.read_text(encoding="utf-8", errors="replace")):
            raise DataError(f"{why}; see {log}")
        return outcome

    def converged(self, input: Path, folder: Path) -> Converged:
        own = folder.absolute() / f"{input.stem}.abi"
        prefixes = {"outdata_prefix": f'"{own.with_suffix("")}"', "tmpdata_prefix": f'"{own.with_suffix("")}_tmp"'}
        own.write_text(changed(_text_of(input), {"iomode": "3", "prtden": "1", "prtwf": "0", **prefixes}), "utf-8")
        _, outcome = self._run(own, input.absolute().parent)
        place = own.with_name(f"{input.stem}_DEN.nc")
        return Converged(files.read(place), self._stated(place), outcome)

    def _run(self, input: Path, folder: Path) -> tuple[Path, Outcome]:
        """The log of a calculation, and what it did."""
        log, output = input.with_suffix(".log"), input.with_suffix(".abo")
        output.unlink(missing_ok=True)
        status, seconds = run([PROGRAM, str(input.absolute())], folder, log)
        text = output.read_text(encoding="utf-8", errors="replace") if output.is_file() else ""
        energies = re.findall(r"^ ETOT\s+\d+\s+(\S+)", text, re.MULTILINE)
        if status or not re.search(r"At SCF step\s+\d+", text):
            raise DataError(f"{PROGRAM} ended with status {status} and did not converge; see {log}")
        return log, Outcome(len(energies), seconds, tuple(HARTREE * float(energy) for energy in energies))

    def check(self, log: str) -> str | None:
        if "getden from:" in log and "About to read data(r) from:" in log:
            return None
        return f"{PROGRAM} does not say that it read the density"

    def _template(self, input: Path, out: Path | None, may_run: bool) -> Path:
        """The density of a run of no steps, which is made where it is not there."""
        folder = (out or input.parent).absolute()
        stem = f"{input.stem}.template"
        place = folder / f"{stem}_DEN.nc"
        text = _text_of(input)
        if re.search(r"(?i)^\s*ndtset\s+([2-9]|\d\d)", _bare(text), re.MULTILINE):
            raise DataError(f"{input} has several datasets; give an input with one")
        if place.is_file():
            return place
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / f"{stem}{input.suffix or '.abi'}"
        prefixes = {"outdata_prefix": f'"{folder / stem}"', "tmpdata_prefix": f'"{folder / stem}_tmp"'}
        own.write_text(changed(text, {**TEMPLATE, **prefixes}), encoding="utf-8")
        if not may_run or not installed(PROGRAM):
            raise DataError(
                f"a density for ABINIT goes into the form of a file that the same input writes without a step: run "
                f"`{PROGRAM} {own}` in {input.absolute().parent}, which leaves {place}, then this command again; --run "
                "does it for you"
            )
        run([PROGRAM, str(own)], input.absolute().parent, own.with_suffix(".log"))
        if not place.is_file():
            raise DataError(f"{PROGRAM} wrote no {place}; see {own.with_suffix('.log')}")
        return place


def changed(text: str, changes: dict[str, str]) -> str:
    """An input with variables of one value set: taken out where they are, and written at its end."""
    for name in (*changes, "getden", "irdden"):
        lines = [_split(line) for line in text.split("\n")]
        pattern = re.compile(rf"(?i)(?<![\w\"/.-]){name}(?=[\s\"])\s*(\"[^\"]*\"|\S+)")
        text = "\n".join(pattern.sub("", content) + comment for content, comment in lines)
    return text.rstrip("\n") + "\n" + "".join(f"{name} {value}\n" for name, value in changes.items())


def _split(line: str) -> tuple[str, str]:
    """A line, and its comment, which ``#`` or ``!`` begins."""
    at = re.search(r"[#!]", line)
    return (line[: at.start()], line[at.start() :]) if at else (line, "")


def _bare(text: str) -> str:
    return "\n".join(_split(line)[0] for line in text.split("\n"))


def _text_of(input: Path) -> str:
    try:
        return input.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{input} cannot be read as an input of ABINIT ({error})") from error


def _text(characters: Any) -> str:
    return b"".join(np.asarray(characters).tolist()).split(b"\0")[0].decode(errors="replace").strip()
