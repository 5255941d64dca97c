"""Iterations and processor seconds of GPAW from parts of its own converged density: what the PAW occupancies are worth.

GPAW's pseudo-density and its occupancies, of the converged calculation or of free atoms; then five passes of the
eigensolver at fixed density, and its SCF. Needs GPAW (``pip install 'edframe[gpaw]'``) and its setups (gpaw-data).
"""

from __future__ import annotations

import sys
import time

import numpy as np
from ase.build import bulk, molecule
from gpaw.dft import DFT, PW

from edframe.io.units import BOHR
from edframe.restart.gpaw import passes


def system(name):
    if name == "Si8":
        return bulk("Si", cubic=True), {"kpts": (2, 2, 2)}
    atoms = molecule("H2O")
    atoms.set_cell([6, 6, 6])
    atoms.center()
    atoms.pbc = True
    return atoms, {}


def timed(dft):
    """Seconds of the passes of the eigensolver."""
    began = time.process_time()
    passes(dft)
    return time.process_time() - began


def converge(dft, label, before=0.0):
    began = time.process_time()
    for step in dft.iconverge():
        count = step.niter
    spent = time.process_time() - began
    print(f"{label:50s} {count:3d} iterations {spent:5.1f} s, {before:.1f} s before", flush=True)


for name in sys.argv[1:] or ("H2O", "Si8"):
    atoms, more = system(name)

    def made(atoms=atoms, more=more):
        return DFT(atoms, mode=PW(300), xc="PBE", txt=None, converge=False, **more)

    default = made()
    converge(default, f"{name}: default")
    smooth, occupancies = default.density.nt_sR.data.copy(), default.density.D_asii.data.copy()
    whole = default.densities().pseudo_densities().data
    for label, parts in {
        "pseudo-density and occupancies": (smooth, occupancies),
        "pseudo-density, occupancies of atoms": (smooth, None),
        "occupancies, pseudo-density of atoms": (None, occupancies),
        "density as read from .gpw, occupancies of atoms": (whole, None),
    }.items():
        dft = made()
        if parts[0] is whole:
            dft.density.nt_sR.data += (whole - dft.densities().pseudo_densities().data) * BOHR**3
        elif parts[0] is not None:
            dft.density.nt_sR.data[:] = parts[0]
        if parts[1] is not None:
            dft.density.D_asii.data[:] = parts[1]
        dft.density.normalize(dft.pot_calc.charge)
        converge(dft, f"{name}: {label}", timed(dft))
    if name == "H2O":
        noise = np.random.default_rng(0).normal(size=smooth.shape[1:])
        waves = np.fft.fftn(noise)
        lengths = sum(axis**2 for axis in np.meshgrid(*3 * [np.fft.fftfreq(len(noise), 6 / len(noise))]))
        noise = np.fft.ifftn(np.where(lengths > 0, waves * np.exp(-4 * lengths), 0)).real
        dft = made()
        factor = 0.01 / (np.abs(noise * smooth[0]).sum() / smooth.sum())
        dft.density.nt_sR.data[:] = smooth * (1 + factor * noise)
        dft.density.D_asii.data[:] = occupancies
        dft.density.normalize(dft.pot_calc.charge)
        converge(dft, f"{name}: pseudo-density 1% off, and occupancies", timed(dft))
