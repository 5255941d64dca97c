#!/usr/bin/env bash
# lightning-fabric 2.6.6, torch 2.13.0
#
# Guess: `Fabric(precision="64-true")` runs in double precision from end to end.
# Behaviour: the parameters are float64 and so is everything inside `forward`, but what a set-up module returns is cast
#   to torch's default dtype: float32. Losses carry an error of 1e-8, and a finite-difference check of a gradient fails
#   although the weights are doubles.
# Seen: 1/3 in float64 through a module that returns its input: torch.float32, off by 9.9e-09; weights torch.float64
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lightning-fabric==2.6.6 torch==2.13.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from lightning_fabric import Fabric


class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.inside = None

    def forward(self, x):
        y = self.weight * x
        self.inside = y.dtype
        return y


fabric = Fabric(accelerator="cpu", precision="64-true")
fabric.launch()
model = fabric.setup(Scale())
x = torch.tensor([1 / 3], dtype=torch.float64)
y = model(x)
off = float((y.double() - x).abs())
print(f"1/3 in float64 through a module that returns its input: {y.dtype}, off by {off:.1e}; weights {model.weight.dtype}")
if not (y.dtype == torch.float32 and off > 1e-9 and model.inside == model.weight.dtype == torch.float64):
    sys.exit("Fabric now returns doubles in double precision")
PY
