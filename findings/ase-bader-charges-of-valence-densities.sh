#!/usr/bin/env bash
# ASE 3.29.0
#
# Guess: `ase.io.bader.attach_charges(atoms, "ACF.dat")` gives the atomic charges of a Bader analysis.
# Behaviour: it takes the electrons of ACF.dat from the atomic number. The analysis of a CHGCAR (ASE's main customer for
#   it, VASP) counts valence electrons, so each atom comes out too positive by the electrons of its core; a neutral cell
#   gets a charge. There is no argument for the valence.
# Seen: MgO of a valence density (Mg 0.3 of 2 e, O 7.7 of 6 e): charges [11.7, 0.3], sum 12.0; true: [1.7, -1.7]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

from ase import Atoms
from ase.io.bader import attach_charges

atoms = Atoms("MgO", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.98, 2.98, 2.98], pbc=True)
valence, counted = (2.0, 6.0), (0.3, 7.7)
rows = "".join(
    f"{i + 1:5d} {x:11.4f} {y:11.4f} {z:11.4f} {q:11.4f} {1.0:11.4f} {12.0:11.4f}\n"
    for i, ((x, y, z), q) in enumerate(zip(atoms.positions, counted))
)
rule = " " + "-" * 80 + "\n"
head = "    #         X           Y           Z       CHARGE      MIN DIST   ATOMIC VOL\n"
tail = "    VACUUM CHARGE:               0.0000\n    VACUUM VOLUME:               0.0000\n    NUMBER OF ELECTRONS:         8.0000\n"
Path("ACF.dat").write_text(head + rule + rows + rule + tail)
attach_charges(atoms, "ACF.dat")
charges = [round(float(q), 3) for q in atoms.get_initial_charges()]
true = [round(v - q, 3) for v, q in zip(valence, counted)]
print(f"MgO of a valence density (Mg 0.3 of 2 e, O 7.7 of 6 e): charges {charges}, sum {sum(charges)}; true: {true}")
if not (abs(sum(true)) < 1e-9 and abs(sum(charges) - 12) < 1e-6):
    sys.exit("attach_charges now knows valence electrons")
PY
