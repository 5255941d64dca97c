#!/usr/bin/env bash
# baderkit 0.10.2, ASE 3.29.0, NumPy 2.4.6
#
# Guess: the density in a cube file becomes electrons whatever its height.
# Behaviour: a cube whose values all lie between 0 and 1 is taken for an electron localisation function and not
#   multiplied by the cell volume. Valence densities of many solids stay below 1 e/bohr^3, so their charges are wrong by
#   the volume; two densities that differ by a few percent at their highest point can fall on different sides. A log
#   line at the level INFO says so.
# Seen: maximum 0.9 e/bohr^3: elf, 0.4 electrons of 194.4; maximum 1.1 e/bohr^3: charge, 237.5 electrons of 237.5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check baderkit==0.10.2 ase==3.29.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import logging
import sys

import numpy as np
from ase import Atoms
from ase.io.cube import write_cube
from baderkit import Grid

logging.disable(logging.INFO)
atoms = Atoms("Si", cell=[4, 4, 4], pbc=True)
volume = (4 / 0.52917721) ** 3
x = np.arange(8) / 8
shape = (np.cos(2 * np.pi * x) + 1)[:, None, None] * np.ones((8, 8, 8)) / 2
seen = []
for height in (0.9, 1.1):
    with open("density.cube", "w") as file:
        write_cube(file, atoms, height * shape)
    grid = Grid.from_cube("density.cube")
    seen.append((height, grid.data_type.value, float(grid.total.mean()), float(height * shape.mean() * volume)))
print("; ".join(f"maximum {h} e/bohr^3: {kind}, {got:.1f} electrons of {true:.1f}" for h, kind, got, true in seen))
if not ([s[1] for s in seen] == ["elf", "charge"] and seen[0][2] < 1 and abs(seen[1][2] / seen[1][3] - 1) < 1e-3):
    sys.exit("baderkit no longer takes a density below 1 e/bohr^3 for an ELF")
PY
