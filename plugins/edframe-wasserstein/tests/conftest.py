"""Oracles: costs by trying many images, and transport by a linear program. Nothing of them is in the plugin."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from edframe.grid import Grid


def brute_cost(grid, x, y, reach=4):
    """|x − y|²/2 between points ``[n, d]`` and ``[m, d]``, the least over all images up to ``reach`` cells away."""
    apart = x[:, None] - y[None]
    ranges = [range(-reach, reach + 1) if wraps else (0,) for wraps in grid.periodic]
    squares = [((apart + np.array(k) @ grid.vectors) ** 2).sum(-1) for k in itertools.product(*ranges)]
    return np.min(squares, axis=0) / 2


def linear_program(a, b, cost):
    """The least Σ cost · plan over plans with the marginals a and b, each divided by its sum."""
    n, m = cost.shape
    marginals = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    result = linprog(cost.ravel(), A_eq=marginals, b_eq=np.concatenate([a / a.sum(), b / b.sum()]))
    assert result.success
    return result.fun


def gaussian(grid, centre, sigma=0.4):
    """``[1, n1, …, nd]`` of width sigma in Å about a point in Å, to the nearest of the neighbouring images."""
    squared = 2 * brute_cost(grid, grid.coordinates().reshape(-1, grid.dimension), np.array([centre]), 1)
    return torch.from_numpy(np.exp(-squared / (2 * sigma**2)).reshape(1, *grid.shape))


@pytest.fixture
def cost():
    return brute_cost


@pytest.fixture
def program():
    return linear_program


@pytest.fixture
def bump():
    return gaussian


HEXAGONAL = [[3.0, 0.0], [-1.5, 2.6]]
SKEWED = [[3.0, 0.0, 0.0], [2.2, 2.5, 0.0], [-1.4, 1.3, 2.0]]

GRIDS = {
    "line": Grid.of([3.0], 7),
    "open line": Grid.of([3.0], 7, False),
    "hexagonal": Grid.of(HEXAGONAL, (4, 3)),
    "open": Grid.of([2.0, 3.0, 2.5], (3, 4, 2), False),
    "slab": Grid.of([2.0, 3.0, 2.5], (3, 4, 2), (True, False, True)),
    "skewed": Grid.of(SKEWED, (3, 3, 2)),
    "skewed slab": Grid.of(SKEWED, (3, 3, 2), (True, True, False)),
}


@pytest.fixture(params=GRIDS)
def grid(request):
    return GRIDS[request.param]
