#!/usr/bin/env bash
# PySCF 2.14.0, NumPy 2.4.6
#
# Guess: `cubegen.Cube(cell, resolution=h)` puts points no farther apart than h along each lattice vector.
# Behaviour: it divides the diagonal of the matrix of lattice vectors by h, not their lengths. A primitive fcc cell has
#   zeros there and gets no points at all (writing it then ends in an IndexError); along the second vector of a
#   hexagonal cell the points are a ninth farther apart than asked.
# Seen: asked 0.3 bohr. fcc: 0 x 0 x 0 points; hexagonal: 19 x 17 x 32 points, steps [0.298, 0.333, 0.295]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pyscf==2.14.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from pyscf.pbc import gto
from pyscf.tools import cubegen

vectors = {
    "fcc": np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0.0]]),
    "hexagonal": np.array([[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]]),
}
asked, cubes = 0.3, {}
for name, a in vectors.items():
    cell = gto.M(atom="He 0 0 0", a=a, basis="gth-szv", pseudo="gth-pade", verbose=0)
    cubes[name] = cubegen.Cube(cell, resolution=asked)
points = {name: tuple(int(n) for n in (c.nx, c.ny, c.nz)) for name, c in cubes.items()}
steps = (np.linalg.norm(cubes["hexagonal"].box, axis=1) / points["hexagonal"]).round(3).tolist()
print(f"asked {asked} bohr. fcc: {' x '.join(map(str, points['fcc']))} points;", end=" ")
print(f"hexagonal: {' x '.join(map(str, points['hexagonal']))} points, steps {steps}")
if not (points["fcc"] == (0, 0, 0) and steps[1] > 1.1 * asked):
    sys.exit("the resolution of a cube now goes by the lengths of the lattice vectors")
PY
