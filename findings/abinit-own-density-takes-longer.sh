#!/usr/bin/env bash
# ABINIT 9.6.2 (Debian 12: abinit 9.6.2-1, abinit-data 9.6.2-1)
#
# Guess: an SCF that starts from its own converged density (`getden_filepath`) ends after one or two steps.
# Behaviour: it takes more steps than a start from free atoms. The wave functions start as random numbers whatever the
#   density, and the density that they make in the first step has a residual half as large as after a cold start: the
#   good density is lost at once.
# Seen: steps from free atoms: 8, from its own density: 13; density residual after the first step there: 2.390E+00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v abinit > /dev/null || apt-get install -qq -y --no-install-recommends abinit abinit-data > /dev/null
[[ $(dpkg-query -W -f '${Version}' abinit) == 9.6.2-1* ]] || { echo "this is about abinit 9.6.2-1 of Debian 12, another version is installed" >&2; exit 1; }
cd "$work"
export OMP_NUM_THREADS=1
cat > cold.abi <<'IN'
ecut 10
acell 3*10.2
rprim 0 .5 .5 .5 0 .5 .5 .5 0
natom 2 ntypat 1 znucl 14 typat 1 1
xred 0 0 0 .25 .25 .25
ngkpt 2 2 2 nshiftk 1 shiftk 0 0 0
nband 4 nstep 50 toldfe 1e-10 diemac 12.0
pp_dirpath "/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8"
pseudos "Si.psp8"
IN
{ cat cold.abi && echo 'getden_filepath "coldo_DEN"'; } > own.abi
for case in cold own; do abinit "$case.abi" > "$case.log" 2>&1; done
count() { sed -n 's/.*At SCF step *\([0-9]*\), etot is converged.*/\1/p' "$1.abo"; }
echo "steps from free atoms: $(count cold), from its own density: $(count own); density residual after the first step there: $(awk '/^ ETOT  1 /{print $NF}' own.abo)"
if ! { (($(count own) > $(count cold))); }; then
    echo "ABINIT no longer takes longer from its own density" >&2
    exit 1
fi
