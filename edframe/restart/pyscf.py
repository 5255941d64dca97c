"""PySCF: the density matrix ``dm0`` that ``mf.kernel`` starts from, and a script that starts from it.

A calculation of PySCF is a script, which cannot be changed safely. So the input is a script that makes the mean field
``mf`` and does not run it, or runs it under ``if __name__ == "__main__":`` alone. A second script takes ``mf`` from it.
In a script of your own: ``mf.kernel(dm0=edframe.restart.fock.dm0(mf, "density.cube"))``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edframe.errors import DataError, imported
from edframe.io.units import HARTREE
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new
from edframe.restart.fock import SEMILOCAL, matrix, needs_of, semilocal
from edframe.restart.process import run
from edframe.restart.script import has_run, made_by

SCRIPT = '''\
"""The calculation of {input} from a density; written by edframe."""

import runpy

import numpy

mf = runpy.run_path({input!r})["mf"]
mf.verbose = max(mf.verbose, 4)
mf.kernel(dm0=numpy.load({matrix!r}))
'''


class PySCF:
    """PySCF, by scripts."""

    name = "pyscf"
    title = "PySCF"

    def __init__(self) -> None:
        self._made: dict[Path, dict[str, Any]] = {}

    def needs(self, input: Path, out: Path | None = None, *, may_run: bool = False) -> Needs:
        return needs_of(self._mean_field(input))

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        mf = self._mean_field(input)
        folder = (out or input.parent).absolute()
        found, target = folder / f"{input.stem}.dm0.npy", folder / f"{input.stem}.restart.py"
        require_new((found, target), force)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(found, matrix(mf, density), allow_pickle=False)
        target.write_text(SCRIPT.format(input=str(input.absolute()), matrix=str(found)), encoding="utf-8")
        notes = []
        if not semilocal(mf):
            name = getattr(mf, "xc", "") or "Hartree-Fock"
            notes.append(
                f"the start has the potential of {SEMILOCAL.upper()}, because {name} needs more than the density"
            )
        if not hasattr(mf.mol, "lattice_vectors"):
            notes.append("a molecule that is not periodic gains no time, because its start is computed in a box: "
                         "from a density 1% off ethanol takes 7 cycles in place of 10, and as much time")  # fmt: skip
        return Written((found,), target, {"dm0": f"numpy.load('{found.name}')"}, folder, tuple(notes))

    def run(self, written: Written) -> Outcome:
        log = written.input.with_suffix(".out")
        status, seconds = run([sys.executable, written.input.name], written.input.parent, log)
        text = log.read_text(encoding="utf-8", errors="replace")
        energies = [HARTREE * float(energy) for energy in re.findall(r"^cycle= \d+ E= (\S+)", text, re.MULTILINE)]
        if status or not energies or "converged SCF energy" not in text:
            raise DataError(f"{written.input} ended with status {status} and did not converge; see {log}")
        return Outcome(len(energies), seconds, tuple(energies))

    def converged(self, input: Path, folder: Path) -> Converged:
        raise DataError("PySCF is run by scripts of one's own; give a density that one wrote")

    def check(self, log: str) -> str | None:
        return None if "cycle=" in log else "PySCF did not begin its cycles"

    def _mean_field(self, input: Path) -> Any:
        return self.made(input)["mf"]

    def made(self, input: Path) -> dict[str, Any]:
        """What a script makes, with ``mf``; it is executed once."""
        imported("pyscf", "pyscf", f"{input}")
        if input not in self._made:
            made = made_by(input, "mf", "a mean field `mf` of PySCF")
            if getattr(made["mf"], "e_tot", 0):
                raise has_run(input, "mf.kernel()")
            self._made[input] = made
        return self._made[input]
