#!/usr/bin/env bash
# zarr 3.1.6, h5py 3.16.0, NumPy 2.4.6
#
# Guess: what `resize` cut off is gone; after growing again the new part holds the fill value, as in HDF5.
# Behaviour: whole chunks are deleted and the chunk at the edge is kept as it is. When the array grows again, old values
#   stand in the new part up to the chunk's border, and the fill value after it.
# Seen: 1..10 in chunks of 4, cut to 5 and grown to 10. zarr: [1, 2, 3, 4, 5, 6, 7, 8, 0, 0], h5py: [1, 2, 3, 4, 5, 0,
#   0, 0, 0, 0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check zarr==3.1.6 h5py==3.16.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import h5py
import numpy as np
import zarr

values = np.arange(1, 11)
array = zarr.create_array(store="steps.zarr", shape=(10,), chunks=(4,), dtype="i4", fill_value=0)
array[:] = values
array.resize((5,))
array.resize((10,))
with h5py.File("steps.h5", "w") as file:
    dataset = file.create_dataset("steps", data=values, chunks=(4,), maxshape=(None,))
    dataset.resize((5,))
    dataset.resize((10,))
    other = dataset[:].tolist()
one = array[:].tolist()
print(f"1..10 in chunks of 4, cut to 5 and grown to 10. zarr: {one}, h5py: {other}")
if not (one == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0] and other == [1, 2, 3, 4, 5, 0, 0, 0, 0, 0]):
    sys.exit("zarr now clears the chunk at the edge when an array shrinks")
PY
