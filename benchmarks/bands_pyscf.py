"""Bands of PySCF at a fixed density: their error against that of the density, and seconds, beside cycles and get_bands.

python benchmarks/bands_pyscf.py

Si and LiF in their primitive cells, LDA, 2×2×2 k-points, bands at 12 points from Γ to X; the density of the converged
cycles times smooth noise of 0.3 to 3% NMAE. Each row: coulomb_error in eV per electron; of the valence energies less a
shift of all, root mean square and largest error in meV, and the former over √coulomb_error in √eV, whose range for a
kind of crystal ``edframe bands`` takes; seconds of the processor.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from pyscf.pbc import dft, gto

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "results"))
from restarts import noisy

from edframe.grid import Grid
from edframe.io import Volume
from edframe.io.units import BOHR, HARTREE
from edframe.metrics.standard import coulomb_error
from edframe.restart.fock import needs_of
from edframe.restart.pyscf_bands import bands

SYSTEMS = {
    "Si": ("Si 0 0 0; Si 1.3575 1.3575 1.3575", 5.43, 30),
    "LiF": ("Li 0 0 0; F 2.013 2.013 2.013", 4.026, 36),
}
LEVELS = (0.3, 1.0, 3.0)


def main() -> None:
    import torch

    for name, (atoms, side, points) in SYSTEMS.items():
        cell = gto.M(
            atom=atoms, a=side / 2 * (1 - np.eye(3)), basis="gth-szv", pseudo="gth-pade", mesh=[points] * 3, verbose=0
        )
        mf = dft.KRKS(cell, cell.make_kpts([2, 2, 2]), xc="lda,vwn").multigrid_numint()
        path = cell.get_abs_kpts(np.linspace([0, 0, 0], [0.5, 0, 0.5], 12))
        began = time.process_time()
        mf.kernel()
        cycles = time.process_time() - began
        exact = HARTREE * np.array(mf.get_bands(path)[0])
        after = time.process_time() - began - cycles
        structure = needs_of(mf).structure
        values = np.reshape(mf._numint.get_rho(cell, mf.make_rdm1(), None, mf.kpts), cell.mesh) / BOHR**3
        own = Volume(structure, Grid.of(structure.lattice.matrix, values.shape), {"total": values})
        filled = cell.nelectron // 2
        print(f"{name}: {cycles:.2f} s of cycles, {after:.2f} s of get_bands")
        for seed in range(3):
            for level in (0.0, *LEVELS):
                density = noisy(own, level, np.random.default_rng(seed)) if level else own
                made = bands(mf, density, path)
                pair = [torch.from_numpy(v.fields["total"])[None, None] for v in (density, own)]
                energy = float(coulomb_error(*pair, own.grid)[0])
                off = 1e3 * (made.energies - exact)[:, :filled]
                off -= off.mean()
                ratio = 1e-3 * off.std() / energy**0.5 if level else 0.0
                print(f"  {level:3g}%  {energy:8.2e} eV/e  rms {off.std():7.2f}  largest {np.abs(off).max():7.2f} meV  "
                      f"ratio {ratio:.2f}  {made.seconds:.2f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
