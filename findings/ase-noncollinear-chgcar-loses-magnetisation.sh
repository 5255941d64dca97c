#!/usr/bin/env bash
# ASE 3.29.0 (NumPy 2.4.6)
#
# Guess: `VaspChargeDensity` reads a CHGCAR of a non-collinear run (charge, m_x, m_y, m_z) whole, or refuses it; what it
#   has read it writes.
# Behaviour: with augmentation occupancies (CHGCAR) it reads all three magnetisation grids and writes the first only;
#   without them (CHG) it reads m_x only. In both cases `is_spin_polarized()` is true and the file that comes out is a
#   valid collinear one, whose moment along z is what was m_x.
# Seen: CHGCAR: magnetisation grids read: 3, in the file written: 1, with mean 1.0 (it was m = 1.0, 2.0, 3.0)
#       CHG: magnetisation grids read: 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

import numpy as np
from ase.calculators.vasp import VaspChargeDensity

n = 4
header = "Fe\n 1.0\n 3.0 0.0 0.0\n 0.0 3.0 0.0\n 0.0 0.0 3.0\n Fe\n 1\nDirect\n 0.0 0.0 0.0\n\n"
occupancies = "augmentation occupancies   1   4\n  0.1000000E+01  0.2000000E+01  0.3000000E+01  0.4000000E+01\n"


def block(mean, columns):
    values = np.full(n**3, float(mean))
    rows = [" ".join(f"{v:.11E}" for v in row) for row in np.split(values, range(columns, n**3, columns))]
    return f"   {n}   {n}   {n}\n" + "\n".join(rows) + "\n"


means = (8, 1, 2, 3)
Path("CHGCAR").write_text(header + "  0.1000000E+01\n".join(block(m, 5) + occupancies for m in means))
Path("CHG").write_text(header + "\n".join(block(m, 10) for m in means))
whole, short = VaspChargeDensity("CHGCAR"), VaspChargeDensity("CHG")
whole.write("CHGCAR_out")
out = VaspChargeDensity("CHGCAR_out")
volume = 27.0
print(f"CHGCAR: magnetisation grids read: {len(whole.chgdiff)}, in the file written: {len(out.chgdiff)},", end=" ")
print(f"with mean {out.chgdiff[0].mean() * volume:.1f} (it was m = 1.0, 2.0, 3.0)")
print(f"CHG: magnetisation grids read: {len(short.chgdiff)}")
if not (len(whole.chgdiff) == 3 and len(out.chgdiff) == 1 and len(short.chgdiff) == 1):
    sys.exit("ASE now keeps, or refuses, the magnetisation of a non-collinear density")
PY
