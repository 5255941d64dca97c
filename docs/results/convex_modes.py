"""The Hessian of each loss where the prediction is right: what an error of a given form costs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from edframe.grid import Grid
from edframe.metrics.coulomb import coulomb_energy

Array = NDArray[np.float64]

TOGETHER = 32
"""Fields whose energies are evaluated at once: 0.1 GB in space."""


def transported(reference: Array, fields: Array, grid: Grid, blur: float) -> Array:
    """H fields for the Hessian H of the Sinkhorn divergence at its minimum, by a density: ``[p, k]``.

    With the plan of b to itself, π = b K b, K = exp((f ⊕ f − c)/ε): S(b + δ, b) ≈ ½⟨δ, H δ⟩, H = ε (I − T²)⁻¹ K with
    T = K b, for δ without mass (Lavenant, Luckhardt, Mordant, Schmitzer, Tamanini, arXiv:2405.14459; implicit
    differentiation of ∇S = f_ab − f_aa gives the same). b is the density over its electrons, and so is δ. reference:
    ``[p]``; fields: ``[p, k]``, both in e/Å^d, of an orthogonal grid in an open box.
    """
    weights = reference / reference.sum()
    kernel = _kernel(grid, blur)
    scaling = np.ones_like(weights)
    for _ in range(2000):  # s ← √(s / K(b s)), converges quickly for the transport of a density to itself
        new = np.sqrt(scaling / (kernel @ (weights * scaling)))
        done = float(np.abs(weights * (new / scaling - 1)).sum())
        scaling = new
        if done < 1e-12:
            break
    root = np.sqrt(weights)
    symmetric = (root * scaling)[:, None] * kernel * (root * scaling)  # its eigenvalues are in [0, 1]; √b has 1
    rest = np.eye(len(weights)) - symmetric @ symmetric + np.outer(root, root)
    moved = (fields - weights[:, None] * fields.sum(0)) / reference.sum() / root[:, None]
    answer = blur**2 * cho_solve(cho_factor(rest, overwrite_a=True), symmetric @ moved)
    return np.asarray(answer / root[:, None] / reference.sum())


def charged(reference: Array, fields: Array, grid: Grid) -> Array:
    """H fields for ``coulomb``, which is quadratic: ½⟨δ, H δ⟩ is its value in eV/e, ``[p, k]``."""
    slopes = []
    for some in np.split(fields, range(TOGETHER, fields.shape[1], TOGETHER), axis=1):
        batch = torch.from_numpy(np.ascontiguousarray(some.T)).reshape(-1, *grid.shape).requires_grad_()
        slopes.append(torch.autograd.grad(coulomb_energy(batch, grid).sum(), batch)[0].reshape(len(batch), -1).numpy())
    return np.concatenate(slopes).T / (reference.sum() * grid.voxel_volume)


def _kernel(grid: Grid, blur: float) -> Array:
    points = grid.coordinates().reshape(-1, grid.dimension)
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    return np.exp(-squared / (2 * blur**2))


def modes(reference: Array, atoms: Array, grid: Grid) -> dict[str, Array]:
    """Errors of a linear Li–O–Li (atoms ``[Li, O, Li]``, ``[3, 2]`` in Å) by name: fields ``[p]`` without electrons."""
    points = grid.coordinates().reshape(-1, 2)

    def gaussian(atom: int, width: float) -> Array:
        density = np.exp(-((points - atoms[atom]) ** 2).sum(1) / (2 * width**2))
        return np.asarray(density / density.sum())

    def radius(atom: int, width: float) -> Array:
        return np.asarray(gaussian(atom, width) * (((points - atoms[atom]) ** 2).sum(1) / (2 * width**2) - 1))

    def wave(length: float) -> Array:
        return np.asarray(reference * np.cos(2 * np.pi * (points[:, 0] - atoms[1, 0]) / length))

    thin = (reference < 0.01).astype(float)
    fields = {
        "from both Li to O": gaussian(1, 0.5) - (gaussian(0, 0.5) + gaussian(2, 0.5)) / 2,
        "from one Li to the other": gaussian(2, 0.5) - gaussian(0, 0.5),
        "polarisation of O": gaussian(1, 0.5) * (points[:, 0] - atoms[1, 0]),
        "width of O": radius(1, 0.35),
        "width of one Li": radius(0, 0.2),
        "vacuum tail, ρ < 0.01": thin / thin.sum(),
        "ρ times a wave of 1.8 Å": wave(1.8),
        "ρ times a wave of 0.6 Å": wave(0.6),
    }
    return {name: field - reference * (field.sum() / reference.sum()) for name, field in fields.items()}


def waves(reference: Array, centre: float, grid: Grid, lengths: Array) -> Array:
    """Errors ρ cos(2π(x − centre)/λ) without electrons, ``[p, length]``."""
    x = grid.coordinates().reshape(-1, 2)[:, :1] - centre
    fields = reference[:, None] * np.cos(2 * np.pi * x / lengths)
    return np.asarray(fields - reference[:, None] * (fields.sum(0) / reference.sum()))


def costs(reference: Array, fields: Array, grid: Grid, blurs: tuple[float, ...]) -> dict[str, list[float]]:
    """½⟨δ, H δ⟩ of each field ``[p, k]`` scaled to ∫|δ| = 1% of the electrons, by loss, in its unit; l1 has no Hessian,
    and costs 0.01 whatever the field."""
    electrons = reference.sum() * grid.voxel_volume
    fields = fields * (0.01 * electrons / (np.abs(fields).sum(0) * grid.voxel_volume))
    answers = {"coulomb": charged(reference, fields, grid)}
    answers |= {f"sinkhorn {blur:g}": transported(reference, fields, grid, blur) for blur in blurs}
    half = {name: ((fields * answer).sum(0) / 2).tolist() for name, answer in answers.items()}
    return {"l2": ((fields**2).sum(0) * grid.voxel_volume / electrons).tolist(), **half}
