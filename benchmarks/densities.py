"""Densities on a grid from density matrices: edframe-pyscf's product form against PySCF's ``pbc_eval_gto``.

    OMP_NUM_THREADS=1 python benchmarks/densities.py [--grid 48] [--configurations 12]

Both evaluate the same shipped Li–O–Li configurations in one process, in turn, so that both meet the same load.
PySCF evaluates the orbitals in blocks of points, as its own integration does, and contracts them with the density
matrix by its own ``rho = Σ_i (Dφ)_i φ_i``. Medians, their ratio and the largest disagreement are printed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyscf
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from edframe_pyscf.li_o_li import grid_of, labels
from edframe_pyscf.matrices import unpack
from edframe_pyscf.orbitals import density_on_grid
from numpy.typing import NDArray
from pyscf.data.nist import BOHR
from pyscf.pbc.dft import numint

Array = NDArray[np.float64]
BLOCK = 48 * 48 * 8
"""Points PySCF evaluates at once: 41 orbitals of them are 6 MB."""


def timed(evaluate: Callable[[], Array]) -> tuple[float, Array]:
    """Seconds and result."""
    start = time.perf_counter()
    result = evaluate()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, default=48, help="points per axis")
    parser.add_argument("--configurations", type=int, default=12, help="how many of the 625")
    arguments = parser.parse_args()

    grid = grid_of(arguments.grid, 3)
    points = grid.coordinates().reshape(-1, 3) / BOHR
    integrator = numint.NumInt()

    def by_pyscf(cell: object, matrix: Array) -> Array:
        density = np.empty(len(points))
        for start in range(0, len(points), BLOCK):
            orbitals = integrator.eval_ao(cell, points[start : start + BLOCK])
            density[start : start + BLOCK] = integrator.eval_rho(cell, orbitals, matrix, hermi=1)
        return density.reshape(grid.shape) / BOHR**3

    matrices = labels("shipped").matrices
    ours, theirs, errors = [], [], []
    rows = np.linspace(0, 624, arguments.configurations + 1).astype(int)
    for count, row in enumerate(rows):
        positions = geometry.positions(*geometry.pairs()[row])
        cell = scf.build_cell(geometry.SPECIES, positions, grid.vectors, geometry.LEVEL)
        matrix = unpack(matrices[row])
        seconds_ours, density = timed(lambda cell=cell, matrix=matrix: density_on_grid(cell, matrix, grid))
        seconds_theirs, reference = timed(lambda cell=cell, matrix=matrix: by_pyscf(cell, matrix))
        errors.append(np.abs(density - reference).sum() / reference.sum())
        if count:  # the first of each is a warm-up
            ours.append(seconds_ours)
            theirs.append(seconds_theirs)

    print(f"{platform.processor() or platform.machine()}, PySCF {pyscf.__version__}, NumPy {np.__version__}, ", end="")
    print(f"{pyscf.lib.num_threads()} OpenMP thread(s)")
    print(f"{arguments.configurations} configurations of {cell.nao} orbitals on {arguments.grid}³, in turn")
    for name, seconds in (("product form", ours), ("pbc_eval_gto", theirs)):
        print(f"{name:<14} median {1e3 * statistics.median(seconds):9.1f} ms", end="")
        print(f"   (fastest {1e3 * min(seconds):.1f}, slowest {1e3 * max(seconds):.1f})")
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"ratio          median {statistics.median(ratios):9.0f}")
    print(f"largest difference ∫|Δρ|/∫ρ: {max(errors):.1e}")


if __name__ == "__main__":
    main()
