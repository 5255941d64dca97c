#!/usr/bin/env bash
# pymatgen-core 2026.10.16
#
# Guess: `Chgcar.net_magnetization` is the magnetic moment of the cell in Bohr magnetons.
# Behaviour: it is the plain sum of the stored grid, which holds moment density times volume, so it is the moment times
#   the number of grid points. It grows eightfold when the grid is made twice as fine. `get_integrated_diff` of the same
#   class divides.
# Seen: a moment of 2 is reported as 432.0 on a 6x6x6 grid and as 3456.0 on a 12x12x12 grid
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pymatgen-core==2026.10.16
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar

structure = Structure(Lattice.cubic(3.0), ["Fe"], [[0, 0, 0]])
electrons, moment = 8.0, 2.0
reported = {}
for n in (6, 12):
    grid = {"total": np.full((n, n, n), electrons), "diff": np.full((n, n, n), moment)}
    Chgcar(structure, grid).write_file("CHGCAR")
    reported[n] = float(Chgcar.from_file("CHGCAR").net_magnetization)
print("a moment of 2 is reported as", " and as ".join(f"{v} on a {n}x{n}x{n} grid" for n, v in reported.items()))
if not (all(abs(v - moment * n**3) < 1e-6 for n, v in reported.items())):
    sys.exit("net_magnetization is no longer the moment times the number of grid points")
PY
