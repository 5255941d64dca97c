#!/usr/bin/env bash
# pymatgen-core 2026.10.16, sisl 0.20.0, NumPy 2.4.6
#
# Guess: a spin-polarised CHGCAR that pymatgen wrote has the layout of VASP's, so other readers of CHGCAR take it.
# Behaviour: VASP writes the atoms' moments (one number an atom, five in a line) between the first grid with its
#   occupancies and the second grid. pymatgen skips that block when it reads and writes none. sisl counts on it: it
#   reads the magnetisation of VASP's file and stops on pymatgen's copy of it.
# Seen: magnetisation by sisl, VASP's layout: 0.25; the same file after pymatgen read and wrote it: ValueError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pymatgen-core==2026.10.16 sisl==0.20.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

import sisl
from pymatgen.io.vasp import Chgcar

n = 4
header = "Fe2\n 1.0\n 2.0 0.0 0.0\n 0.0 2.0 0.0\n 0.0 0.0 4.0\n Fe\n 2\nDirect\n 0.0 0.0 0.0\n 0.5 0.5 0.5\n\n"
occupancies = "".join(f"augmentation occupancies   {i}   2\n  0.1000000E+01  0.2000000E+01\n" for i in (1, 2))
moments = "  0.200000000000E+01  0.200000000000E+01\n"


def block(value):
    values = [f"{value:.11E}"] * n**3
    return f"   {n}   {n}   {n}\n" + "\n".join(" ".join(values[i : i + 5]) for i in range(0, n**3, 5)) + "\n"


Path("CHGCAR").write_text(header + block(16.0) + occupancies + moments + block(4.0) + occupancies)
copy = Chgcar.from_file("CHGCAR")
copy.write_file("CHGCAR_copy")
assert abs(copy.data["diff"].mean() - 4) < 1e-9 and sorted(copy.data_aug["diff"]) == [1, 2]


def magnetisation(name):
    try:
        return f"{sisl.io.vasp.chgSileVASP(name).read_grid(1).grid.mean():.2f}"
    except (ValueError, AssertionError) as error:
        return type(error).__name__


first, second = magnetisation("CHGCAR"), magnetisation("CHGCAR_copy")
print(f"magnetisation by sisl, VASP's layout: {first}; the same file after pymatgen read and wrote it: {second}")
if not (first == "0.25" and second.endswith("Error")):
    sys.exit("pymatgen now writes the moments, or sisl does without them")
PY
