#!/usr/bin/env bash
# sisl 0.20.0, netCDF4 1.7.5.1.post1
#
# Guess: sisl reads a SIESTA NetCDF grid in the units that the file states, or always converts bohr^-3 to A^-3; and it
#   reads back what it wrote itself.
# Behaviour: the factor follows the third word from the end of the file's NAME. The same bytes are multiplied by 6.748
#   when the file is called Rho.grid.nc and taken as they are when it is called Density.grid.nc or DeltaRho.IN.grid.nc
#   (the name under which SIESTA takes a start density); the attribute `unit` in the file is not read, and sisl's own
#   Rho.grid.nc comes back 6.748 times larger because the writer does not convert. Where it does not know the name it
#   says so in an info message, and goes on.
# Seen: one file with 0.25 in it, by name: {'Rho': 1.6871, 'Density': 0.25, 'DeltaRho.IN': 0.25, 'DeltaRho': 1.6871}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check sisl==0.20.0 xarray==2026.9.0 netCDF4==1.7.5.1.post1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import shutil
import sys

import sisl

grid = sisl.Grid([4, 4, 4], lattice=sisl.Lattice([4, 4, 4]))
grid.grid[:] = 0.25
with sisl.get_sile("written.grid.nc", "w") as sile:
    sile.write_grid(grid, unit="1/Ang**3")
read = {}
for name in ("Rho", "Density", "DeltaRho.IN", "DeltaRho"):
    shutil.copy("written.grid.nc", f"{name}.grid.nc")
    read[name] = round(float(sisl.get_sile(f"{name}.grid.nc").read_grid().grid.mean()), 4)
print("one file with 0.25 in it, by name:", read)
if not (read == {"Rho": 1.6871, "Density": 0.25, "DeltaRho.IN": 0.25, "DeltaRho": 1.6871}):
    sys.exit("sisl no longer takes the units of a grid from the name of its file")
PY
