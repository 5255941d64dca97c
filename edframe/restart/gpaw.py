"""GPAW: passes of the eigensolver at a fixed density, then its SCF.

GPAW has no file to start from: its state is a pseudo-density and PAW occupancies, and a density holds at most the
first. So the density, GPAW's pseudo-density with the compensation charges (``edframe.io.gpaw``), is set with
occupancies of free atoms, and the orbitals get some passes in its potential before their own density is mixed. Without
these passes orbitals that do not belong to the density replace it at once. What this saves is in
``docs/restarts-other-codes.md``.

The input is a script that makes ``atoms``, with a calculator, and does not run them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.data.level import Level
from edframe.errors import DataError, imported
from edframe.grid import Grid
from edframe.io.units import BOHR, HARTREE
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new
from edframe.restart.process import run
from edframe.restart.script import has_run, made_by

if TYPE_CHECKING:
    from jaxtyping import Float

PASSES = 5

SCRIPT = '''\
"""The calculation of {input} {start}; written by edframe."""

import runpy

import numpy

from edframe.restart.gpaw import converge, pseudo_densities

atoms = runpy.run_path({input!r})["atoms"]
'''
STARTED = "converge(atoms, numpy.load({density!r}))\n"
ALONE = "converge(atoms)\nnumpy.save({density!r}, pseudo_densities(atoms.calc.dft))\n"
"""From GPAW's own start, for its density."""


class Gpaw:
    """GPAW, by scripts."""

    name = "gpaw"
    title = "GPAW"

    def __init__(self) -> None:
        self._made: dict[Path, Any] = {}

    def needs(self, input: Path, out: Path | None = None, *, may_run: bool = False) -> Needs:
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure

        dft = self._dft(input)
        atoms, density = dft.atoms, dft.density
        structure = Structure(Lattice(atoms.cell.array), atoms.numbers, atoms.positions, coords_are_cartesian=True)
        setups = {each.symbol: f"{each.type} {each.fingerprint[:8]}" for each in dft.setups}
        shape: Any = tuple(int(n) for n in density.nt_sR.desc.size)
        level = Level(str(dft.params.xc.name).lower(), setups)
        electrons, charge = float(density.nvalence - density.charge), float(density.charge)
        return Needs(structure, shape, int(density.ncomponents), electrons, charge, level)

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        spins = self.needs(input).spins
        folder = (out or input.parent).absolute()
        place, target = folder / f"{input.stem}.density.npy", folder / f"{input.stem}.restart.py"
        require_new((place, target), force)
        folder.mkdir(parents=True, exist_ok=True)
        notes = [
            f"GPAW's PAW occupancies are those of free atoms, because a density does not hold them; {PASSES} passes at "
            "the fixed density come before its SCF"
        ]
        total, *rest = density.fields.values()
        if spins == 2 and not rest:
            notes.append("the density has no magnetisation, so that of free atoms is kept")
        np.save(place, np.stack([total, *rest]), allow_pickle=False)
        text = SCRIPT + STARTED
        target.write_text(text.format(input=str(input.absolute()), start="from a density", density=str(place)), "utf-8")
        call = f"edframe.restart.gpaw.converge(atoms, numpy.load('{place.name}'))"
        return Written((place,), target, {"run": call}, folder, tuple(notes))

    def run(self, written: Written) -> Outcome:
        return _outcome(written.input)

    def converged(self, input: Path, folder: Path) -> Converged:
        needs, place, script = self.needs(input), folder.absolute() / "density.npy", folder / f"{input.stem}.own.py"
        text = SCRIPT + ALONE
        script.write_text(text.format(input=str(input.absolute()), start="as it is", density=str(place)), "utf-8")
        outcome = _outcome(script)
        fields = dict(zip(("total", "magnetisation"), np.load(place), strict=False))
        grid = Grid.of(needs.structure.lattice.matrix, fields["total"].shape)
        return Converged(Volume(needs.structure, grid, fields), needs, outcome)

    def check(self, log: str) -> str | None:
        return None if "from the density" in log else "GPAW did not start from the density"

    def _dft(self, input: Path) -> Any:
        """The calculation that a script makes, not converged."""
        imported("gpaw", "gpaw", f"{input}")
        if input not in self._made:
            atoms = made_by(input, "atoms", "ASE's `atoms` with a calculator of GPAW")["atoms"]
            self._made[input] = _begun(atoms, input)
        return self._made[input]


