#!/usr/bin/env bash
# ott-jax 0.6.0, jax 0.10.2
#
# Guess: `converged` of a Sinkhorn output is true only where the cost is a number.
# Behaviour: in float32 (JAX's default) the scaling form (`lse_mode=False`) underflows in the vacuum between two distant
#   atoms although every voxel holds mass; the marginal error does not see those voxels, the run ends as converged and
#   the cost is minus infinity. The slower log-sum-exp form is right.
# Seen: two blobs 0.4 apart on 24^3 points, vacuum 1e-09, blur one voxel. lse_mode=False: converged True, cost -inf,
#   potentials not finite at 103 points; lse_mode=True: converged True, cost 0.170
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

n, vacuum = 24, 1e-9
points = jnp.arange(n) / n


def blob(*centre):
    x, y, z = (jnp.exp(-(((points - c) / 0.06) ** 2) / 2) for c in centre)
    density = x[:, None, None] * y[None, :, None] * z[None, None, :]
    density = density / density.sum() + vacuum
    return (density / density.sum()).ravel()


a, b = blob(0.3, 0.5, 0.5), blob(0.7, 0.5, 0.5)
seen = []
for lse in (False, True):
    out = linear.solve(grid.Grid(x=[points] * 3, epsilon=2 / n**2), a, b, lse_mode=lse)
    bad = int((~jnp.isfinite(out.f)).sum())
    seen.append((lse, bool(out.converged), float(out.reg_ot_cost), bad))
print(f"two blobs 0.4 apart on {n}^3 points, vacuum {vacuum:.0e}, blur one voxel.", end=" ")
print("; ".join(f"lse_mode={m}: converged {c}, cost {v:.3f}, potentials not finite at {k} points" for m, c, v, k in seen))
if not (a.min() > 0 and seen[0][1] and seen[0][2] == -jnp.inf and seen[1][1] and abs(seen[1][2] - 0.17) < 0.01):
    sys.exit("a cost that is not finite is no longer reported as converged")
PY
