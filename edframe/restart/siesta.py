"""SIESTA: ``Rho.IN.grid.nc``, the whole density on its mesh, and ``SCF.Read.Charge.NetCDF``.

SIESTA also reads ``DeltaRho.IN.grid.nc``, the difference from its own atoms, which would be known from a run of SIESTA
alone. It ends with an error where mesh or spins differ (Src/iogrid_netcdf.F90, Src/dhscf.F), so the mesh is fixed in
the input. It must have been built with NetCDF.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import shutil
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.level import Level
from edframe.errors import DataError, imported
from edframe.io.units import BOHR
from edframe.io.volume import Volume
from edframe.restart.code import Converged, Needs, Outcome, Written, require_new
from edframe.restart.process import run

FILE = "Rho.IN.grid.nc"
"""SIESTA looks for it where it is run."""

CUTOFF = 300.0
"""Ry, of the mesh by default (SIESTA 4.1 and later)."""

PROGRAM = "siesta"

SLACK = 1e-4
"""SIESTA's density does not hold all electrons on its mesh (7.99991 of 8 in H2O at 60 Ry), and SIESTA does not scale
it: scaled here, it takes 6 iterations where SIESTA's own file takes 2."""


SERIAL = (
    "a SIESTA without MPI reads the second spin of a density into the first (Src/iogrid_netcdf.F90), starts wrong and "
    "can end in another spin state; use one with MPI, or start a calculation with spin from atoms"
)

HEADS = {
    ".psml": r'total-valence-charge="\s*([\d.]+)',
    ".psf": r"\A(?:.*\n){3}(?:\s+\S+){5}\s+([\d.]+)",
}
"""Endings of pseudopotentials, and where in each the valence electrons are."""


class Siesta:
    """SIESTA, by its fdf."""

    name = "siesta"
    title = "SIESTA"

    def needs(self, input: Path, out: Path | None = None, *, may_run: bool = False) -> Needs:
        return _Fdf(input).needs

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        given = _Fdf(input)
        folder = out or input.parent
        file, target = folder / FILE, folder / f"{input.stem}.restart{input.suffix or '.fdf'}"
        require_new((file, target), force)
        folder.mkdir(parents=True, exist_ok=True)
        notes = [f"SIESTA looks for {FILE} in the folder where it is run, and must be built with NetCDF"]
        fields = list(density.fields.values())
        if given.spins == 2:
            if len(fields) == 1:
                notes.append("the density has no magnetisation, so SIESTA starts unpolarised")
                fields.append(np.zeros_like(fields[0]))
            notes.append(SERIAL)
            fields = [(fields[0] + fields[1]) / 2, (fields[0] - fields[1]) / 2]
        if given.needs.electrons is None:
            notes.append("the number of electrons is not known without the pseudopotentials (.psml, .psf) beside the "
                         "input, so that the density is not scaled to it")  # fmt: skip
        _write(file, density, fields)
        for potential in given.potentials:
            if not (folder / potential.name).exists():
                shutil.copyfile(potential, folder / potential.name)
        mesh = "[" + " ".join(map(str, density.grid.shape)) + "]"
        changes = {"SCF.Read.Charge.NetCDF": "true", "Mesh.Sizes": mesh}
        target.write_text(given.changed(changes), encoding="utf-8")
        return Written((file,), target, changes, folder.absolute(), tuple(notes))

    def run(self, written: Written) -> Outcome:
        log = written.input.with_suffix(".out")
        status, seconds = run([PROGRAM, written.input.name], written.folder, log)
        text = log.read_text(encoding="utf-8", errors="replace")
        energies = re.findall(r"^\s+scf:\s+\d+\s+\S+\s+(\S+)", text, re.MULTILINE)
        if status or "SCF cycle converged" not in text:
            raise DataError(f"{PROGRAM} ended with status {status} and did not converge; see {log}")
        if why := self.check(text):
            raise DataError(f"{why}; see {log}")
        return Outcome(len(energies), seconds, tuple(float(energy) for energy in energies))

    def converged(self, input: Path, folder: Path) -> Converged:
        raise DataError("SIESTA's own start is not run from here; give a density that it wrote (SaveRho)")

    def check(self, log: str) -> str | None:
        if f"Reading Rho from file: {FILE}" not in log:
            return f"SIESTA does not say that it read {FILE}"
        if "Running in serial mode" in log and re.search(r"Number of spin components\s*=\s*2", log):
            return SERIAL
        return None


