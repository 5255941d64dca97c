#!/usr/bin/env bash
# ASE 3.29.0, sisl 0.20.0, NumPy 2.4.6
#
# Guess: a cube holds real numbers, so a complex orbital is refused, or the two libraries drop the same part of it.
# Behaviour: ASE writes the modulus and sisl the real part, neither with a warning or a word in the file. Of one Bloch
#   wave one cube is flat, the other a cosine.
# Seen: exp(2 pi i x) at x = 0, 1/16, 2/16, 4/16. ASE: [1.0, 1.0, 1.0, 1.0], sisl: [1.0, 0.924, 0.707, 0.0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0 sisl==0.20.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import sisl
from ase import Atoms
from ase.io.cube import read_cube_data, write_cube

n, length = 16, 4.0
wave = np.exp(2j * np.pi * np.arange(n) / n)[:, None, None] * np.ones((n, n, n))
with open("ase.cube", "w") as file:
    write_cube(file, Atoms("H", cell=[length] * 3, pbc=True), wave)
geometry = sisl.Geometry([0, 0, 0], "H", lattice=sisl.Lattice([length] * 3))
grid = sisl.Grid([n] * 3, dtype=np.complex128, geometry=geometry)
grid.grid[:] = wave
with sisl.get_sile("sisl.cube", "w") as sile:
    sile.write_grid(grid)
by_ase, by_sisl = (read_cube_data(f"{name}.cube")[0][[0, 1, 2, 4], 0, 0] for name in ("ase", "sisl"))
by_ase, by_sisl = ([abs(round(float(v), 3)) for v in values] for values in (by_ase, by_sisl))
print(f"exp(2 pi i x) at x = 0, 1/16, 2/16, 4/16. ASE: {by_ase}, sisl: {by_sisl}")
if not (by_ase == [1, 1, 1, 1] and by_sisl == [1, 0.924, 0.707, 0]):
    sys.exit("ASE and sisl now agree on complex data in a cube")
PY
