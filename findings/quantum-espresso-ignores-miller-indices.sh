#!/usr/bin/env bash
# Quantum ESPRESSO 6.7 (Debian 12: quantum-espresso 6.7-2+b1, quantum-espresso-data 6.7-2), NumPy 2.4.6
#
# Guess: charge-density.dat holds a Miller index for each coefficient, so a reader goes by them and their order is free.
# Behaviour: pw.x takes the coefficients in its own order of G vectors and does not use the indices. With every index
#   set to zero it starts from the right density; with the lines of the file in another order, each with its own index,
#   it starts from another density, scales it to the right number of electrons, and ends with exit status 0.
# Seen: iterations from its own density: 1, from the same with all indices zero: 1, from the same density listed in
#   another order: 16 (starting charge 0.00127, renormalised to 8.00000)
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
sed "s/conv_thr=1e-8/conv_thr=1e-8, startingpot='file'/" scf.in > file.in
pw.x -in scf.in > scf.out 2> /dev/null
cp -r out first
"$work/venv/bin/python" - <<'PY'
from pathlib import Path

import numpy as np

raw, records = Path("first/si.save/charge-density.dat").read_bytes(), []
while raw:
    size = int.from_bytes(raw[:4], "little")
    records.append(raw[4 : 4 + size])
    raw = raw[size + 8 :]
miller = np.frombuffer(records[2], "<i4").reshape(-1, 3)
density = np.frombuffer(records[3], "<c16")


def write(name, indices, coefficients):
    parts = records[0], records[1], indices.tobytes(), coefficients.tobytes()
    Path(name).write_bytes(b"".join(len(p).to_bytes(4, "little") + p + len(p).to_bytes(4, "little") for p in parts))


order = np.random.default_rng(0).permutation(len(miller))
write("own.dat", miller, density)
write("zeros.dat", np.zeros_like(miller), density)
write("order.dat", miller[order], density[order])
PY
for case in own zeros order; do
    rm -rf out && cp -r first out && cp "$case.dat" out/si.save/charge-density.dat
    pw.x -in file.in > "$case.out" 2> /dev/null # its exit status is 0, or the script ends here
done
count() { sed -n 's/.*achieved in *\([0-9]*\) iterations.*/\1/p' "$1.out"; }
echo "iterations from its own density: $(count own), from the same with all indices zero: $(count zeros), from the same density listed in another order: $(count order)"
grep 'starting charge' order.out
if ! { [[ $(count own) == 1 && $(count zeros) == 1 ]] && (($(count order) > 5)); }; then
    echo "pw.x now goes by the Miller indices in charge-density.dat" >&2
    exit 1
fi
