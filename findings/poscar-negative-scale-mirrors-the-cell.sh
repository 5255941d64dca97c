#!/usr/bin/env bash
# sisl 0.20.0, qc-iodata 1.0.1, ASE 3.29.0
#
# Guess: all readers of POSCAR know that a negative number in the second line is the volume of the cell, as VASP has it.
# Behaviour: ASE (and pymatgen) do; sisl and IOData multiply the vectors by it. A cell of 60 A^3 becomes one of 104
#   million A^3, mirrored, with the atom at negative coordinates. No warning.
# Seen: 3 x 4 x 5 A given by its volume of 60 A^3. ASE: (3.0, 4.0, 5.0), sisl: (-360.0, -480.0, -600.0), IOData:
#   (-360.0, -480.0, -600.0)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check sisl==0.20.0 qc-iodata==1.0.1 ase==3.29.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

import sisl
from ase.io import read
from iodata import load_one
from iodata.utils import angstrom

Path("POSCAR").write_text("Li\n -60.0\n 6.0 0.0 0.0\n 0.0 8.0 0.0\n 0.0 0.0 10.0\n Li\n 1\nDirect\n 0.1 0.2 0.3\n")
cells = {
    "ASE": read("POSCAR", format="vasp").cell.array,
    "sisl": sisl.get_sile("POSCAR").read_geometry().cell,
    "IOData": load_one("POSCAR").cellvecs / angstrom,
}
edges = {name: tuple(round(float(v), 3) for v in cell.diagonal()) for name, cell in cells.items()}
print("3 x 4 x 5 A given by its volume of 60 A^3.", ", ".join(f"{name}: {edge}" for name, edge in edges.items()))
if not (edges["ASE"] == (3, 4, 5) and all(edges[name] == (-360, -480, -600) for name in ("sisl", "IOData"))):
    sys.exit("sisl or IOData now read a negative scale as a volume")
PY
