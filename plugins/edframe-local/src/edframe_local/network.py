"""A small network per point on the same invariants, which corrects the linear answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edframe_local.orthogonal import Orthogonal

if TYPE_CHECKING:
    from jaxtyping import Float

SMALL = 0.02
"""e/Å^d: errors of a density are about as its square root above, and in proportion to it below."""
UNIT = 0.02
"""Of the network's output, in those errors."""
COMPONENTS = 400
"""Principal components of the inputs, at most, that the network is trained on: the rest is noise of rounding."""
WHITENED = 0.75
"""0 leaves each component its size, 1 makes all of one size."""
SLOWING = 0.8
"""Part of the steps, the last, in which the rate falls to nothing."""


def arcsinh(x: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
    """As torch.asinh, to 1e-7, which takes ten times as long on a processor."""
    size = x.abs()
    return (size * size).add_(1).sqrt_().add_(size).log_().copysign_(x)


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

    @torch.no_grad()
    def inputs(
        self, functions: Float[Tensor, "p inputs"], base: Float[Tensor, "p s"], linear: Float[Tensor, "p s"]
    ) -> tuple[Float[Tensor, "p inputs"], Float[Tensor, "p 1+s"]]:
        """What the first layer sees, ``[p, inputs]`` and ``[p, 1 + s]``: functions ``[p, inputs]``, densities
        ``[p, s]``. Each in the order of memory that it had."""
        standard = arcsinh((functions - self.mean).mul_(1 / self.deviation))
        known = (base[:, :1] + 1e-4).log()
        return standard, torch.cat([known, arcsinh(linear / (0.05 * (base[:, :1] + 1e-2)))], 1)

    def unit(self, base: Float[Tensor, "p s"]) -> Float[Tensor, "p 1"]:
        """Of the output, e/Å^d, ``[p, 1]``."""
        total = base[:, :1].clamp_min(0)
        return UNIT * (total * (total + SMALL)).sqrt()

    def forward(
        self, functions: Float[Tensor, "p inputs"], base: Float[Tensor, "p s"], linear: Float[Tensor, "p s"]
    ) -> Float[Tensor, "p s"]:
        """The correction of base + linear, ``[p, s]`` in e/Å^d."""
        correction: Tensor = self.last(self.hidden(functions, base, linear)) * self.unit(base)
        return correction

    def hidden(
        self, functions: Float[Tensor, "p inputs"], base: Float[Tensor, "p s"], linear: Float[Tensor, "p s"]
    ) -> Float[Tensor, "p width"]:
        """The last layer but one."""
        standard, others = self.inputs(functions, base, linear)
        first, *rest = self.body
        assert isinstance(first, nn.Linear)
        own, more = first.weight[:, : standard.shape[1]], first.weight[:, standard.shape[1] :]
        values: Tensor = nn.functional.linear(standard, own, first.bias) + others @ more.T
        for layer in rest:
            values = layer(values)
        return values


def components(inputs: Float[Tensor, "p n"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n k"]]:
    """The mean of ``inputs`` ``[p, n]``, and what projects them on their principal components, ``[n, k]``.

    Radial functions next to each other are nearly the same, so variances of components span six orders of magnitude,
    and a gradient step sees only the largest. Each is divided by its deviation to the power ``WHITENED``.
    """
    centre = inputs.mean(0)
    some = (inputs[:: max(1, len(inputs) // 100_000)] - centre).double()
    variances, directions = torch.linalg.eigh(some.T @ some / len(some))
    variances, directions = variances.flip(0)[:COMPONENTS], directions.flip(1)[:, :COMPONENTS]
    kept = variances > 1e-8 * variances[0]
    scale = variances[kept] ** (0.5 * WHITENED)
    size = (variances[kept].sqrt() / scale).mean()
    return centre, (directions[:, kept] / scale / size).float()


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
    over that of the linear answer. All of ``[p, …]``; deterministic in ``seed`` on one device.

    A first layer on the principal components of the inputs takes the place of the network's own, which is their
    product in the end. Matrices move by ``Orthogonal``, all else by Adam.
    """
    network.standardise(functions)
    with torch.no_grad():
        unit = network.unit(base)
        parts = (torch.split(tensor, 8192) for tensor in (functions, base, linear))
        inputs = torch.cat([torch.cat(network.inputs(*part), 1) for part in zip(*parts, strict=True)])
        centre, projection = components(inputs)
        inputs = torch.cat([(part - centre) @ projection for part in torch.chunk(inputs, 1 + len(inputs) // 8192)])
        wanted = (target - base - linear) / unit.clamp_min(1e-12)
        weight = volume[:, None] * unit
        weight = weight / weight.mean()
    own = network.body[0]
    assert isinstance(own, nn.Linear)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = nn.Linear(projection.shape[1], own.out_features).to(inputs.device)
    body = nn.Sequential(first, *list(network.body)[1:])
    generator = torch.Generator(device="cpu").manual_seed(seed)
    matrices = [p for p in body.parameters() if p.ndim == 2]
    others = [*(p for p in body.parameters() if p.ndim < 2), *network.last.parameters()]
    optimisers = [Orthogonal(matrices, rate), torch.optim.Adam(others, lr=rate)]
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda k: min(1.0, 20 * (k + 1) / steps, (1 - k / steps) / SLOWING))
        for o in optimisers
    ]
    recent = start = float((weight * wanted.abs()).mean())
    for step in range(steps):
        chosen = torch.randint(len(inputs), (points,), generator=generator).to(inputs.device)
        value = (weight[chosen] * (network.last(body(inputs[chosen])) - wanted[chosen]).abs()).mean()
        for optimiser in optimisers:
            optimiser.zero_grad()
        value.backward()
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
        recent += 0.01 * (value.item() - recent)
        if show is not None:
            show(step + 1, recent / start)
    with torch.no_grad():
        own.weight.copy_(first.weight @ projection.T)
        own.bias.copy_(first.bias - own.weight @ centre)
    return recent / max(start, 1e-30)
