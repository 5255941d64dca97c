#!/usr/bin/env bash
# baderkit 0.10.2, ASE 3.29.0, NumPy 2.4.6
#
# Guess: `Grid.from_cube` and `Grid.write_cube` follow the cube format (z fastest), or are at least inverse to each
#   other.
# Behaviour: the reader is right for n x n x n points only; for any other grid it returns the shape reversed and the
#   values mixed. The writer puts x fastest on every grid, so all other programs see x and z swapped. Sums, and so the
#   number of electrons, are right.
# Seen: read, 8 x 8 x 8 points: (8, 8, 8), right; read, 8 x 10 x 12 points: (12, 10, 8)
#       written and read with ASE, 8 x 8 x 8 points with the maximum at (3, 0, 0): maximum at (0, 0, 3)
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
from ase.io.cube import read_cube_data, write_cube
from baderkit import Grid

logging.disable(logging.INFO)


def peak(values):
    return tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))


def read(shape, lengths):
    density = np.full(shape, 0.5)
    density[3, 0, 0] = 5.0
    with open("density.cube", "w") as file:
        write_cube(file, Atoms("H", cell=lengths, pbc=True), density)
    return Grid.from_cube("density.cube")


cubic, other = read((8, 8, 8), (4, 4, 4)), read((8, 10, 12), (4, 5, 6))
cubic.write_cube("written.cube")
written, _ = read_cube_data("written.cube")
print(f"read, 8 x 8 x 8 points: {cubic.total.shape}, {'right' if peak(cubic.total) == (3, 0, 0) else 'wrong'};", end=" ")
print(f"read, 8 x 10 x 12 points: {other.total.shape}")
print(f"written and read with ASE, 8 x 8 x 8 points with the maximum at (3, 0, 0): maximum at {peak(written)}")
if not (peak(cubic.total) == (3, 0, 0) and other.total.shape == (12, 10, 8) and peak(written) == (0, 0, 3)):
    sys.exit("baderkit now keeps the order of a cube's axes")
PY
