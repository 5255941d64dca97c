#!/usr/bin/env bash
# geomloss 0.3.1, pykeops 2.3, torch 2.13.0
#
# Guess: what the package documents can be called: `geomloss.ot.solve_grid(a, b)` for densities on a grid, and
#   `SamplesLoss("hausdorff")`.
# Behaviour: `solve_grid` has a full signature (axes, periodic, reach) and stops with a NameError before it has looked
#   at its arguments; the Hausdorff loss can be built and stops with KeyError: None when called; `from geomloss import
#   *` stops with an AttributeError because two names stand in one string of `__all__`.
# Seen: solve_grid: NameError; hausdorff: KeyError; import *: AttributeError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check geomloss==0.3.1 pykeops==2.3 torch==2.13.0
cd "$work"
export HOME="$work" # KeOps keeps its compiled formulas there
"$work/venv/bin/python" -W ignore - <<'PY'
import inspect
import sys

import geomloss
import torch
from geomloss import ot

density = torch.full((1, 8, 8), 1 / 64)
cloud = torch.rand(5, 3)
calls = {
    "solve_grid": lambda: ot.solve_grid(density, density),
    "hausdorff": lambda: geomloss.SamplesLoss("hausdorff", blur=0.1, backend="tensorized")(cloud, cloud + 1),
    "import *": lambda: exec("from geomloss import *", {}),
}
raised = {}
for name, call in calls.items():
    try:
        call()
    except Exception as error:
        raised[name] = type(error).__name__
print("; ".join(f"{name}: {error}" for name, error in raised.items()))
if not ("periodic" in inspect.signature(ot.solve_grid).parameters and list(raised.values()) == ["NameError", "KeyError", "AttributeError"]):
    sys.exit("geomloss now has code behind these names, or withdrew them")
PY
