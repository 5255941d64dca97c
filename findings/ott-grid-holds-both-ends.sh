#!/usr/bin/env bash
# ott-jax 0.6.0, jax 0.10.2
#
# Guess: `Grid(grid_size=[n])` puts n voxels into [0, 1), as FFT grids and periodic cells do: points i/n.
# Behaviour: the points are linspace(0, 1, n), both ends included, spacing 1/(n-1). For densities on i/n all squared
#   distances are too large by (n/(n-1))^2, 14% at n = 16 and 4% at n = 48; the points have to be given by `x=`.
# Seen: a blob moved by a quarter of a cell of 16 points (cost 0.0625): grid_size 0.0718, points given 0.0633
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ott-jax==0.6.0 jax==0.10.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import jax.numpy as jnp
from ott.geometry import grid
from ott.solvers import linear

n = 16
points = jnp.arange(n) / n


def blob(centre):
    density = jnp.exp(-(((points - centre) / 0.08) ** 2) / 2)
    return density / density.sum()


a, b = blob(0.3), blob(0.55)
by_size = float(linear.solve(grid.Grid(grid_size=[n], epsilon=2e-3), a, b).primal_cost)
by_points = float(linear.solve(grid.Grid(x=[points], epsilon=2e-3), a, b).primal_cost)
print(f"a blob moved by a quarter of a cell of {n} points (cost 0.0625): grid_size {by_size:.4f}, points given {by_points:.4f}")
if not (abs(by_size - 0.0625 * (n / (n - 1)) ** 2) < 1e-3 and abs(by_points - 0.0625) < 1e-3):
    sys.exit("Grid(grid_size=) no longer includes both ends")
PY
