#!/usr/bin/env bash
# pymatgen-core 2026.10.16, h5py 3.16.0
#
# Guess: `Chgcar.to_hdf5` and `Chgcar.from_hdf5` are inverse to each other; the reader does look for the PAW
#   augmentation occupancies.
# Behaviour: the writer never stores them. A CHGCAR that goes through HDF5 loses its occupancies without a word, and
#   VASP does not restart from a CHGCAR without them.
# Seen: occupancies before: ['diff', 'total'], after HDF5: []; lines in the CHGCAR that name them: 2 before, 0 after
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pymatgen-core==2026.10.16 h5py==3.16.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar

structure = Structure(Lattice.cubic(3.0), ["Fe"], [[0, 0, 0]])
grid = {"total": np.full((4, 4, 4), 8.0), "diff": np.full((4, 4, 4), 2.0)}
occupancies = {"total": {1: np.arange(1.0, 9.0)}, "diff": {1: np.arange(8.0)}}
Chgcar(structure, grid, data_aug=occupancies).write_file("before")
before = Chgcar.from_file("before")
before.to_hdf5("density.h5")
after = Chgcar.from_hdf5("density.h5")
after.write_file("after")
lines = [Path(name).read_text().count("augmentation occupancies") for name in ("before", "after")]
same_grid = all(np.allclose(before.data[k], after.data[k]) for k in grid)
print(f"occupancies before: {sorted(before.data_aug)}, after HDF5: {sorted(after.data_aug)};", end=" ")
print(f"lines in the CHGCAR that name them: {lines[0]} before, {lines[1]} after")
if not (same_grid and before.data_aug and not after.data_aug and lines == [2, 0]):
    sys.exit("the augmentation occupancies now survive HDF5")
PY
