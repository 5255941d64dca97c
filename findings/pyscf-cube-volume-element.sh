#!/usr/bin/env bash
# PySCF 2.14.0
#
# Guess: `cubegen.Cube.get_volume_element()` is the volume of a voxel in cubic bohr, so that `rho.sum() *
#   get_volume_element()` counts the electrons.
# Behaviour: it is the voxel's share of the box, a number without unit. The count comes out as electrons per cubic bohr
#   of box.
# Seen: He, box of 729.0 bohr^3: 0.002743 "electrons"; times the volume of the box: 2.0000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pyscf==2.14.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from pyscf import gto, scf
from pyscf.tools import cubegen

molecule = gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0)
dm = scf.RHF(molecule).run().make_rdm1()
cube = cubegen.Cube(molecule, 40, 40, 40, margin=4.5)
density = cubegen.density(molecule, "he.cube", dm, nx=40, ny=40, nz=40, margin=4.5)
box = float(np.linalg.det(cube.box))
count = float(density.sum() * cube.get_volume_element())
print(f'He, box of {box:.1f} bohr^3: {count:.6f} "electrons"; times the volume of the box: {count * box:.4f}')
if not (abs(count * box - 2) < 0.02 and count < 0.01):
    sys.exit("get_volume_element is now a volume")
PY
