#!/usr/bin/env bash
# tblite 0.8.0, PySCF 2.14.0, NumPy 2.4.6
#
# Guess: the matrices of tblite (overlap, density) have p orbitals in the order x, y, z, as PySCF's have.
# Behaviour: they run over m = -1, 0, 1: y, z, x. `orbital-map` and `angular-momenta` say which shell an orbital belongs
#   to, nothing says which m. A density matrix carried over in the natural order puts the electrons of a bond along z
#   into p orbitals at right angles to it; traces and electron counts stay right.
# Seen: CH along z, overlap of H 1s with the carbon's s and p. tblite: [0.443, 0.0, 0.458, 0.0], PySCF: [0.509, 0.0,
#   0.0, 0.478]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check tblite==0.8.0 pyscf==2.14.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from pyscf import gto
from tblite.interface import Calculator

calculator = Calculator("GFN2-xTB", np.array([6, 1]), np.array([[0.0, 0, 0], [0, 0, 2.0]]), uhf=1)
calculator.set("verbosity", 0)
calculator.set("save-integrals", 1)
tight = calculator.singlepoint().get("overlap-matrix")[4, :4]
molecule = gto.M(atom="C 0 0 0; H 0 0 2", unit="Bohr", basis="sto-3g", spin=1, verbose=0)
gaussian = molecule.intor("int1e_ovlp")[5, 1:5]  # without the carbon's 1s
tight, gaussian = (np.abs(row.round(3)).tolist() for row in (tight, gaussian))
print(f"CH along z, overlap of H 1s with the carbon's s and p. tblite: {tight}, PySCF: {gaussian}")
if not (np.argmax(tight[1:]) == 1 and np.argmax(gaussian[1:]) == 2 and tight[1] == tight[3] == 0):
    sys.exit("tblite and PySCF now order p orbitals alike")
PY
