#!/usr/bin/env bash
# POT 0.9.7.post1, NumPy 2.4.6
#
# Guess: POT refuses weights of different sums in every balanced distance, as `ot.emd2` and `ot.emd2_1d` do with an
#   error.
# Behaviour: `wasserstein_1d` and the sliced distances take them. The quantile functions end at different masses, and
#   what the heavier one has left over is paid by moving it to the largest points of the other: a cloud of 10 electrons
#   has a distance from the same cloud with 8, and the number grows with the cloud.
# Seen: 10 against 8 electrons on the same points: ot.emd2 AssertionError, ot.emd2_1d AssertionError, sliced 1.66; on
#   points twice as far apart: 3.32
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check POT==0.9.7.post1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import ot

points = np.random.default_rng(0).normal(size=(40, 3))
a, b = np.full(40, 10 / 40), np.full(40, 8 / 40)


def outcome(call):
    try:
        return f"{float(call()):.2f}"
    except AssertionError as error:
        return type(error).__name__


def sliced(x, weights=b):
    return float(ot.sliced_wasserstein_distance(x, x, a, weights, n_projections=50, seed=0))


strict = outcome(lambda: ot.emd2(a, b, ot.dist(points, points))), outcome(lambda: ot.emd2_1d(points[:, 0], points[:, 0], a, b))
here, there = sliced(points), sliced(2 * points)
print(f"10 against 8 electrons on the same points: ot.emd2 {strict[0]}, ot.emd2_1d {strict[1]}, sliced {here:.2f}; on points twice as far apart: {there:.2f}")
if not (strict == ("AssertionError", "AssertionError") and here > 1 and abs(there / here - 2) < 1e-6 and sliced(points, a) < 1e-9):
    sys.exit("the sliced distance now refuses weights of different sums")
PY
