#!/usr/bin/env bash
# cclib 1.8.1, ASE 3.29.0, NumPy 2.4.6
#
# Guess: cclib's `read_from_cube` reads the three voxel vectors of a cube, or refuses a cell that is not a box along x,
#   y and z.
# Behaviour: it keeps one number of each vector (x of the first, y of the second, z of the third) and goes on. The
#   electrons that `integrate` counts in a rhombohedral cell are wrong, and in any tilted cell the points are elsewhere.
# Seen: 2 electrons in a rhombohedral cell: ASE 2.000, cclib 0.667
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check cclib==1.8.1 ase==3.29.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from ase import Atoms
from ase.io.cube import read_cube_data, write_cube
from cclib.method.volume import read_from_cube

r, h = 4.0, 3.0
angles = np.deg2rad([0, 120, 240])
cell = np.stack([r * np.cos(angles), r * np.sin(angles), np.full(3, h)], axis=1)
atoms = Atoms("He", cell=cell, pbc=True)
bohr = 0.52917721
density = np.full((12, 12, 12), 2 / (atoms.get_volume() / bohr**3))
with open("he.cube", "w") as file:
    write_cube(file, atoms, density)
values, read = read_cube_data("he.cube")
counts = values.mean() * read.get_volume() / bohr**3, float(read_from_cube("he.cube").integrate())
print(f"2 electrons in a rhombohedral cell: ASE {counts[0]:.3f}, cclib {counts[1]:.3f}")
expected = 2 * np.prod(np.diag(cell)) / np.linalg.det(cell)
if not (abs(counts[0] - 2) < 1e-3 and abs(counts[1] - expected) < 1e-3 and abs(counts[1] - 2) > 1):
    sys.exit("cclib now uses all of the voxel vectors")
PY