class _Fdf:
    """An input of SIESTA, read by sisl."""

    def __init__(self, path: Path) -> None:
        sisl = imported("sisl", "formats", f"{path}")
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self._file = sisl.io.siesta.fdfSileSiesta(path)

    @cached_property
    def needs(self) -> Needs:
        charge = float(self._get("NetCharge") or 0.0)
        valence = {tag: self._valence(tag) for tag in set(self._tags)}
        known = [valence[tag] for tag in self._tags]
        electrons = None if None in known else sum(count for count in known if count is not None) - charge
        kind, authors = (str(self._get(f"XC.{word}") or default).lower() for word, default in (
            ("functional", "lda"), ("authors", "ca")))  # fmt: skip
        functional = "lda" if kind in ("lda", "lsd") else authors
        return Needs(self.structure, self.shape, self.spins, electrons, charge, Level(functional), SLACK)

    @property
    def spins(self) -> int:
        asked = str(self._get("Spin") or "").lower()
        if asked.startswith(("non", "spin-orbit", "so")):
            raise DataError(f"{self.path}: a noncollinear calculation is not started here; use a collinear one")
        old = str(self._get("SpinPolarized") or "").strip(".").lower()
        return 2 if asked.startswith(("polarized", "collinear", "p")) or old[:1] in ("t", "y") else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Mesh.Sizes, else the first product of 2, 3 and 5, and even, that holds all waves up to Mesh.Cutoff."""
        given = self._get("Mesh.Sizes")
        if given is not None and len(given) == 3:
            return tuple(int(n) for n in given)  # type: ignore[return-value]
        cutoff = CUTOFF
        for name in ("Mesh.Cutoff", "MeshCutoff"):
            if self._get(name) is not None:
                cutoff = float(self._file.get(name, unit="Ry"))
        points = []
        for side in self.structure.lattice.abc:
            n = math.ceil(2 * math.sqrt(cutoff) * side / BOHR / (2 * math.pi))
            while n % 2 or set(_primes(n)) - {2, 3, 5}:
                n += 1
            points.append(n)
        return tuple(points)  # type: ignore[return-value]

    @cached_property
    def structure(self) -> Structure:
        geometry = self._geometry
        return Structure(
            Lattice(geometry.lattice.cell), geometry.atoms.Z.tolist(), geometry.xyz, coords_are_cartesian=True
        )

    def changed(self, changes: dict[str, str]) -> str:
        """The text with options set in front, where the first counts, and other values of the same as comments."""
        names = "|".join(re.escape(name).replace(r"\.", "[._-]?") for name in changes)
        kept = re.sub(rf"(?im)^([ \t]*(?:{names})\b.*)$", r"# \1", self.text)
        return "".join(f"{name} {value}\n" for name, value in changes.items()) + kept

    @cached_property
    def _geometry(self) -> Any:
        with warnings.catch_warnings(action="ignore"):
            try:
                return self._file.read_geometry()
            except Exception as error:  # sisl raises whatever it met
                raise DataError(f"{self.path}: sisl cannot read its cell and atoms ({error})") from error

    @property
    def _tags(self) -> list[str]:
        """The label of each atom's species."""
        return [str(atom.tag) for atom in self._geometry.atoms]

    @property
    def potentials(self) -> list[Path]:
        """Files of the pseudopotentials beside the input."""
        paths = (self.path.parent / f"{tag}{ending}" for tag in set(self._tags) for ending in HEADS)
        return [path for path in paths if path.is_file()]

    def _valence(self, tag: str) -> float | None:
        """Electrons of a pseudopotential beside the input."""
        for ending, pattern in HEADS.items():
            path = self.path.parent / f"{tag}{ending}"
            if path.is_file() and (found := re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))):
                return float(found[1])
        return None

    def _get(self, name: str) -> Any:
        with warnings.catch_warnings(action="ignore"):
            return self._file.get(name)


def _write(path: Path, density: Volume, fields: list[Any]) -> None:
    """As SIESTA writes its grids: NetCDF 3, single precision, e/bohr³, x fastest."""
    netcdf = importlib.import_module("netCDF4")
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with netcdf.Dataset(str(temporary), "w", format="NETCDF3_64BIT_OFFSET") as file:
            for name, size in zip(
                ("xyz", "abc", "spin", "n1", "n2", "n3"), (3, 3, len(fields), *density.grid.shape), strict=True
            ):
                file.createDimension(name, size)
            file.createVariable("cell", "f4", ("abc", "xyz"))[:] = density.grid.vectors / BOHR
            values = file.createVariable("gridfunc", "f4", ("spin", "n3", "n2", "n1"))
            for index, field in enumerate(fields):
                values[index] = (field * BOHR**3).T
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _primes(n: int) -> list[int]:
    found, prime = [], 2
    while n > 1:
        while n % prime == 0:
            found.append(prime)
            n //= prime
        prime += 1
    return found
