#!/usr/bin/env bash
# Quantum ESPRESSO 6.7 (Debian 12: quantum-espresso 6.7-2+b1, quantum-espresso-data 6.7-2)
#
# Guess: `startingpot = 'file'` with no density in outdir stops the run, as `calculation = 'nscf'` does and as ABINIT
#   does.
# Behaviour: one line in the output, "Cannot read rho : file not found", then a start from free atoms and exit status 0.
#   Whoever compares starting densities by iterations compares free atoms with free atoms when a path is wrong.
# Seen: exit status 0; Cannot read rho : file not found; iterations without a file: 7, with 'file' and no file: 6
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v pw.x > /dev/null || apt-get install -qq -y --no-install-recommends quantum-espresso quantum-espresso-data > /dev/null
[[ $(dpkg-query -W -f '${Version}' quantum-espresso) == 6.7-2* ]] || { echo "this is about quantum-espresso 6.7-2 of Debian 12, another version is installed" >&2; exit 1; }
cd "$work"
export OMP_NUM_THREADS=1
cat > atoms.in <<'IN'
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
sed "s/conv_thr=1e-8/conv_thr=1e-8, startingpot='file'/" atoms.in > file.in
pw.x -in atoms.in > atoms.out 2> /dev/null
rm -rf out
status=0
pw.x -in file.in > file.out 2> /dev/null || status=$?
count() { sed -n 's/.*achieved in *\([0-9]*\) iterations.*/\1/p' "$1.out"; }
echo "exit status $status; $(grep -o 'Cannot read rho.*' file.out); iterations without a file: $(count atoms), with 'file' and no file: $(count file)"
if ! { [[ $status == 0 ]] && grep -q 'superposition of free atoms' file.out && (($(count file) > 3)); }; then
    echo "pw.x now stops when the starting density is missing" >&2
    exit 1
fi
