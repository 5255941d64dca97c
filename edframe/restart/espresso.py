"""Quantum ESPRESSO's pw.x: ``charge-density.dat`` in the folder ``prefix.save``, and ``startingpot = 'file'``.

pw.x takes the waves of the file by their order, and goes on from free atoms, with exit status 0, where the file is not
there: the log is looked at. A build with HDF5 reads ``charge-density.hdf5`` instead, so both are written. PAW
potentials need occupancies, too: ``paw.txt``, which a run of no steps writes.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io.espresso import Run, read, write_for
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new
from edframe.restart.espresso_input import PwInput
from edframe.restart.process import installed, run
from edframe.restart.pseudopotential import short

RYDBERG = 13.6056931229905
"""eV."""
STARTS = {"electrons.startingpot": "'file'"}
PROGRAM = "pw.x"


class Espresso:
    """Quantum ESPRESSO, by pw.x."""

    name = "qe"
    title = "Quantum ESPRESSO"

    def needs(self, input: Path, out: Path | None, *, may_run: bool) -> Needs:
        given = PwInput.read(input)
        potentials = given.pseudopotentials
        asked = given.variables["system"].get("input_dft")
        functional = short(str(asked)) if asked else next(iter({each.functional for each in potentials.values()}), None)
        level = Level(functional, {symbol: each.name for symbol, each in potentials.items()})
        return Needs(given.structure, given.shape, given.spins, given.electrons, given.charge, level)

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        given = PwInput.read(input)
        changes = dict(STARTS)
        save = given.save
        if out is not None:
            save = out.absolute() / f"{given.prefix}.save"
            changes["control.outdir"] = f"'{out.absolute()}'"
            changes["control.pseudo_dir"] = f"'{given.pseudo_dir}'"
        target = (out or given.folder) / f"{input.stem}.restart{input.suffix or '.in'}"
        files = [save / "charge-density.dat", save / "charge-density.hdf5"]
        require_new((*files, target), force)
        save.mkdir(parents=True, exist_ok=True)
        waves = Run(given.structure, given.shape, given.cutoff, given.gamma, given.spins)
        notes = []
        if any(each.kind == "PAW" for each in given.pseudopotentials.values()):
            files.append(self._occupancies(given, save, may_run))
            notes.append("the PAW occupancies in paw.txt are those of free atoms, because a density does not hold them")
        for file in files[:2]:
            try:
                write_for(file, density, waves)
            except DataError as error:
                if file.suffix != ".hdf5" or "h5py" not in str(error):
                    raise
                files.remove(file)
                notes.append("charge-density.hdf5, for a pw.x that is built with HDF5, is not written without h5py")
        if given.spins == 2 and len(density.fields) == 1:
            notes.append("the density has no magnetisation, so pw.x starts unpolarised: starting_magnetization is not "
                         "used with startingpot = 'file'")  # fmt: skip
        target.write_text(given.changed(changes), encoding="utf-8")
        return Written(tuple(files), target, changes, target.absolute().parent, tuple(notes))

    def run(self, written: Written) -> Outcome:
        log, outcome = self._run(written.input)
        if why := self.check(log.read_text(encoding="utf-8", errors="replace")):
            raise DataError(f"{why}; see {log}")
        return outcome

    def converged(self, input: Path, folder: Path) -> Converged:
        given = PwInput.read(input)
        changes = {
            "electrons.startingpot": "'atomic'",
            "control.outdir": f"'{folder.absolute()}'",
            "control.pseudo_dir": f"'{given.pseudo_dir}'",
        }
        own = folder / input.name
        own.write_text(given.changed(changes), encoding="utf-8")
        _, outcome = self._run(own)
        save = folder / f"{given.prefix}.save"
        place = next((file for end in ("dat", "hdf5") if (file := save / f"charge-density.{end}").is_file()), save)
        return Converged(read(place), self.needs(input, None, may_run=False), outcome)

    def _run(self, input: Path) -> tuple[Path, Outcome]:
        """The log of a calculation in the folder of its input, and what it did."""
        log = input.with_suffix(".out")
        status, seconds = run([PROGRAM, "-in", input.name], input.absolute().parent, log)
        text = log.read_text(encoding="utf-8", errors="replace")
        converged = re.search(r"convergence has been achieved in\s+(\d+) iterations", text)
        if status or not converged:
            raise DataError(f"{PROGRAM} ended with status {status} and did not converge; see {log}")
        energies = re.findall(r"^!?\s+total energy\s+=\s+(\S+) Ry", text, re.MULTILINE)
        return log, Outcome(int(converged[1]), seconds, tuple(RYDBERG * float(energy) for energy in energies))

    def check(self, log: str) -> str | None:
        if "The initial density is read from file" in log:
            return None
        if "Cannot read rho" in log or "superposition of free atoms" in log:
            return f"{PROGRAM} did not find the density and started from free atoms, which it does with exit status 0"
        return f"{PROGRAM} does not say that it read the density"

    def _occupancies(self, given: PwInput, save: Path, may_run: bool) -> Path:
        """``paw.txt`` of free atoms in ``save``, by a run of no steps."""
        place = save / "paw.txt"
        if place.is_file():
            return place
        if given.save != save and (given.save / "paw.txt").is_file():
            shutil.copyfile(given.save / "paw.txt", place)
            return place
        changes = {
            "electrons.electron_maxstep": "0",
            "electrons.startingpot": "'atomic'",
            "control.calculation": "'scf'",
            "control.outdir": f"'{save.parent}'",
            "control.pseudo_dir": f"'{given.pseudo_dir}'",
        }
        zero = save.parent / f"{given.path.stem}.zero{given.path.suffix or '.in'}"
        zero.write_text(given.changed(changes), encoding="utf-8")
        if not may_run or not installed(PROGRAM):
            raise DataError(
                f"{given.path} has PAW potentials, whose occupancies a run of no steps writes: run `{PROGRAM} -in "
                f"{zero}` (it ends with status 2 and leaves {place}), then this command again; --run does it for you"
            )
        run([PROGRAM, "-in", zero.name], zero.parent, zero.with_suffix(".out"))
        if not place.is_file():
            raise DataError(f"{PROGRAM} wrote no {place}; see {zero.with_suffix('.out')}")
        return place
