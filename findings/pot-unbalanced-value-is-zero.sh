#!/usr/bin/env bash
# POT 0.9.7.post1, NumPy 2.4.6
#
# Guess: `ot.solve(M, a, b, reg=..., unbalanced=...)` has in `value` the whole cost, as its documentation says and as it
#   is without `reg` or without `unbalanced`.
# Behaviour: with both, `value` is next to zero whatever the densities: only the plan and `value_linear` can be used. A
#   loss taken from it is flat.
# Seen: reg 0.1, unbalanced 1: value 7e-10, although moving the plan alone costs value_linear = 0.0588; without reg:
#   value 0.0430
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

points = np.linspace(0, 1, 5)[:, None]
cost = ot.dist(points, points)
a, b = np.full(5, 0.2), np.array([0.4, 0.3, 0.1, 0.1, 0.1])
both = ot.solve(cost, a, b, reg=0.1, unbalanced=1.0)
alone = ot.solve(cost, a, b, unbalanced=1.0)
moved = float((both.plan * cost).sum())
print(f"reg 0.1, unbalanced 1: value {both.value:.0e}, although moving the plan alone costs value_linear = {both.value_linear:.4f};", end=" ")
print(f"without reg: value {alone.value:.4f}")
if not (abs(both.value) < 1e-6 and abs(both.value_linear - moved) < 1e-12 and moved > 0.05 and alone.value > alone.value_linear > 0):
    sys.exit("the value of the regularised unbalanced problem is no longer zero")
PY
