"""The least value of a convex loss over the coefficients of an affine density, to a stated residual.

    Φ(z) = Σ_l t_l L_l(ρ(z)) / L_l(ρ(z₁)) + η |z|²/|z₁|² + μ B(ρ(z))

z₁ is the weighted least-squares solution of the model, one for all losses, so that Φ has no unit. The ridge η decides
where the losses do not: among densities that are nearly equally good, the nearest to the baseline.
B(ρ) = −mean log(ρ/ρ₀) holds the density above zero where the loss asks for it: transport is defined for nonnegative
densities alone. Its minimum is within μ of that of the constrained problem (Boyd and Vandenberghe, Convex Optimization,
section 11.2.2). The absolute error is smoothed, √(e² + δ²) − δ, and δ is lowered; ``l1_gap`` bounds what that costs.

Steps are Newton's, with the exact Hessian of l1, l2 and ridge, and for other losses that of the loss at the reference,
updated from gradients (BFGS); the barrier's has multipliers of its own (primal and dual). They are halved until Φ falls
enough (Armijo).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from convex_model import Affine, Array
from scipy.linalg import cho_factor, cho_solve

from edframe.interfaces import Loss

ENOUGH = 2e-5
"""Half the squared Newton decrement, the expected rest of Φ, to stop at; Φ is of order one."""
BARRIERS = (1.0, 3e-4)
"""The first and the last μ."""
SMOOTHINGS = (1e-1, 1e-4)
"""The first and the last δ, e/Å^d."""
STEPS = 60
"""Newton steps of each barrier and smoothing, at most."""


class Remembered:
    """What a loss stored of the samples, for warm starts."""

    step = 1

    def __init__(self) -> None:
        self.stored: dict[str, torch.Tensor] = {}

    def recall(self, name: str) -> torch.Tensor | None:
        return self.stored.get(name)

    def keep(self, name: str, values: torch.Tensor) -> None:
        self.stored[name] = values


class Gradient:
    """A registered loss by value and gradient. curvature: ``[k, k]``, that at the reference, updated on the way."""

    def __init__(self, model: Affine, loss: Loss, curvature: Array) -> None:
        self.model, self.loss, self.curvature = model, loss, curvature
        self.visit = Remembered()
        self.evaluations, self.unconverged = 0, 0.0
        self.reference = torch.from_numpy(model.reference).reshape(-1, 1, *model.grid.shape)

    def __call__(self, density: Array) -> tuple[float, Array]:
        """Mean over samples, and its gradient by z."""
        predicted = torch.from_numpy(density).reshape(self.reference.shape).requires_grad_()
        values, extras = self.loss.with_diagnostics(predicted, self.reference, self.model.grid, self.visit)
        (slope,) = torch.autograd.grad(values.mean(), predicted)
        self.evaluations += 1
        self.unconverged += float(extras["unconverged"].sum()) if "unconverged" in extras else 0.0
        return float(values.detach().mean()), self.model.slope(slope.reshape(density.shape).numpy())

    def hessian(self, density: Array) -> tuple[Array | float, Array | float]:
        """Its parts: a weight of each point ``[n, p]``, and a matrix ``[k, k]``."""
        return 0.0, self.curvature

    def update(self, step: Array, change: Array) -> None:
        """BFGS, of this loss alone."""
        seen = self.curvature @ step
        if change @ step > 1e-10 * np.linalg.norm(change) * np.linalg.norm(step):
            self.curvature = (
                self.curvature + np.outer(change, change) / (change @ step) - np.outer(seen, seen) / (step @ seen)
            )


class Pointwise:
    """∫ φ(ρ − ρ_ref) / N of each sample, with φ(e) = e² (``smoothing`` None) or √(e² + δ²) − δ."""

    evaluations, unconverged = 0, 0.0

    def __init__(self, model: Affine, smoothing: float | None) -> None:
        self.model, self.smoothing = model, smoothing
        self.weight = model.grid.voxel_volume / model.electrons[:, None] / len(model.base)

    def __call__(self, density: Array) -> tuple[float, Array]:
        error = density - self.model.reference
        if self.smoothing is None:
            return float((self.weight * error**2).sum()), self.model.slope(2 * self.weight * error)
        root = np.sqrt(error**2 + self.smoothing**2)
        value = float((self.weight * (root - self.smoothing)).sum())
        return value, self.model.slope(self.weight * error / root)

    def hessian(self, density: Array) -> tuple[Array | float, Array | float]:
        """Its parts: a weight of each point ``[n, p]``, and a matrix ``[k, k]``."""
        error = density - self.model.reference
        if self.smoothing is None:
            return 2 * self.weight * np.ones_like(error), 0.0
        return self.weight * self.smoothing**2 / (error**2 + self.smoothing**2) ** 1.5, 0.0

    def update(self, step: Array, change: Array) -> None:
        """Its Hessian is exact."""


Term = Gradient | Pointwise


def l1_gap(model: Affine, z: Array, smoothing: float, ridge: float) -> float:
    """How far ∫|e|/N + ridge |z|² at ``z`` is from its least value, at most, as a fraction of it: by its dual.

    The dual of min Σ w |r − G z| + ridge |z|² is max ⟨w y, r⟩ − |Gᵀ w y|²/(4 ridge) over |y| ≤ 1; y = e/√(e² + δ²) is
    feasible (Boyd and Vandenberghe, Convex Optimization, section 5.1).
    """
    rest = model.reference - model.base
    error = rest - model.change(z)
    weight = model.grid.voxel_volume / model.electrons[:, None] / len(model.base)
    dual = weight * error / np.sqrt(error**2 + smoothing**2)
    value = float((weight * np.abs(error)).sum() + ridge * z @ z)
    return 1 - float((dual * rest).sum() - (model.slope(dual) ** 2).sum() / (4 * ridge)) / value


@dataclass
class Solution:
    """z: coefficients. losses: values of the terms. decrement: half the squared Newton decrement, of Φ. gradient: |∇Φ|
    in units of that at z = 0. least: smallest training density, e/Å^d."""

    z: Array
    losses: Mapping[str, float]
    decrement: float
    gradient: float
    steps: int
    evaluations: int
    unconverged: float
    seconds: float
    least: float
    path: list[tuple[float, Array]] = field(default_factory=list)


def weighted_least_squares(model: Affine) -> Array:
    """z₁: the least ∫ e²/(ρ₀ + 0.001), which is the weight ``relative`` of the featurizer ``local``."""
    weight = 1 / (model.base + 1e-3)
    return np.asarray(np.linalg.solve(model.squares(weight), model.slope(weight * (model.reference - model.base))))


def _room(values: Array, change: Array) -> float:
    """How much of a change keeps positive values positive: 0.99 of the way to the first zero."""
    falling = change < 0
    return 0.99 * float((-values[falling] / change[falling]).min(initial=np.inf))


def minimise(
    model: Affine,
    terms: Mapping[str, tuple[float, Callable[[float | None], Term]]],
    unit: Mapping[str, float],
    *,
    ridge: float,
    positive: bool,
    start: Array | None = None,
    enough: float = ENOUGH,
) -> Solution:
    """The minimum of Σ t_l L_l / unit_l + ridge |z|² (+ barrier), from ``start``; with a barrier it must be positive.

    terms: (t, what makes the loss for a smoothing of the absolute error, which others ignore).
    """
    begun, steps = time.process_time(), 0
    z = np.zeros(model.size) if start is None else start.copy()
    made = {name: make(None) for name, (_, make) in terms.items()}
    smooth, barrier, points = SMOOTHINGS[0], BARRIERS[0] if positive else 0.0, model.base.size
    multiplier = barrier / points / model.density(z)
    path: list[tuple[float, Array]] = []
    first = None

    def evaluate(at: Array) -> tuple[float, Array, dict[str, tuple[float, Array]], Array] | None:
        density = model.density(at)
        value, slope = ridge * float(at @ at), 2 * ridge * at
        if positive:
            if density.min() <= 0:
                return None
            value -= barrier * float(np.log(density / model.base).mean())
            slope = slope - barrier * model.slope(1 / density) / points
        parts = {name: term(density) for name, term in made.items()}
        for name, (part, gradient) in parts.items():
            value += terms[name][0] / unit[name] * part
            slope = slope + terms[name][0] / unit[name] * gradient
        return value, slope, parts, density

    while True:
        if "l1" in terms:
            made["l1"] = terms["l1"][1](smooth)
        here = evaluate(z)
        assert here is not None, "the start is not positive"
        first = float(np.linalg.norm(here[1])) if first is None else first
        last = barrier <= BARRIERS[-1] and ("l1" not in terms or smooth <= SMOOTHINGS[-1])
        for _ in range(STEPS):
            value, slope, parts, density = here
            hessian, weight = 2 * ridge * np.eye(model.size), multiplier / density if positive else 0.0 * density
            for name, term in made.items():
                points_of_it, matrix = term.hessian(density)
                weight = weight + terms[name][0] / unit[name] * points_of_it
                hessian += terms[name][0] / unit[name] * matrix
            if weight.any():
                hessian += model.squares(weight)
            step = -cho_solve(cho_factor(hessian), slope)
            decrement = -float(slope @ step) / 2
            if decrement < (enough if last else max(enough, 0.3 * barrier, 3e-3 * abs(value))):
                break
            change = model.change(step)
            size = 1.0
            if positive:
                size = min(1.0, _room(density, change))
            there = evaluate(z + size * step)
            while there is None or there[0] > value + 1e-4 * size * float(slope @ step):
                size /= 2
                if size < 1e-8:
                    break
                there = evaluate(z + size * step)
            if there is None or size < 1e-8:
                break
            if positive:
                turned = barrier / points / density - multiplier - multiplier / density * change
                multiplier = multiplier + min(1.0, _room(multiplier, turned)) * turned
                goal = barrier / points / there[3]
                multiplier = np.clip(multiplier, goal / 1e6, goal * 1e6)
            for name, term in made.items():
                term.update(size * step, there[2][name][1] - parts[name][1])
            z, here = z + size * step, there
            steps += 1
            path.append((time.process_time() - begun, z))
        if last:
            break
        barrier = max(barrier / 10, BARRIERS[-1]) if positive else 0.0
        smooth = max(smooth / 10, SMOOTHINGS[-1])
    return Solution(
        z=z,
        losses={name: part for name, (part, _) in here[2].items()},
        decrement=decrement,
        gradient=float(np.linalg.norm(here[1])) / max(first or 0.0, 1e-300),
        steps=steps,
        evaluations=sum(term.evaluations for term in made.values()),
        unconverged=sum(term.unconverged for term in made.values()),
        seconds=time.process_time() - begun,
        least=float(here[3].min()),
        path=path,
    )
