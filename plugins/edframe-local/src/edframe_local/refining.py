"""Training by the gradient of any loss on whole grids, one sample per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.grid import Grid
from edframe.interfaces import Featurizer, Loss
from edframe.sample import Sample
from edframe_local.drawing import base_density
from edframe_local.electrons import with_electrons

if TYPE_CHECKING:
    from jaxtyping import Float


class Corrects(Protocol):
    """A featurizer whose corrections of a base density can be differentiated."""

    base: Featurizer

    def corrected(
        self, structure: Structure, grid: Grid, base: Float[Tensor, "s *grid"]
    ) -> Float[Tensor, "part s *grid"]:
        """The parts of the correction, ``[part, s, …]``."""


def refine(
    featurizer: Corrects,
    samples: Sequence[Sample],
    parameters: Sequence[Float[Tensor, "..."]],
    prepare: Callable[[], None],
    loss: Loss,
    steps: int,
    rate: float,
) -> Mapping[str, float]:
    """Adam on ``parameters``, from where they are; returns named numbers worth logging.

    ``prepare`` puts them into the featurizer before each step. The rate falls to nothing along a cosine. The density is
    that of the model ``baseline``: never negative, with the right electrons. Samples are taken in an order drawn anew
    for each epoch. In the end the parameters are their mean over the last quarter of the steps.
    """
    optimiser = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    mean = [torch.zeros_like(p) for p in parameters]
    tail = max(1, steps // 4)
    values, stuck = [], 0.0
    order: list[int] = []
    for step in range(steps):
        if not order:
            order = np.random.default_rng([0, step]).permutation(len(samples)).tolist()
        sample = samples[order.pop()]
        base = torch.from_numpy(base_density(featurizer.base, sample)).float()
        optimiser.zero_grad()
        with torch.enable_grad():
            prepare()
            density = (base + featurizer.corrected(sample.structure, sample.grid, base).sum(0))[None]
            electrons = torch.tensor([sample.electrons], dtype=torch.float64)
            predicted = with_electrons(density, electrons, sample.grid.voxel_volume)
            reference = torch.from_numpy(sample.density)[None].to(predicted)
            value, extras = loss.with_diagnostics(predicted, reference, sample.grid)
            torch.autograd.backward(value.sum())
        optimiser.step()
        schedule.step()
        values.append(float(value.detach()))
        stuck += float(extras["unconverged"].sum()) if "unconverged" in extras else 0.0
        if step >= steps - tail:
            for total, parameter in zip(mean, parameters, strict=True):
                total += parameter.detach() / tail
    with torch.no_grad():
        for total, parameter in zip(mean, parameters, strict=True):
            parameter.copy_(total)
        prepare()
    ends = {"first": values[: min(tail, len(samples))], "last": values[-min(tail, len(samples)) :]}
    numbers = {f"loss ({loss.unit}), {name} steps": float(np.mean(part)) for name, part in ends.items()}
    return numbers | ({"solves that did not converge": stuck} if stuck else {})
