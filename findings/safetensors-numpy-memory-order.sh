#!/usr/bin/env bash
# safetensors 0.8.0 (NumPy interface), NumPy 2.4.6
#
# Guess: `safetensors.numpy.save_file` stores any array, or refuses one that is not contiguous, as its torch interface
#   does.
# Behaviour: it copies nbytes of raw memory from the first element and writes the shape beside it, without a look at the
#   strides. A density in Fortran order (as read from a CHGCAR), a transposed one and one with a step come back
#   scrambled; a step even brings back values that were never in the array. No error, no warning; the docstring asks for
#   contiguous arrays, and 0.7.0 stored all three correctly.
# Seen: written [[0. 1. 2.] [3. 4. 5.]] in Fortran order, read [[0. 3. 1.] [4. 2. 5.]];
#   written [0. 2. 4.] (every second value), read [0. 1. 2.]; with 0.7.0 both are read as written
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > probe.py <<'PY'
import numpy as np
from safetensors.numpy import load_file, save_file

fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
stepped = np.arange(6.0)[::2]
save_file({"fortran": fortran, "stepped": stepped}, "density.safetensors")
read = load_file("density.safetensors")


def line(array):
    return " ".join(str(array).split())


print(f"written {line(fortran)} in Fortran order, read {line(read['fortran'])}")
print(f"written {line(stepped)} (every second value), read {line(read['stepped'])}")
print("intact" if all(np.array_equal(read[k], v) for k, v in dict(fortran=fortran, stepped=stepped).items()) else "scrambled")
PY
for version in 0.8.0 0.7.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --no-compile --disable-pip-version-check "safetensors==$version" numpy==2.4.6
    echo "safetensors $version"
    "$work/$version/bin/python" probe.py | tee "$version.txt"
done
if ! { grep -qx scrambled 0.8.0.txt && grep -qx intact 0.7.0.txt; }; then
    echo "safetensors 0.8.0 no longer scrambles arrays that are not in C order, or 0.7.0 did so too" >&2
    exit 1
fi
