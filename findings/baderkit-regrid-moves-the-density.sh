#!/usr/bin/env bash
# baderkit 0.10.2, NumPy 2.4.6
#
# Guess: `Grid.regrid` samples the same density at more or fewer points i/n, the points of a CHGCAR.
# Behaviour: it takes the values for those of voxel centres, (i + 1/2)/n, in both grids. The number of electrons is kept
#   and the density moves against the atoms by half the difference of the voxels: a quarter of an old voxel when refined
#   twice, half of one when coarsened twice.
# Seen: 16^3 points with the maximum at the atom, 0.5; centre of the density after regrid to 32^3: 0.5156, to 8^3:
#   0.4691
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check baderkit==0.10.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import logging
import sys

import numpy as np
from baderkit import Grid
from pymatgen.core import Lattice, Structure

logging.disable(logging.INFO)
n = 16
line = np.exp(4 * np.cos(2 * np.pi * (np.arange(n) / n - 0.5)))
density = line[:, None, None] * line[None, :, None] * line[None, None, :]
grid = Grid(structure=Structure(Lattice.cubic(4), ["H"], [[0.5] * 3]), data={"total": density})


def centre(values):
    """Fractional coordinate from the phase of the first Fourier component."""
    profile = values.sum(axis=(1, 2))
    phase = np.angle((profile * np.exp(2j * np.pi * np.arange(len(profile)) / len(profile))).sum())
    return float(phase / (2 * np.pi) % 1)


found = {m: centre(grid.regrid(new_shape=np.array([m] * 3)).total) for m in (32, 8)}
print("16^3 points with the maximum at the atom, 0.5; centre of the density after regrid", end=" ")
print(", ".join(f"to {m}^3: {c:.4f}" for m, c in found.items()))
if not (abs(centre(density) - 0.5) < 1e-9 and all(abs(c - 0.5 - (0.5 / n - 0.5 / m)) < 2e-3 for m, c in found.items())):
    sys.exit("regrid now keeps the density where it was")
PY
