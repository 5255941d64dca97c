"""Cycles and processor seconds of PySCF from densities with a smooth error of known size, and from its own start.

Periodic, PBE, GTH pseudopotentials, gth-dzvp, multigrid integration on 80³ points in 7.2 Å. The error is a random
factor of waves of about 1 Å; electrons are kept. In the last two rows the density has 48³ points, as models predict it.

    python benchmarks/restart_pyscf.py [Li2O] [H2O] [molecules]

molecules: water and ethanol that are not periodic, on the grid of the molecule's own start, 0.15 Å.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from ase.build import molecule
from edframe_pyscf.levels import PBE_DZVP
from edframe_pyscf.scf import build_cell
from pyscf import dft as molecular
from pyscf import gto
from pyscf.pbc import dft

from edframe.grid import Grid
from edframe.io.units import BOHR
from edframe.io.volume import Volume
from edframe.restart.fock import dm0, needs_of, sampled

SIDE = 7.2
SYSTEMS = {
    "Li2O": (["O", "Li", "Li"], [[0, 0, 0], [1.62, 0, 0], [-1.62, 0, 0]]),
    "H2O": (["O", "H", "H"], [[0, 0, 0], [0.757, 0.587, 0], [-0.757, 0.587, 0]]),
}
ERRORS = (0.0, 0.005, 0.01, 0.03)


def mean_field(cell):
    made = dft.RKS(cell).multigrid_numint()
    made.xc, made.conv_tol, made.conv_tol_grad = "pbe", 1e-9, 1e-5
    return made


def run(mf, start=None):
    """Cycles and seconds of the processor."""
    cycles = []
    mf.callback = lambda found: cycles.append(found["e_tot"])
    began = time.process_time()
    mf.kernel(dm0=start)
    return len(cycles), time.process_time() - began


def rough(density, grid, size):
    """``density [x, y, z]`` with an error of ``size`` (NMAE)."""
    waves = np.fft.fftn(np.random.default_rng(0).normal(size=density.shape))
    axes = [np.fft.fftfreq(n, side / n) for n, side in zip(grid.shape, np.diag(grid.vectors), strict=True)]
    lengths = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    noise = np.fft.ifftn(np.where(lengths > 0, waves * np.exp(-4 * lengths**2), 0)).real
    factor = size / (np.abs(noise * density).sum() / density.sum())
    found = density * (1 + factor * noise)
    return found * density.sum() / found.sum()


def molecules():
    """Without a cell, from the converged density on a grid and one 1% off."""
    for name in ("H2O", "CH3CH2OH"):
        atoms = molecule(name)
        mol = gto.M(
            atom=[(atom.symbol, atom.position) for atom in atoms], basis="gth-dzvp", pseudo="gth-pbe", verbose=0
        )

        def made(mol=mol):
            field = molecular.RKS(mol)
            field.xc, field.conv_tol = "pbe", 1e-9
            return field

        default = made()
        print(f"{name}  default          {run(default)[0]:3d} cycles {run(made())[1]:5.1f} s", flush=True)
        structure = needs_of(made()).structure
        shape = [int(np.ceil(side / 0.15)) for side in structure.lattice.abc]
        grid = Grid.of(structure.lattice.matrix, shape)
        shift = mol.atom_coords()[0] - structure.cart_coords[0] / BOHR
        points = (grid.fractions() @ structure.lattice.matrix).reshape(-1, 3) / BOHR + shift
        waves = default._numint.eval_ao(mol, points)
        exact = default._numint.eval_rho(mol, waves, default.make_rdm1()).reshape(shape)
        for label, size in (("0.0%", 0.0), ("1.0%", 0.01)):
            values = rough(exact, grid, size) if size else exact
            mf, began = made(), time.process_time()
            start = dm0(mf, Volume(structure, grid, {"total": values / BOHR**3}))
            spent = time.process_time() - began
            cycles, seconds = run(mf, start)
            print(f"{name}  {label:16s} {cycles:3d} cycles {seconds:5.1f} s, {spent:.1f} s before", flush=True)


if "molecules" in sys.argv[1:] or not sys.argv[1:]:
    molecules()
for name, (symbols, positions) in SYSTEMS.items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    cell = build_cell(symbols, np.array(positions, float) + SIDE / 2, np.eye(3) * SIDE, PBE_DZVP)
    default = mean_field(cell)
    print(f"{name}  default          {run(default)[0]:3d} cycles {run(mean_field(cell))[1]:5.1f} s", flush=True)
    structure = needs_of(default).structure
    shape = tuple(int(n) for n in cell.mesh)
    exact = np.reshape(default._numint.get_rho(cell, default.make_rdm1(), None), shape) / BOHR**3
    grid = Grid.of(structure.lattice.matrix, shape)
    coarse = Grid.of(structure.lattice.matrix, (48, 48, 48))
    starts = {f"{100 * size:.1f}%": (rough(exact, grid, size) if size else exact, grid) for size in ERRORS}
    starts["0.0%, 48 points"] = (sampled(exact, coarse.shape), coarse)
    starts["1.0%, 48 points"] = (sampled(rough(exact, grid, 0.01), coarse.shape), coarse)
    for label, (values, points) in starts.items():
        mf = mean_field(cell)
        began = time.process_time()
        start = dm0(mf, Volume(structure, points, {"total": values}))
        spent = time.process_time() - began
        cycles, seconds = run(mf, start)
        print(f"{name}  {label:16s} {cycles:3d} cycles {seconds:5.1f} s, {spent:.1f} s before", flush=True)
