#!/usr/bin/env bash
# CP2K 2023.1 (Debian 12: cp2k 2023.1-2, cp2k-data 2023.1-2), NumPy 2.4.6
#
# Guess: `&E_DENSITY_CUBE` writes the density on the grid of the calculation, or an average on a coarser one, so that
#   the cube holds all electrons.
# Behaviour: without STRIDE it writes every second point along each axis: one in eight. The others are dropped, not
#   averaged, and near a nucleus the sum of what is left is percents off. The header's voxel is the larger one, so
#   nothing in the file shows it.
# Seen: He, 2 electrons. As is: 20^3 points, 2.1056 electrons; with STRIDE 1: 40^3 points, 2.0003 electrons
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v cp2k > /dev/null || apt-get install -qq -y --no-install-recommends cp2k cp2k-data > /dev/null
[[ $(dpkg-query -W -f '${Version}' cp2k) == 2023.1-2* ]] || { echo "this is about cp2k 2023.1-2 of Debian 12, another version is installed" >&2; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6
cd "$work"
export OMP_NUM_THREADS=1 CP2K_DATA_DIR=/usr/share/cp2k
cat > plain.inp <<'IN'
&GLOBAL
 PROJECT plain
 RUN_TYPE ENERGY
&END
&FORCE_EVAL
 METHOD QS
 &DFT
  BASIS_SET_FILE_NAME BASIS_MOLOPT
  POTENTIAL_FILE_NAME GTH_POTENTIALS
  &MGRID
   CUTOFF 120
  &END
  &XC
   &XC_FUNCTIONAL PADE
   &END
  &END
  &PRINT
   &E_DENSITY_CUBE
   &END
  &END
 &END
 &SUBSYS
  &CELL
   ABC 6 6 6
  &END
  &COORD
   He 3 3 3
  &END
  &KIND He
   BASIS_SET DZVP-MOLOPT-SR-GTH
   POTENTIAL GTH-PADE-q2
  &END
 &END
&END
IN
sed 's/PROJECT plain/PROJECT each/; s/&E_DENSITY_CUBE/&\n    STRIDE 1/' plain.inp > each.inp
for case in plain each; do cp2k -i "$case.inp" -o "$case.out" > "$case.log" 2>&1; done
"$work/venv/bin/python" - <<'PY'
import sys
from pathlib import Path

import numpy as np


def read(project):
    (path,) = Path().glob(f"{project}-ELECTRON_DENSITY-*.cube")
    lines = path.read_text().splitlines()
    axes = np.array([line.split() for line in lines[3:6]], float)
    values = np.array(" ".join(lines[7:]).split(), float)
    return int(axes[0, 0]), float(values.sum() * abs(np.linalg.det(axes[:, 1:])))


(n, plain), (m, each) = read("plain"), read("each")
print(f"He, 2 electrons. As is: {n}^3 points, {plain:.4f} electrons; with STRIDE 1: {m}^3 points, {each:.4f} electrons")
if not (m == 2 * n and abs(plain - 2) > 0.05 and abs(each - 2) < 0.001):
    sys.exit("CP2K now writes all points of the grid")
PY
