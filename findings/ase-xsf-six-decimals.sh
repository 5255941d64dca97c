#!/usr/bin/env bash
# ASE 3.29.0, NumPy 2.4.6
#
# Guess: a density written as XSF keeps some significant digits, as ASE's cubes and everybody's CHGCARs do.
# Behaviour: ASE writes values with six digits after the point and no exponent. All below 5e-7 becomes zero, a
#   molecule's tail keeps one or two digits, and log plots and work functions end in steps; for a density in small units
#   (or a difference of two) nothing is left.
# Seen: 2.5e-04 reads 2.5e-04, 3.4e-06 reads 3.0e-06, 4.2e-07 reads 0.0e+00; as a cube 4.2e-07 reads 4.2e-07
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from ase import Atoms
from ase.io.cube import read_cube_data, write_cube
from ase.io.xsf import iread_xsf, write_xsf

atoms = Atoms("H", cell=[4, 4, 4], pbc=True)
tail = np.array([2.5e-4, 3.4e-6, 4.2e-7])
density = tail[:, None, None] * np.ones((3, 3, 3))
write_xsf("density.xsf", [atoms], data=density)
with open("density.cube", "w") as file:
    write_cube(file, atoms, density)
with open("density.xsf") as file:
    *_, (values, _, _) = iread_xsf(file, read_data=True)
xsf, cube = values[:, 0, 0], read_cube_data("density.cube")[0][:, 0, 0]
print(", ".join(f"{a:.1e} reads {b:.1e}" for a, b in zip(tail, xsf)), end="; ")
print(f"as a cube {tail[2]:.1e} reads {cube[2]:.1e}")
if not (xsf[2] == 0 and xsf[1] == 3e-6 and np.allclose(cube, tail, rtol=1e-5)):
    sys.exit("ASE now writes an XSF with significant digits")
PY
