#!/usr/bin/env bash
# sisl 0.20.0, NumPy 2.4.6
#
# Guess: `Grid.interp` of a periodic density keeps values at points that both grids have, and so about the number of
#   electrons; its documentation says that the default accounts for periodic conditions.
# Behaviour: it lays the first and the last point of the new grid on the first and the last of the old one. On a
#   periodic grid the last is one step before the end of the cell, so the density is stretched by (n/N)(N-1)/(n-1): the
#   maximum moves and electrons appear or vanish.
# Seen: 16^3 points with the maximum in the middle. To 32^3: electrons x 1.093, maximum at 17/32; to 8^3: electrons x
#   0.812
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check sisl==0.20.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import sisl


def density(n):
    line = np.exp(2 * np.cos(2 * np.pi * (np.arange(n) / n - 0.5)))
    return line[:, None, None] * line[None, :, None] * line[None, None, :]


grid = sisl.Grid([16] * 3, lattice=sisl.Lattice([4, 4, 4]))
grid.set_boundary_condition(sisl.Grid.PERIODIC)
grid.grid[:] = density(16)
ratio, place = {}, {}
for n in (32, 8):
    values = grid.interp([n] * 3).grid
    ratio[n] = float(values.mean() / density(n).mean())
    place[n] = int(np.unravel_index(values.argmax(), values.shape)[0])
print(f"16^3 points with the maximum in the middle. To 32^3: electrons x {ratio[32]:.3f}, maximum at {place[32]}/32;", end=" ")
print(f"to 8^3: electrons x {ratio[8]:.3f}")
if not (abs(ratio[32] - 1.093) < 0.005 and abs(ratio[8] - 0.812) < 0.005 and place[32] == 17):
    sys.exit("Grid.interp now treats periodic grids as periodic")
PY
