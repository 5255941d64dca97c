#!/usr/bin/env bash
# pykeops 2.3 with its compiled CPU backend (needs g++ and Python's headers), NumPy 2.4.6
#
# Guess: asking for more neighbours than there are points raises an error (as torch.topk does), or marks the missing
#   ones (SciPy's KD-tree gives the index n, which no array accepts).
# Behaviour: `argKmin` fills up with index 0, a valid index. A graph of atoms built with a fixed number of neighbours
#   gets extra bonds to the first atom in every small molecule; only `Kmin` shows it, with infinite distances.
# Seen: argKmin(K=4) among 2 points: [0, 1, 0, 0], distances [0.0, 1.0, inf, inf]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pykeops==2.3 numpy==2.4.6
cd "$work"
export HOME="$work" # KeOps keeps its compiled formulas there
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from pykeops.numpy import LazyTensor

atoms = np.array([[0.0], [1.0]])
probe = np.array([[0.0]])
distance = ((LazyTensor(probe[:, None, :]) - LazyTensor(atoms[None, :, :])) ** 2).sum(-1)
index = distance.argKmin(K=4, dim=1)[0].astype(int).tolist()
value = distance.Kmin(K=4, dim=1)[0].tolist()
print(f"argKmin(K=4) among 2 points: {index}, distances {value}")
if not (index == [0, 1, 0, 0] and value[2:] == [float("inf")] * 2):
    sys.exit("argKmin no longer fills up with the first point")
PY
