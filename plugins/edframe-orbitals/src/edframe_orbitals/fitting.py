"""The few numbers of the Hamiltonian from densities: by gradient, through the orbitals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from edframe.io.units import BOHR
from edframe_orbitals.hamiltonian import Hamiltonian, Orbitals

if TYPE_CHECKING:
    from jaxtyping import Float, Int

TOGETHER = 12
"""Molecules of each step."""
RATES = {"contraction": 0.01, "scale": 0.005, "level": 0.004, "hardness": 0.006, "coupling": 0.01, "pair": 0.006}
"""Of Adam, for each kind of number."""
SLOWING = 0.6
"""Part of the steps, the last, in which rates fall to nothing."""


@dataclass(frozen=True)
class Points:
    """Points of one sample. kinds ``[a]``, positions ``[a, 3]`` and seen ``[n, 3]`` in Å, which ``[n]``: of which point
    each is an image, see ``Molecule.near``; target ``[p]`` in e/Å³, volume ``[p]`` in Å³."""

    kinds: Int[Tensor, "a"]
    positions: Float[Tensor, "a 3"]
    electrons: float
    which: Int[Tensor, "n"]
    seen: Float[Tensor, "n 3"]
    target: Float[Tensor, "p"]
    volume: Float[Tensor, "p"]


def fit(hamiltonian: Hamiltonian, samples: Sequence[Points], steps: int) -> float:
    """Changes ``hamiltonian``; returns the NMAE of its densities at the points of the last samples, in %.

    The mean of ∫|error| / electrons over ``TOGETHER`` samples is what Adam makes smaller; deterministic.
    """
    groups = [{"params": [parameter], "lr": RATES[name]} for name, parameter in hamiltonian.named_parameters()]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: min(1.0, (1 - k / steps) / SLOWING))
    rng = np.random.default_rng(0)
    recent: list[float] = []
    for _ in range(steps):
        optimiser.zero_grad()
        chosen = rng.choice(len(samples), min(TOGETHER, len(samples)), replace=False)
        for place in chosen:
            with torch.enable_grad():
                value = _error(hamiltonian, samples[int(place)]) / len(chosen)
                value.backward()  # type: ignore[no-untyped-call]
            recent.append(100 * float(value.detach()) * len(chosen))
        optimiser.step()
        schedule.step()
    return float(np.mean(recent[-100:]))


def _error(hamiltonian: Hamiltonian, sample: Points) -> Float[Tensor, ""]:
    solution, density = hamiltonian(sample.kinds, sample.positions / BOHR, sample.electrons)
    values = orbitals_at(solution, sample.seen / BOHR)
    held = ((values @ density) * values).sum(1) / BOHR**3
    predicted = torch.zeros_like(sample.target).index_add(0, sample.which, held)
    wanted = (sample.volume * sample.target).sum()
    return (sample.volume * (predicted - sample.target).abs()).sum() / wanted


def orbitals_at(solution: Orbitals, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p o"]:
    """The atoms' orbitals at ``points`` in bohr, so that gradients reach their shapes."""
    apart = points[:, None] - solution.positions[None]
    squared = apart.square().sum(-1, keepdim=True)
    s, p = (
        (torch.exp(-solution.exponents[:, ell] * squared) * solution.coefficients[:, ell]).sum(-1, keepdim=True)
        for ell in (0, 1)
    )
    return torch.cat([s, p * apart], -1).flatten(1)[:, solution.shown]
