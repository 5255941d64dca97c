"""A small network per point on the same invariants, which corrects the linear answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

SMALL = 0.02
"""e/Å^d: errors of a density are about as its square root above, and in proportion to it below."""
UNIT = 0.02
"""Of the network's output, in those errors."""


class PointNetwork(nn.Module):
    """Invariants of a point, its base density and the linear answer → what the linear answer lacks, in e/Å^d.

    The last layer starts with zeros, so that the linear answer is the start. The output is in proportion to the base
    density where that is small: nothing in a vacuum.
    """

    mean: Float[Tensor, "inputs"]
    deviation: Float[Tensor, "inputs"]

    def __init__(self, inputs: int, spins: int, width: int, layers: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        sizes = [inputs + 1 + spins, *[width] * layers]
        hidden = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
        self.body = nn.Sequential(*hidden)
        self.last = nn.Linear(width, spins)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def standardise(self, functions: Float[Tensor, "p inputs"]) -> None:
        """Mean and deviation of the inputs from ``functions`` ``[p, inputs]`` of the training points."""
        self.mean.copy_(functions.mean(0))
        self.deviation.copy_(functions.std(0) + 1e-9)

    def inputs(
        self, functions: Float[Tensor, "p inputs"], base: Float[Tensor, "p s"], linear: Float[Tensor, "p s"]
    ) -> Float[Tensor, "p inputs+1+s"]:
        """What the first layer sees, ``[p, inputs + 1 + s]``: functions ``[p, inputs]``, densities ``[p, s]``."""
        standard = torch.asinh((functions - self.mean) / self.deviation)
        known = (base[:, :1] + 1e-4).log()
        return torch.cat([standard, known, torch.asinh(linear / (0.05 * (base[:, :1] + 1e-2)))], 1)

    def unit(self, base: Float[Tensor, "p s"]) -> Float[Tensor, "p 1"]:
        """Of the output, e/Å^d, ``[p, 1]``."""
        total = base[:, :1].clamp_min(0)
        return UNIT * (total * (total + SMALL)).sqrt()

    def forward(
        self, functions: Float[Tensor, "p inputs"], base: Float[Tensor, "p s"], linear: Float[Tensor, "p s"]
    ) -> Float[Tensor, "p s"]:
        """The correction of base + linear, ``[p, s]`` in e/Å^d."""
        correction: Tensor = self.last(self.body(self.inputs(functions, base, linear))) * self.unit(base)
        return correction


def train(
    network: PointNetwork,
    functions: Float[Tensor, "p inputs"],
    base: Float[Tensor, "p s"],
    linear: Float[Tensor, "p s"],
    target: Float[Tensor, "p s"],
    volume: Float[Tensor, "p"],
    *,
    steps: int,
    points: int,
    rate: float,
    seed: int,
    show: Callable[[int, float], None] | None = None,
) -> float:
    """Trains on ``points`` drawn per step by the mean absolute error, volumes as weights; returns the last mean of it
    over that of the linear answer. All of ``[p, …]``; deterministic in ``seed`` on one device."""
    network.standardise(functions)
    with torch.no_grad():
        unit = network.unit(base)
        parts = (torch.split(tensor, 8192) for tensor in (functions, base, linear))
        inputs = torch.cat([network.inputs(*part) for part in zip(*parts, strict=True)])
        wanted = (target - base - linear) / unit.clamp_min(1e-12)
        weight = volume[:, None] * unit
        weight = weight / weight.mean()
    generator = torch.Generator(device="cpu").manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    recent = start = float((weight * wanted.abs()).mean())
    for step in range(steps):
        chosen = torch.randint(len(inputs), (points,), generator=generator).to(inputs.device)
        value = (weight[chosen] * (network.last(network.body(inputs[chosen])) - wanted[chosen]).abs()).mean()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        recent += 0.01 * (value.item() - recent)
        if show is not None:
            show(step + 1, recent / start)
    return recent / max(start, 1e-30)
