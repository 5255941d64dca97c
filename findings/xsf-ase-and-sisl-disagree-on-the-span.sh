#!/usr/bin/env bash
# ASE 3.29.0, sisl 0.20.0, NumPy 2.4.6
#
# Guess: ASE and sisl write one and the same XSF grid for one density in one cell.
# Behaviour: XSF's general grid has its first and last points on the ends of the spanning vectors, so a periodic density
#   of n points needs n + 1 points on the cell, or n points on (n-1)/n of it. sisl writes n points on the whole cell,
#   ASE n points on (n+1)/n of it: an atom in the middle is seen 7% and 14% of the cell away at n = 8, and neither
#   program repeats the first plane.
# Seen: 8 points in 4 A with the maximum at 2.0 A. Span by ASE 4.5, by sisl 4.0 (right: 3.5); the maximum is then at
#   2.571 and 2.286 A
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0 sisl==0.20.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

import numpy as np
import sisl
from ase import Atoms
from ase.io.xsf import write_xsf

length, n = 4.0, 8
density = np.zeros((n, n, n))
density[n // 2, n // 2, n // 2] = 1.0
write_xsf("ase.xsf", [Atoms("H", positions=[[2, 2, 2]], cell=[length] * 3, pbc=True)], data=density)
geometry = sisl.Geometry([2, 2, 2], "H", lattice=sisl.Lattice([length] * 3))
grid = sisl.Grid([n] * 3, geometry=geometry)
grid.grid[:] = density
with sisl.get_sile("sisl.xsf", "w") as sile:
    sile.write_grid(grid)


def read(name):
    """Span of the first axis and place of the maximum, by the definition of the format."""
    words = Path(name).read_text().split("BEGIN_DATAGRID_3D", 1)[1].split("\n", 1)[1].split()
    shape, origin, span = [int(w) for w in words[:3]], float(words[3]), float(words[6])
    assert shape == [n] * 3
    values = np.array(words[15 : 15 + n**3], float).reshape(shape, order="F")
    return span, origin + np.unravel_index(values.argmax(), shape)[0] * span / (n - 1)


(ase_span, ase_peak), (sisl_span, sisl_peak) = read("ase.xsf"), read("sisl.xsf")
right = length * (n - 1) / n
print(f"{n} points in {length:.0f} A with the maximum at 2.0 A. Span by ASE {ase_span}, by sisl {sisl_span} (right: {right});", end=" ")
print(f"the maximum is then at {ase_peak:.3f} and {sisl_peak:.3f} A")
if not (abs(ase_span - 4.5) < 1e-6 and abs(sisl_span - 4.0) < 1e-6):
    sys.exit("ASE or sisl now write another span")
PY
