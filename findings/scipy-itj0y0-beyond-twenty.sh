#!/usr/bin/env bash
# SciPy 1.16.3, NumPy 2.3.5
#
# Guess: `scipy.special.itj0y0(x)[0]`, the integral of the Bessel function J0 from 0 to x, is right wherever J0 is.
# Behaviour: above x = 20 it is wrong by many orders of magnitude and in its sign, without a warning. Up to 20 it
#   is right to ten digits. SciPy 1.17.0 is right.
# Seen: integral of J0 up to 20: 1.058379, by quadrature 1.058379; up to 30: -6.55e+09, by quadrature 0.884249
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check scipy==1.16.3 numpy==2.3.5
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

from scipy.integrate import quad
from scipy.special import itj0y0, j0

near, far = ((itj0y0(x)[0], quad(j0, 0, x, limit=200)[0]) for x in (20.0, 30.0))
print(f"integral of J0 up to 20: {near[0]:.6f}, by quadrature {near[1]:.6f}; up to 30: {far[0]:.2e}, by quadrature {far[1]:.6f}")
if not (abs(near[0] - near[1]) < 1e-8 and abs(far[0]) > 1e6):
    sys.exit("the integral of J0 is no longer wrong above 20")
PY
