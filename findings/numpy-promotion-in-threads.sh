#!/usr/bin/env bash
# NumPy 2.1.1
#
# Guess: NumPy 2 gives `np.float32(3) * 0.1` the type float32 wherever it is computed.
# Behaviour: in every thread but the main one it is float64, by the rules of NumPy 1, so that the same function gives
#   other digits in a thread. 2.0.2 and 2.1.2 give float32 everywhere.
# Seen: main thread float32, another thread float64
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.1.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def kind() -> str:
    return (np.float32(3) * 0.1).dtype.name


with ThreadPoolExecutor(1) as pool:
    other = pool.submit(kind).result()
print(f"main thread {kind()}, another thread {other}")
if (kind(), other) != ("float32", "float64"):
    sys.exit("a product in another thread is no longer float64")
PY
