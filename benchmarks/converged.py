"""The converged answer that errors are measured against: plain alternating iterations in float64, nothing clever.

Shares no code with the plugin: no coarse grids, no mixing. The blur is lowered on the full grid from the size of the
box, then u ← 1/K(b v), v ← 1/K(a u) are repeated until the marginal error is below ``TOLERANCE``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from problems import Problem
from torch import Tensor

TOLERANCE = 1e-10
LIMIT = 200_000
"""Most iterations at the final blur."""


@dataclass(frozen=True)
class Converged:
    """S in Å² per electron, ∂S/∂a as f_ab − f_aa ``[x, y, z]`` in Å², and what certifies them."""

    value: float
    potential: np.ndarray
    marginal_error: float
    iterations: int


class Kernel:
    """log(K exp(x)) of the squared distance over 2ε on an open orthogonal grid, one matrix product per axis."""

    def __init__(self, problem: Problem, blur: float) -> None:
        if any(problem.grid.periodic):
            raise ValueError("the converged answer is for open grids")
        self.epsilon = blur**2
        index = [torch.arange(n, dtype=torch.float64) for n in problem.grid.shape]
        steps = problem.grid.spacing
        self.logs = [-(((i[:, None] - i) * h) ** 2) / (2 * blur**2) for i, h in zip(index, steps, strict=True)]
        self.matrices = [log.exp() for log in self.logs]

    def __call__(self, x: Tensor) -> Tensor:
        """In the scaling domain, centred on the largest value, where that holds; else log-sum-exp axis by axis."""
        top = x.max() - 600  # sums of 64³ terms of e^600 fit into float64, and so do terms of e^-700
        sums = torch.einsum("ijk,ai,bj,ck->abc", (x - top).exp(), *self.matrices)
        if sums.min() > 1e-280:
            return sums.log() + top
        for axis, log in enumerate(self.logs):
            lines = x.movedim(axis, -1)
            x = torch.stack([torch.logsumexp(lines + row, dim=-1) for row in log], dim=axis)
        return x


def solve(problem: Problem, blur: float) -> Converged:
    """Three transports to convergence. Raises RuntimeError when ``LIMIT`` iterations do not suffice."""
    a, b = (torch.from_numpy(mass) for mass in problem.masses)
    log_a, log_b = a.log(), b.log()
    kernel = Kernel(problem, blur)
    own_a, own_b = (_own(kernel, mass, log) for mass, log in ((a, log_a), (b, log_b)))

    g = torch.zeros_like(b)  # in Å², kept from one blur to the next
    current = float(np.diag(problem.grid.vectors).max()) / 2
    while current > blur:  # only a start
        wide = Kernel(problem, current)
        g = -wide(log_a - wide(log_b + g / wide.epsilon)) * wide.epsilon
        current *= 0.8
    log_v = g / kernel.epsilon
    error, iteration = np.inf, 0
    while error > TOLERANCE and iteration < LIMIT:
        for _ in range(20):
            log_u = -kernel(log_b + log_v)
            previous, log_v = log_v, -kernel(log_a + log_u)
            iteration += 1
        error = float((b * ((previous - log_v).exp() - 1).abs()).nan_to_num().sum())
    if not error <= TOLERANCE:
        raise RuntimeError(f"{problem.name}: a marginal error of {error:.1e} is left after {iteration} iterations")
    log_u = -kernel(log_b + log_v)
    log_v = -kernel(log_a + log_u)
    excess = (a * (log_u - own_a)).sum() + (b * (log_v - own_b)).sum()
    return Converged(float(excess) * kernel.epsilon, ((log_u - own_a) * kernel.epsilon).numpy(), error, iteration)


def _own(kernel: Kernel, mass: Tensor, log: Tensor) -> Tensor:
    """log s with s = 1/K(a s), by s ← √(s/K(a s))."""
    log_s = torch.zeros_like(mass)
    for _ in range(2000):
        step = (-kernel(log + log_s) - log_s) / 2
        log_s = log_s + step
        if float((mass * step.abs()).sum()) < 1e-14:
            break
    return log_s


def cached(problem: Problem, blur: float, folder: Path) -> Converged:
    """``solve``, or what it found before: the name of the file holds a digest of both densities and the blur."""
    content = np.stack([problem.a, problem.b]).tobytes() + repr((problem.grid.to_dict(), blur)).encode()
    n = problem.grid.shape[0]
    path = folder / f"{problem.name}-{n}-{blur:.3f}-{hashlib.sha256(content).hexdigest()[:12]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return Converged(float(file["value"]), file["potential"], float(file["error"]), int(file["iterations"]))
    answer = solve(problem, blur)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        value=answer.value,
        potential=answer.potential,
        error=answer.marginal_error,
        iterations=answer.iterations,
    )
    unfinished.rename(path)
    return answer
