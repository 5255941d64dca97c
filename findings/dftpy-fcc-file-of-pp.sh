#!/usr/bin/env bash
# Quantum ESPRESSO 6.7 (Debian 12: quantum-espresso 6.7-2+b1, quantum-espresso-data 6.7-2), DFTpy 2.2.0, ASE 3.29.0, NumPy 2.4.6
#
# Guess: the file of a density that pp.x writes (filplot) is read with the crystal that it is of: DFTpy knows this format,
#   and ibrav = 2 (fcc) is among the lattices that it says it implements.
# Behaviour: rows and columns of the fcc vectors are exchanged, and positions, which the file has in units of alat along
#   x, y and z, are taken for fractions of these vectors. Volume and electrons are right, so nothing looks wrong: the
#   atoms of silicon are 1.36 A apart, and two angles of the cell are 120 degrees.
# Seen: Si2: 8.000000 electrons; distance of the atoms 1.357 A where 2.351 A was computed; angles 60, 120, 120 in place of 60, 60, 60
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v pw.x > /dev/null || apt-get install -qq -y --no-install-recommends quantum-espresso quantum-espresso-data > /dev/null
[[ $(dpkg-query -W -f '${Version}' quantum-espresso) == 6.7-2* ]] || { echo "this is about quantum-espresso 6.7-2 of Debian 12, another version is installed" >&2; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check dftpy==2.2.0 ase==3.29.0 numpy==2.4.6
cd "$work"
export OMP_NUM_THREADS=1
cat > scf.in <<'IN'
&control
 prefix='si', outdir='./out', pseudo_dir='/usr/share/espresso/pseudo'
/
&system
 ibrav=2, celldm(1)=10.26, nat=2, ntyp=1, ecutwfc=12
/
&electrons
/
ATOMIC_SPECIES
 Si 28.086 Si.pz-vbc.UPF
ATOMIC_POSITIONS alat
 Si 0.00 0.00 0.00
 Si 0.25 0.25 0.25
K_POINTS automatic
 2 2 2 0 0 0
IN
echo "&inputpp prefix='si', outdir='./out', filplot='density.pp', plot_num=0 /" > pp.in
pw.x -in scf.in > scf.out 2> /dev/null
pp.x -in pp.in > pp.out 2> /dev/null
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

from dftpy.formats import io

ions, density, _ = io.read("density.pp", kind="all")
electrons, atoms = float(density.integral()), ions.to_ase()
distance, right = atoms.get_distance(0, 1, mic=True), 10.26 * 0.52917721 * 3**0.5 / 4
angles = ", ".join(f"{a:.0f}" for a in atoms.cell.angles())
print(f"Si2: {electrons:.6f} electrons; distance of the atoms {distance:.3f} A where {right:.3f} A was computed; angles {angles} in place of 60, 60, 60")
if not (abs(electrons - 8) < 1e-3 and abs(distance - right) > 0.5):
    sys.exit("DFTpy now reads the crystal of an fcc file of pp.x")
PY
