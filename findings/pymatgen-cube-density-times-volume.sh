#!/usr/bin/env bash
# pymatgen-core 2026.10.16, ASE 3.29.0
#
# Guess: `Chgcar.to_cube` writes electrons per cubic bohr, since the header of a cube file is in bohr and every program
#   reads it so.
# Behaviour: it writes the numbers of the CHGCAR as they are: density times cell volume. Whoever integrates the cube
#   gets the electrons times the cell volume in cubic bohr. pymatgen's own reader does not show it, because it takes the
#   same numbers back.
# Seen: 8 electrons in 64.0 A^3: the cube integrates to 3455.1 with ASE, which is 8 x 431.9 (the volume in bohr^3)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pymatgen-core==2026.10.16 ase==3.29.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from ase.io.cube import read_cube_data
from ase.units import Bohr
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar

structure = Structure(Lattice.cubic(4.0), ["Fe"], [[0, 0, 0]])
z = np.arange(8) / 8
grid = 8.0 * (1 + 0.5 * np.cos(2 * np.pi * z)) * np.ones((8, 8, 1))  # mean: 8 electrons
Chgcar(structure, {"total": grid}).to_cube("density.cube")
values, atoms = read_cube_data("density.cube")
volume = atoms.get_volume() / Bohr**3
integral = values.mean() * volume
print(f"8 electrons in {structure.volume:.1f} A^3: the cube integrates to {integral:.1f} with ASE,", end=" ")
print(f"which is 8 x {volume:.1f} (the volume in bohr^3)")
if not (abs(integral - 8 * volume) < 0.1):
    sys.exit("to_cube no longer writes density times volume")
PY
