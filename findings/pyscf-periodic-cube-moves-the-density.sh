#!/usr/bin/env bash
# PySCF 2.14.0, ASE 3.29.0, pymatgen-core 2026.10.16, NumPy 2.4.6
#
# Guess: a cube of a periodic cell starts at the cell's origin, as the grid of the calculation does; readers agree on
#   where the atom is in it.
# Behaviour: PySCF's cubegen lays the box around the middle of the atoms and says so in the origin of the header. ASE
#   puts atoms and data into one cell and keeps the origin apart, so the atom and its electrons are apart by it;
#   pymatgen moves the atoms instead and gives them other coordinates than the calculation had. Two densities of one
#   cell whose atoms moved lie on different grids, and their difference means nothing.
# Seen: He at 0.2 0.2 0.2 of the cell, the density's maximum at 0.5 0.5 0.5 of the data. Atom by ASE at 0.2, by pymatgen
#   at 0.5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pyscf==2.14.0 ase==3.29.0 pymatgen-core==2026.10.16 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from ase.io.cube import read_cube_data
from pymatgen.io.common import VolumetricData
from pyscf.pbc import dft, gto
from pyscf.tools import cubegen

n = 20
cell = gto.M(atom="He 1 1 1", a=np.eye(3) * 5, basis="gth-szv", pseudo="gth-pade", mesh=[n] * 3, verbose=0)
dm = dft.RKS(cell).run().make_rdm1()
cubegen.density(cell, "he.cube", dm, nx=n, ny=n, nz=n)
values, atoms = read_cube_data("he.cube")
maximum = np.array(np.unravel_index(values.argmax(), values.shape)) / n
by_ase = atoms.get_scaled_positions()[0]
by_pymatgen = VolumetricData.from_cube("he.cube").structure.frac_coords[0]
print("He at 0.2 0.2 0.2 of the cell, the density's maximum at", *maximum, "of the data.", end=" ")
print(f"Atom by ASE at {by_ase[0]:.1f}, by pymatgen at {by_pymatgen[0]:.1f}")
if not (np.allclose(maximum, 0.5) and np.allclose(by_ase, 0.2, atol=1e-3) and np.allclose(by_pymatgen, 0.5, atol=1e-3)):
    sys.exit("a periodic cube now starts at the cell's origin, or the readers agree")
PY
