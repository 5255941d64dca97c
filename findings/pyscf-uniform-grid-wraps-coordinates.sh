#!/usr/bin/env bash
# PySCF 2.14.0, NumPy 2.4.6
#
# Guess: `cell.get_uniform_grids()` gives the points i/n of the cell with coordinates from 0 to the cell's edge, where
#   the atoms are.
# Behaviour: by default (`wrap_around=True`) the second half of each axis comes with a lattice vector taken off, in the
#   order of an FFT's frequencies. Anything periodic is right; a moment or a distance to an atom is not: an atom in the
#   middle of the cell has half its electrons a whole cell away. The grids of an SCF object (`mf.grids.coords`) are
#   wrapped, too.
# Seen: He at 2.500 A in a cell of 5 A; centre of its electrons with the points as given: -0.98 A, with
#   wrap_around=False: 2.50 A
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pyscf==2.14.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from pyscf.data.nist import BOHR
from pyscf.pbc import dft, gto

cell = gto.M(atom="He 2.5 2.5 2.5", a=np.eye(3) * 5, basis="gth-szv", pseudo="gth-pade", mesh=[20] * 3, verbose=0)
mf = dft.RKS(cell).run()
density = dft.numint.NumInt().get_rho(cell, mf.make_rdm1(), mf.grids)
assert np.allclose(mf.grids.coords, cell.get_uniform_grids())
centres = [float(cell.get_uniform_grids(wrap_around=w)[:, 0] @ density / density.sum() * BOHR) for w in (True, False)]
print("He at 2.500 A in a cell of 5 A; centre of its electrons with the points as given:", end=" ")
print(f"{centres[0]:.2f} A, with wrap_around=False: {centres[1]:.2f} A")
if not (abs(centres[0] - 2.5) > 1 and abs(centres[1] - 2.5) < 0.02):
    sys.exit("the uniform grid of a cell now lies in the cell by default")
PY
