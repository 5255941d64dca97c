"""Quantum ESPRESSO's charge-density.dat and charge-density.hdf5, in the folder ``prefix.save`` of a run.

The file has Fourier components in e/bohr³, total and magnetisation; cell, atoms and grid are in data-file-schema.xml
beside it, which must be there. Both belong to one run: pw.x takes the components by their order, |G|² and then h, k, l,
and ignores the Miller indices in the file. So a density is written into the folder of a run of the same atoms, which
``electron_maxstep = 0`` makes in a moment; ``startingpot = 'file'`` starts from it. PAW potentials need the run's
paw.txt, too.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.hdf5 import opened, replacing_hdf5
from edframe.io.records import numbers, read_records, require_same_atoms, write_records
from edframe.io.units import BOHR
from edframe.io.vasp import DENSITY
from edframe.io.volume import Volume

HDF5 = {1: ("rhotot_g",), 2: ("rhotot_g", "rhodiff_g"), 4: ("rhotot_g", "m_x", "m_y", "m_z")}
"""Names of the components in the HDF5 file, by their number."""

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Run:
    """What data-file-schema.xml says, or an input. cutoff: of |G|² in 1/bohr². reciprocal: vectors as rows, 1/bohr."""

    structure: Structure
    shape: tuple[int, int, int]
    cutoff: float
    gamma: bool
    spins: int

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        inverse: NDArray[Any] = np.linalg.inv(self.structure.lattice.matrix / BOHR)
        return 2 * np.pi * inverse.T


@dataclass(frozen=True)
class Waves:
    """Miller indices ``[g, 3]``, components ``[spin, g]`` in e/bohr³, and whether one of each pair ±G is left out."""

    miller: NDArray[np.int64]
    components: Complex
    gamma: bool


def read(path: Path) -> Volume:
    """The density in e/Å³ on the run's FFT grid, with its atoms.

    Raises DataError where data-file-schema.xml is not beside it, or either is damaged.
    """
    run = _run(path)
    waves = _read_hdf5(path) if path.suffix == ".hdf5" else _read_dat(path)
    sizes = np.array(run.shape)
    if (2 * np.abs(waves.miller) > sizes).any():
        raise DataError(f"{path} has waves that the grid of data-file-schema.xml has not: it is of another run")
    names = DENSITY[len(waves.components)]
    grid = Grid.of(run.structure.lattice.matrix, run.shape)
    fields = {}
    for name, components in zip(names, waves.components, strict=True):
        spectrum: Complex = np.zeros(run.shape, complex)
        if waves.gamma:
            spectrum[tuple((-waves.miller % sizes).T)] = components.conj()
        spectrum[tuple((waves.miller % sizes).T)] = components
        fields[name] = np.ascontiguousarray(np.fft.ifftn(spectrum, norm="forward").real) * BOHR**-3
    return Volume(run.structure, grid, fields, comment=f"{run.structure.formula}, Quantum ESPRESSO", unit="e/bohr³")


def write(path: Path, volume: Volume) -> None:
    """Write a density into the folder of a run of the same atoms; waves beyond the run's cutoff are left out.

    Raises DataError where there is no such run, for a grid too coarse for its waves, and for a magnetisation where the
    run has none.
    """
    write_for(path, volume, _run(path))


def write_for(path: Path, volume: Volume, run: Run) -> None:
    """As ``write``, for a run whose ``data-file-schema.xml`` need not be there. Raises DataError as ``write``."""
    if volume.quantity != "density" or tuple(volume.fields) not in DENSITY.values():
        raise DataError(
            f"{path}: {', '.join(volume.fields)} ({volume.quantity}) is not a density that pw.x can start from"
        )
    require_same_atoms(path, run.structure, volume.structure)
    if len(volume.fields) > run.spins:
        raise DataError(f"{path}: the run has no magnetisation, and the density has; make the run with nspin = 2 first")
    miller = _ordered(run)
    if (2 * np.abs(miller) >= np.array(volume.grid.shape)).any():
        raise DataError(
            f"{path}: the run has waves that a grid of {'×'.join(map(str, volume.grid.shape))} cannot hold; use its "
            f"own, by `--grid {' '.join(map(str, run.shape))}`"
        )
    spectra = [np.fft.fftn(values, norm="forward") for values in volume.fields.values()]
    places = tuple((miller % np.array(volume.grid.shape)).T)
    components: NDArray[Any] = np.stack([spectrum[places] for spectrum in spectra]) * BOHR**3
    waves = Waves(miller, components, run.gamma)
    if not np.isfinite(waves.components).all():
        raise DataError(f"{path} cannot be written: the density has values that are not finite")
    (_write_hdf5 if path.suffix == ".hdf5" else _write_dat)(path, waves, run.reciprocal)


def _run(path: Path) -> Run:
    place = path.with_name("data-file-schema.xml")
    if not place.is_file():
        raise DataError(
            f"{place} is not there: {path.name} has no atoms of its own and belongs into the folder prefix.save of "
            "a run (electron_maxstep = 0 makes one in a moment)"
        )
    try:
        output = ET.parse(place).getroot().find("output")
        assert output is not None
        cell = [_floats(output, f"atomic_structure/cell/a{k}") for k in (1, 2, 3)]
        atoms = output.findall("atomic_structure/atomic_positions/atom")
        symbols = ["".join(c for c in atom.attrib["name"][:2] if c.isalpha()).capitalize() for atom in atoms]
        positions = [[float(word) for word in (atom.text or "").split()] for atom in atoms]
        fft = output.find("basis_set/fft_grid")
        assert fft is not None
        shape = (int(fft.attrib["nr1"]), int(fft.attrib["nr2"]), int(fft.attrib["nr3"]))
        run = Run(
            Structure(Lattice(np.array(cell) * BOHR), symbols, np.array(positions) * BOHR, coords_are_cartesian=True),
            shape,
            2 * _floats(output, "basis_set/ecutrho")[0],  # hartree; |G|² = 2 E
            _says(output, "basis_set/gamma_only"),
            4 if _says(output, "magnetization/noncolin") else 2 if _says(output, "magnetization/lsda") else 1,
        )
    except (ET.ParseError, AssertionError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{place} cannot be read ({error or 'a part is missing'}); repeat the run") from error
    if not 0 < run.cutoff < 1e6 or not 0 < math.prod(run.shape) < 1e10 or min(run.shape) < 1 or not atoms:
        raise DataError(f"{place}: no atoms, or an absurd cutoff or grid; repeat the run")
    return run


def _floats(element: ET.Element, place: str) -> list[float]:
    return [float(word) for word in (element.findtext(place) or "").split()]


def _says(element: ET.Element, place: str) -> bool:
    return (element.findtext(place) or "").strip().lower() in ("true", ".true.")


def _ordered(run: Run) -> NDArray[np.int64]:
    """The Miller indices of a run in pw.x's order ``[g, 3]``; with gamma, one of each pair ±G."""
    axes = [np.arange(-(n // 2), (n + 1) // 2) for n in run.shape]
    miller = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    squares = ((miller @ run.reciprocal) ** 2).sum(axis=1)
    if run.gamma:  # h > 0, or h = 0 and k > 0, or h = k = 0 and l ≥ 0
        h, k, l = miller.T  # noqa: E741
        kept = (h > 0) | ((h == 0) & ((k > 0) | ((k == 0) & (l >= 0))))
        miller, squares = miller[kept], squares[kept]
    inside = squares <= run.cutoff * (1 + 1e-12)
    miller, squares = miller[inside], squares[inside].round(8)
    order = np.lexsort((miller[:, 2], miller[:, 1], miller[:, 0], squares))
    chosen: NDArray[np.int64] = miller[order]
    return chosen


def _read_dat(path: Path) -> Waves:
    records = read_records(path)
    if len(records) < 4:
        raise DataError(f"{path} has {len(records)} records, not 4 or more: it is not a charge density of pw.x")
    gamma, count, spins = (int(n) for n in numbers(path, records[0], "<i4", 3, "the numbers of waves and spins"))
    if spins not in HDF5 or len(records) != 3 + spins or count < 1:
        raise DataError(f"{path}: {spins} components and {count} waves in {len(records)} records do not agree")
    miller = numbers(path, records[2], "<i4", 3 * count, "the Miller indices").reshape(-1, 3).astype(np.int64)
    components = [numbers(path, record, "<c16", count, "a component") for record in records[3:]]
    return Waves(miller, np.stack(components).astype(complex), bool(gamma))


def _write_dat(path: Path, waves: Waves, reciprocal: NDArray[np.float64]) -> None:
    head = np.array([waves.gamma, len(waves.miller), len(waves.components)], "<i4")
    arrays: list[NDArray[Any]] = [head, reciprocal.astype("<f8"), waves.miller.astype("<i4"), *waves.components]
    write_records(path, (np.ascontiguousarray(array).tobytes() for array in arrays))


def _read_hdf5(path: Path) -> Waves:
    with opened(path) as file:
        try:
            gamma = file.attrs["gamma_only"]
            names = HDF5[int(file.attrs["nspin"])]
            miller = np.array(file["MillerIndices"][()], np.int64)
            components = [np.array(file[name][()], "<f8").view("<c16") for name in names]
            if miller.shape != (len(components[0]), 3) or len({len(each) for each in components}) > 1:
                raise ValueError("its arrays have other lengths")
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path} is not a charge density of pw.x, or damaged ({error})") from error
    waves = Waves(miller, np.stack(components), b"true" in np.bytes_(gamma).lower())
    if not np.isfinite(waves.components).all():
        raise DataError(f"{path} has values that are not finite: the calculation diverged, or it is damaged")
    return waves


def _write_hdf5(path: Path, waves: Waves, reciprocal: NDArray[np.float64]) -> None:
    with replacing_hdf5(path) as file:
        file.attrs["gamma_only"] = np.bytes_(b".TRUE." if waves.gamma else b".FALSE.")
        file.attrs["ngm_g"], file.attrs["nspin"] = np.int32(len(waves.miller)), np.int32(len(waves.components))
        file["MillerIndices"] = waves.miller.astype(np.int32)
        for k, vector in enumerate(reciprocal, start=1):
            file["MillerIndices"].attrs[f"bg{k}"] = vector
        for name, components in zip(HDF5[len(waves.components)], waves.components, strict=True):
            file[name] = np.ascontiguousarray(components).view(np.float64)
