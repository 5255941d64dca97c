#!/usr/bin/env bash
# jarvis-tools 2026.6.12, NumPy 2.4.6
#
# Guess: `jarvis.io.vasp.outputs.Chgcar` gives `chg[0][i, j, k]` at the grid point (i, j, k), since it returns the shape
#   (nx, ny, nz).
# Behaviour: VASP writes x fastest and the reader fills the array z fastest under the same shape. On a cubic grid that
#   swaps x and z; on any other it mixes the values. The sum, and so the number of electrons, is right.
# Seen: a density that rises along x as 1 2 3 4 reads 1 3 1 3 along x on a 4x5x6 grid, and along x of a 4x4x4 grid 1 1 1
#   1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check jarvis-tools==2026.6.12 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

import numpy as np
from jarvis.io.vasp.outputs import Chgcar

lengths = np.array([3.0, 4.0, 5.0])


def along_x(shape):
    """Write rho = 1 + i as VASP does (times the volume, x fastest, five in a line); read the line j = k = 0."""
    density = (1.0 + np.arange(shape[0]))[:, None, None] * np.ones(shape)
    values = (density * lengths.prod()).ravel(order="F")
    cell = "".join(" ".join(f"{v:.6f}" for v in row) + "\n" for row in np.diag(lengths))
    rows = "\n".join(" ".join(f"{v:.11E}" for v in values[i : i + 5]) for i in range(0, values.size, 5))
    Path("CHGCAR").write_text(
        f"Li\n 1.0\n{cell} Li\n 1\nDirect\n 0.0 0.0 0.0\n\n {shape[0]} {shape[1]} {shape[2]}\n{rows}\n"
    )
    read = Chgcar(filename="CHGCAR").chg[0]
    assert read.shape == shape and abs(read.mean() - density.mean()) < 1e-6
    return read[:, 0, 0].round().astype(int).tolist()


mixed, swapped = along_x((4, 5, 6)), along_x((4, 4, 4))
print("a density that rises along x as 1 2 3 4 reads", *mixed, "along x on a 4x5x6 grid, and along x of a 4x4x4 grid", *swapped)
if not (mixed == [1, 3, 1, 3] and swapped == [1, 1, 1, 1]):
    sys.exit("jarvis-tools now reads the grid of a CHGCAR with x fastest")
PY
