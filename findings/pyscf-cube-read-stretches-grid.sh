#!/usr/bin/env bash
# PySCF 2.14.0
#
# Guess: `Cube.read` of a cube that PySCF wrote gives back the grid that it was written on.
# Behaviour: for a molecule the grid has n points with both ends of the box, n - 1 steps apart. The file holds the step;
#   `read` multiplies it by n, calls that the box, and lays n points with both ends in it again. `get_coords` is then
#   too wide by n/(n-1), and the values sit at the wrong places: the moments of the density of an atom at the origin
#   move.
# Seen: the last point was at (4.000, 4.000, 4.000), after reading at (4.421, 4.421, 4.421); centre of the electrons of
#   He at the origin: x = 0.000, after reading 0.211 bohr
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pyscf==2.14.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

from pyscf import gto, scf
from pyscf.tools import cubegen

molecule = gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0)
dm = scf.RHF(molecule).run().make_rdm1()
n = 20
written = cubegen.Cube(molecule, n, n, n, margin=4.0)
density = cubegen.density(molecule, "he.cube", dm, nx=n, ny=n, nz=n, margin=4.0)
again = cubegen.Cube(molecule, n, n, n, margin=4.0)
values = again.read("he.cube")
before, after = written.get_coords(), again.get_coords()
centres = [float(c[:, 0] @ v.ravel() / v.sum()) for c, v in ((before, density), (after, values))]
ends = ["({:.3f}, {:.3f}, {:.3f})".format(*c[-1]) for c in (before, after)]
print(f"the last point was at {ends[0]}, after reading at {ends[1]};", end=" ")
print(f"centre of the electrons of He at the origin: x = {abs(centres[0]):.3f}, after reading {centres[1]:.3f} bohr")
width = [c[-1, 0] - c[0, 0] for c in (before, after)]
if not (abs(width[1] / width[0] - n / (n - 1)) < 1e-4 and abs(centres[1] - 0.2105) < 1e-3):
    sys.exit("Cube.read now restores the grid of the file")
PY
