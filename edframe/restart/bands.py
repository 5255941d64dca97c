"""Bands of pw.x at a fixed density: no SCF, one diagonalisation for each k-point.

A calculation 'bands' or 'nscf' reads ``data-file-schema.xml`` and the density of an SCF run. A run of no steps writes
both; then the density is replaced.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.io.espresso import write
from edframe.io.units import HARTREE
from edframe.io.volume import Volume
from edframe.restart.espresso import PROGRAM
from edframe.restart.espresso_input import PwInput
from edframe.restart.outlook import Kind
from edframe.restart.process import run

CARDS = "ATOMIC_SPECIES|ATOMIC_POSITIONS|CELL_PARAMETERS|OCCUPATIONS|CONSTRAINTS|ATOMIC_FORCES|ADDITIONAL_K_POINTS"
ONE_POINT = "K_POINTS automatic\n1 1 1 0 0 0\n"
"""Γ alone; not ``K_POINTS gamma``, with which pw.x uses half of the waves."""


SPREAD: Mapping[Kind, tuple[float, float]] = {"covalent crystal": (0.35, 0.92), "ionic crystal": (2.0, 8.7)}
"""√eV: root mean square error of valence energies, less their mean, over the square root of the Coulomb energy of the
density's error per electron: least and largest, of densities with smooth noise of 0.1 to 3% NMAE. Si8 and Si
(``benchmarks/band_error.py``, ``benchmarks/bands_pyscf.py``); LiF, whose 2s and 2p levels of F move apart. An energy is
of second order in the error of a density, a band of first: hence the square root."""


def expected_error(coulomb: float | None, kind: Kind) -> str:
    """The error of bands that a density's error makes, in a sentence. coulomb: its energy, eV per electron."""
    if coulomb is None:
        return "expected error of the bands: not known, because the error of the density is not"
    if kind not in SPREAD:
        return f"expected error of the bands: not known, because it has not been measured for a {kind}"
    low, high = (1e3 * each * coulomb**0.5 for each in SPREAD[kind])
    return (
        f"expected error of the valence bands, less a shift of all: {low:.0f} to {high:.0f} meV, the largest two to "
        f"three times that (by the model's Coulomb error on its validation samples, {coulomb:.1e} eV per electron; as "
        f"smooth errors make it in {'Si' if kind == 'covalent crystal' else 'LiF'})"
    )


@dataclass(frozen=True)
class Bands:
    """points: k ``[k, 3]``, in units of ``unit``. energies ``[k, band]`` in eV. electrons: of the cell. occupied: bands
    that a closed shell fills; None where there is none. seconds: of the processor. weights: of the points ``[k]``,
    whose sum is 1; None where these are a path and no mesh."""

    points: NDArray[np.float64]
    energies: NDArray[np.float64]
    electrons: float
    occupied: int | None
    seconds: float
    unit: str = "2π/alat"
    weights: NDArray[np.float64] | None = None

    @property
    def gap(self) -> tuple[float, float] | None:
        """Highest filled and lowest empty energy, eV; None for a metal, an open shell, or without empty bands."""
        if self.occupied is None or self.occupied >= self.energies.shape[1]:
            return None
        low, high = float(self.energies[:, : self.occupied].max()), float(self.energies[:, self.occupied :].min())
        return (low, high) if high > low else None


def bands(density: Volume, input: Path, out: Path) -> Bands:
    """Bands of a density on the grid of ``input``, an input of pw.x for 'bands' or 'nscf', computed in ``out``.

    Raises DataError for another calculation, for spin, and where pw.x fails.
    """
    given = PwInput.read(input)
    kind = given.variables["control"].get("calculation", "scf")
    if kind not in ("bands", "nscf"):
        raise DataError(f"{input} is an input for '{kind}'; set calculation = 'bands' or 'nscf'")
    if given.spins != 1:
        raise DataError(f"{input}: bands with spin are not computed here; use nspin = 1")
    out.mkdir(parents=True, exist_ok=True)
    save = out.absolute() / f"{given.prefix}.save"
    places = {"control.outdir": f"'{out.absolute()}'", "control.pseudo_dir": f"'{given.pseudo_dir}'"}
    zero = {"control.calculation": "'scf'", "electrons.electron_maxstep": "0", "electrons.startingpot": "'atomic'"}
    first = _written(out / f"{input.stem}.zero.in", one_point(given.changed({**places, **zero})))
    _, before = run([PROGRAM, "-in", first.name], out, first.with_suffix(".out"))
    schema = save / "data-file-schema.xml"
    if not schema.is_file():
        raise DataError(f"{PROGRAM} wrote no {schema}; see {first.with_suffix('.out')}")
    for name in ("charge-density.dat", "charge-density.hdf5"):
        if (save / name).is_file():
            write(save / name, density)
    second = _written(out / f"{input.stem}.bands.in", given.changed(places))
    status, seconds = run([PROGRAM, "-in", second.name], out, second.with_suffix(".out"))
    log = second.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
    if status or "JOB DONE" not in log:
        raise DataError(f"{PROGRAM} ended with status {status}; see {second.with_suffix('.out')}")
    metal = "occupations" in given.variables["system"] and given.variables["system"]["occupations"] != "fixed"
    whole = abs(given.electrons / 2 - round(given.electrons / 2)) < 1e-9 and not metal
    made = read_bands(schema, given.electrons, round(given.electrons / 2) if whole else None, before + seconds)
    return replace(made, weights=None) if kind == "bands" else made


def read_bands(schema: Path, electrons: float, occupied: int | None, seconds: float) -> Bands:
    """The bands in a ``data-file-schema.xml``. Raises DataError where it has none."""
    try:
        listed = ET.parse(schema).getroot().findall("output/band_structure/ks_energies")
        points = [each.find("k_point") for each in listed]
        places = [[float(word) for word in (each.text or "").split()] for each in points if each is not None]
        weights = np.array([float(each.get("weight", 1)) for each in points if each is not None])
        energies = HARTREE * np.array([[float(word) for word in (each.findtext("eigenvalues") or "").split()]
                                       for each in listed])  # fmt: skip
        if not energies.size:
            raise ValueError("it has no bands")
        return Bands(np.array(places).reshape(-1, 3), energies, electrons, occupied, seconds,
                     weights=weights / weights.sum())  # fmt: skip
    except (ET.ParseError, OSError, ValueError) as error:
        raise DataError(f"{schema} cannot be read ({error})") from error


def one_point(text: str) -> str:
    """An input with Γ as its only k-point."""
    kept = re.sub(rf"(?ims)^\s*K_POINTS\b.*?(?=^\s*(?:{CARDS})\b|\Z)", "", text)
    return kept.rstrip("\n") + "\n" + ONE_POINT


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