def converge(atoms: Any, density: Float[NDArray[np.float64], "s x y z"] | None = None) -> None:
    """Run the SCF of ASE's atoms with a calculator of GPAW, and print a line for each iteration.

    density: total (and magnetisation) on GPAW's grid, e/Å³; None: of free atoms, as GPAW starts.
    """
    dft = _begun(atoms, Path(sys.argv[0]))
    if density is not None:
        _set(dft.density, density - pseudo_densities(dft))
        dft.density.normalize(dft.pot_calc.charge)
        passes(dft)
        print("from the density")
    for step in atoms.calc.iconverge(atoms):
        print(f"iteration {step.niter}: {step.energies.total_extrapolated * HARTREE:.9f} eV")
    print("converged")


def pseudo_densities(dft: Any) -> NDArray[np.float64]:
    """Total and, with spin, magnetisation ``[s, x, y, z]`` of the pseudo-density and its compensation charges, e/Å³."""
    values: NDArray[np.float64] = np.array(dft.densities().pseudo_densities().data, float)
    return values if len(values) == 1 else np.stack([values[0] + values[1], values[0] - values[1]])


def _set(density: Any, change: NDArray[np.float64]) -> None:
    """Add a change of total (and magnetisation), e/Å³, to GPAW's pseudo-density. Each is divided as its spins are."""
    values = density.nt_sR.data
    if len(values) == 2:
        moved = change[1] if len(change) == 2 else 0.0
        change = np.stack([(change[0] + moved) / 2, (change[0] - moved) / 2])
    values += change * BOHR**3


def passes(dft: Any) -> None:
    """The eigensolver at the density that is there, and the density of its orbitals."""
    loop = dft.scf_loop
    dft.potential, energies, _ = dft.pot_calc.calculate(dft.density, dft.ibzwfs, dft.potential.vHt_x)
    loop.occ_calc.initialize_reference_orbitals()
    electrons = dft.density.nvalence - dft.density.charge + dft.pot_calc.charge
    for _ in range(PASSES):
        energies = loop.eigensolver.iterate(
            dft.ibzwfs, dft.density, dft.potential, loop.hamiltonian, dft.pot_calc, energies
        )[2]
        dft.ibzwfs.calculate_occs(loop.occ_calc, electrons)
    dft.density.update(dft.ibzwfs)
    dft.potential, dft.energies, _ = dft.pot_calc.calculate(dft.density, dft.ibzwfs, dft.potential.vHt_x)


def _begun(atoms: Any, input: Path) -> Any:
    """The calculation of atoms before its first iteration. Raises DataError for one that is not started here."""
    calculator: Any = getattr(atoms, "calc", None)
    if not hasattr(calculator, "create_new_calculation"):
        raise DataError(f"{input}: `atoms` need a calculator, atoms.calc = gpaw.GPAW(…), of GPAW 26.7 or later")
    if calculator.results:
        raise has_run(input, "atoms.get_potential_energy()")
    if not all(atoms.pbc):
        raise DataError(f"{input}: GPAW is started in cells that are periodic along all vectors; set atoms.pbc = True")
    calculator.create_new_calculation(atoms)
    dft = calculator.dft
    if dft.params.mode.name != "pw" or dft.pot_calc.xc.type not in ("LDA", "GGA") or dft.density.ncomponents > 2:
        raise DataError(
            f"{input}: GPAW is started here with plane waves, LDA or GGA, and collinear spins; with others start it "
            "from atoms"
        )
    return dft


def _outcome(script: Path) -> Outcome:
    log = script.with_suffix(".out")
    status, seconds = run([sys.executable, script.name], script.absolute().parent, log)
    text = log.read_text(encoding="utf-8", errors="replace")
    energies = re.findall(r"^iteration \d+: (\S+) eV", text, re.MULTILINE)
    if status or not text.endswith("converged\n"):
        raise DataError(f"{script} ended with status {status} and did not converge; see {log}")
    return Outcome(len(energies), seconds, tuple(float(energy) for energy in energies))
