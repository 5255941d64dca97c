#!/usr/bin/env bash
# Quantum ESPRESSO 6.7 (Debian 12: quantum-espresso 6.7-2+b1, quantum-espresso-data 6.7-2), NumPy 2.4.6
#
# Guess: an XSF file, whose lengths are in angstrom by definition, holds a density in e/A^3 when pp.x writes it.
# Behaviour: the cell is in angstrom and the density in e/bohr^3. Integrated over the file's own cell the electrons are
#   6.748 times too few; the cube that the same run writes is in bohr throughout and right. (The grid repeats its first
#   plane, as XSF wants it.)
# Seen: Si2, 8 electrons: 21 x 21 x 21 points, integral over the file's cell 1.185, with the cell in bohr 8.000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v pw.x > /dev/null || apt-get install -qq -y --no-install-recommends quantum-espresso quantum-espresso-data > /dev/null
[[ $(dpkg-query -W -f '${Version}' quantum-espresso) == 6.7-2* ]] || { echo "this is about quantum-espresso 6.7-2 of Debian 12, another version is installed" >&2; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6
cd "$work"
export OMP_NUM_THREADS=1
cat > scf.in <<'IN'
&control
 calculation='scf', prefix='si', outdir='./out', pseudo_dir='/usr/share/espresso/pseudo'
/
&system
 ibrav=2, celldm(1)=10.2, nat=2, ntyp=1, ecutwfc=14
/
&electrons
 conv_thr=1e-8
/
ATOMIC_SPECIES
 Si 28.086 Si.pz-vbc.UPF
ATOMIC_POSITIONS alat
 Si 0.00 0.00 0.00
 Si 0.25 0.25 0.25
K_POINTS automatic
 2 2 2 1 1 1
IN
cat > pp.in <<'IN'
&inputpp
 prefix='si', outdir='./out', filplot='density', plot_num=0
/
&plot
 iflag=3, output_format=5, fileout='density.xsf'
/
IN
pw.x -in scf.in > scf.out 2> /dev/null
pp.x -in pp.in > pp.out 2> /dev/null
"$work/venv/bin/python" - <<'PY'
import sys
from pathlib import Path

import numpy as np

head, data = Path("density.xsf").read_text().split("BEGIN_DATAGRID_3D")
cell = np.array(head.split("PRIMVEC")[1].split()[:9], float).reshape(3, 3)
words = data.split("END_DATAGRID")[0].split()[1:]
shape = [int(w) for w in words[:3]]
values = np.array(words[15:], float).reshape(shape, order="F")[:-1, :-1, :-1]
volume, bohr = abs(np.linalg.det(cell)), 0.52917721
here, right = values.mean() * volume, values.mean() * volume / bohr**3
print(f"Si2, 8 electrons: {' x '.join(map(str, shape))} points, integral over the file's cell {here:.3f}, with the cell in bohr {right:.3f}")
if not (abs(right - 8) < 1e-3 and abs(here - 8 * bohr**3) < 1e-3):
    sys.exit("pp.x now writes a density in the units of its cell")
PY
