"""Bands of PySCF at a fixed density: one Fock matrix of the density at each k-point, and no cycle."""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io.units import HARTREE
from edframe.io.volume import Volume
from edframe.restart.bands import Bands
from edframe.restart.fock import fock, needs_of, semilocal, volume_of
from edframe.restart.pyscf import PySCF
from edframe.restart.start import Start, fitted

__all__ = ["bands"]


def bands(mf: Any, density: Any, kpts_band: ArrayLike) -> Bands:
    """Energies at ``kpts_band`` in the potential of a density, as ``mf.get_bands`` has them after an SCF.

    mf: a restricted, periodic mean field of PySCF, not yet run, with a functional of the density and its gradient.
    density: as of ``edframe.restart.fock.dm0``. kpts_band: ``[k, 3]`` in 1/bohr, as ``get_bands`` takes them.

    Raises DataError for another mean field, other atoms, and another number of electrons.
    """
    began = time.process_time()
    needs = needs_of(mf)
    volume, name = volume_of(density)
    return replace(
        _bands(mf, fitted(Start(volume, Level()), needs, name)[0], kpts_band), seconds=time.process_time() - began
    )


def of_script(density: Volume, input: Path, code: PySCF) -> Bands:
    """Bands of a script that makes ``mf`` and ``kpts_band``. density: that fits ``code.needs(input)``."""
    began = time.process_time()
    made = code.made(input)
    if made.get("kpts_band") is None:
        raise DataError(
            f"{input} makes no `kpts_band`, the k-points of the bands in 1/bohr, as mf.get_bands takes them; for "
            "example `kpts_band = cell.make_kpts([4, 4, 4])`, or those of a path by `cell.get_abs_kpts(…)`"
        )
    return replace(_bands(made["mf"], density, made["kpts_band"]), seconds=time.process_time() - began)


def _bands(mf: Any, density: Volume, kpts_band: ArrayLike) -> Bands:
    points = np.array(kpts_band, float)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise DataError(f"kpts_band has the shape {points.shape}; give an array [k, 3] in 1/bohr")
    if not hasattr(mf.mol, "lattice_vectors"):
        raise DataError("bands are those of a periodic cell, and this is a molecule")
    if needs_of(mf).spins != 1:
        raise DataError("bands with spin are not computed here; use a restricted mean field")
    if not semilocal(mf):
        raise DataError(
            f"bands of {getattr(mf, 'xc', '') or 'Hartree-Fock'} need orbitals, which a density does not hold; use "
            "a functional of the density and its gradient"
        )
    at = importlib.import_module("pyscf.pbc.dft").KRKS(mf.cell, points).multigrid_numint()
    at.xc, at.verbose = mf.xc, 0
    if (mesh := getattr(mf._numint, "mesh", None)) is not None:
        at._numint.mesh = mesh
    energies, _ = at.eig(fock(at, density), at.get_ovlp())
    electrons = float(mf.mol.tot_electrons())
    whole = mf.mol.nelectron % 2 == 0 and not getattr(mf, "sigma", None)
    return Bands(
        points, HARTREE * np.array(energies), electrons, mf.mol.nelectron // 2 if whole else None, 0.0, "1/bohr",
        np.full(len(points), 1 / len(points)),
    )  # fmt: skip
