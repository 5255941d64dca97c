"""The oracle: every pair of points, log domain, plain iterations to convergence. Nothing of it is in the plugin."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.special import logsumexp


@dataclass(frozen=True)
class Dense:
    value: float
    potential: np.ndarray
    reference_potential: np.ndarray


def dense_cost(grid):
    """|x − y|²/2 between all pairs, to the nearest image along periodic axes: by trying all neighbouring cells."""
    points = grid.coordinates().reshape(-1, grid.dimension)
    apart = points[:, None] - points[None]
    squared = np.zeros(apart.shape[:2])
    for axis, (row, wraps) in enumerate(zip(grid.vectors, grid.periodic, strict=True)):
        images = (-1, 0, 1) if wraps else (0,)
        squared += np.min([(apart[..., axis] + k * row[axis]) ** 2 for k in images], axis=0)
    return squared / 2


def dense_transport(a, b, cost, epsilon, steps=20000):
    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(a), np.log(b)
    g = np.zeros_like(b)
    for _ in range(steps):
        f = -epsilon * logsumexp(log_b[None] + (g[None] - cost) / epsilon, axis=1)
        new = -epsilon * logsumexp(log_a[:, None] + (f[:, None] - cost) / epsilon, axis=0)
        settled = np.abs(b * (new - g)).sum() < 1e-11 * epsilon
        g = new
        if settled:
            break
    f = -epsilon * logsumexp(log_b[None] + (g[None] - cost) / epsilon, axis=1)
    return f, g, a @ f + b @ g


def dense_self(a, cost, epsilon):
    with np.errstate(divide="ignore"):
        log_a = np.log(a)
    f = np.zeros_like(a)
    for _ in range(200):
        f = 0.5 * (f - epsilon * logsumexp(log_a[None] + (f[None] - cost) / epsilon, axis=1))
    return f, 2 * a @ f


def dense_divergence(a, b, grid, blur):
    a, b = (np.asarray(x, dtype=float).ravel() / np.sum(x) for x in (a, b))
    cost, epsilon = dense_cost(grid), blur**2
    f, g, value = dense_transport(a, b, cost, epsilon)
    f_own, value_a = dense_self(a, cost, epsilon)
    g_own, value_b = dense_self(b, cost, epsilon)
    shape = grid.shape
    return Dense(value - (value_a + value_b) / 2, (f - f_own).reshape(shape), (g - g_own).reshape(shape))


@pytest.fixture
def dense():
    return dense_divergence


@pytest.fixture
def cost():
    return dense_cost


def li_o_li(grid, angle=0.0, stretch=0.0, vacuum=1e-8):
    """Three atoms of narrow core and wide shell, in e/Å³; ``[1, n1, n2, n3]``, float64."""
    centre = grid.vectors.sum(0) * 0.48
    arm = (1.6 + stretch) * np.array([np.cos(angle), np.sin(angle), 0.1])
    atoms = [(centre, 2, 6, 0.45), (centre + arm, 2, 1, 0.5), (centre - arm[[1, 0, 2]], 2, 1, 0.5)]
    density = np.full(grid.shape, vacuum)
    for position, core, shell, width in atoms:
        fractions = grid.fractions() - position @ np.linalg.inv(grid.vectors)
        squared = (((fractions - np.rint(fractions)) @ grid.vectors) ** 2).sum(-1)
        for electrons, sigma in ((core, 0.15), (shell, width)):
            density += electrons * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2) ** 1.5
    return torch.from_numpy(density)[None]


@pytest.fixture
def molecule():
    return li_o_li
