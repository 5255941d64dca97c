"""The oracle: entropic transport between all pairs of points, by Newton's method. Nothing of it is in the plugin."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp


@dataclass(frozen=True)
class Dense:
    """OT_ε or S_ε, and its derivatives by either mass (up to a constant where marginals are exact)."""

    value: float
    potential: np.ndarray
    reference_potential: np.ndarray


def dense_cost(grid, p=2):
    """|x − y|²/2 between all pairs, or |x − y| for p = 1; to the nearest image: by trying all neighbouring cells."""
    fractions = grid.fractions().reshape(-1, grid.dimension)
    apart = fractions[:, None] - fractions
    apart -= np.rint(apart) * np.array(grid.periodic)
    cells = itertools.product(*((-1, 0, 1) if wraps else (0,) for wraps in grid.periodic))
    squared = np.min([(((apart + cell) @ grid.vectors) ** 2).sum(-1) for cell in cells], axis=0)
    return squared / 2 if p == 2 else np.sqrt(squared)


def dense_potentials(a, b, cost, epsilon, rho):
    """f, g of max ⟨a, −φ(−f)⟩ + ⟨b, −φ(−g)⟩ − ε⟨a⊗b, exp((f⊕g−c)/ε)⟩, φ(x) = ρ(e^{x/ρ} − 1), or x where ρ = ∞.

    Maximised over f in closed form, and over g by Newton's method with a line search, for the dual is concave; from
    larger ε to smaller. Only where there is mass; the potentials are then extended to all points.
    """
    here, there = a > 0, b > 0
    mass, other, apart = a[here], b[there], cost[np.ix_(here, there)]
    g = np.zeros_like(other)
    halvings = int(np.ceil(np.log2(max(apart.max() / (10 * epsilon), 1))))
    for smoothing in epsilon * 2.0 ** np.arange(halvings, -1, -1):
        g = _newton(mass, other, g, apart, smoothing, rho, 1e-13 if smoothing == epsilon else 1e-2)
    f = _best_answer(other, g, cost[:, there], epsilon, rho)
    return f, _best_answer(mass, f[here], cost.T[:, here], epsilon, rho)


def _best_answer(mass, potential, cost, epsilon, rho):
    return -epsilon / (1 + epsilon / rho) * logsumexp(np.log(mass) + (potential - cost) / epsilon, axis=1)


def _newton(a, b, g, cost, epsilon, rho, tol):
    def dual(g):
        f = _best_answer(b, g, cost, epsilon, rho)
        plan = np.exp(np.log(a)[:, None] + np.log(b) + (f[:, None] + g - cost) / epsilon)
        return _held(a, f, rho) + _held(b, g, rho) - epsilon * plan.sum(), plan

    for _ in range(300):
        f = _best_answer(b, g, cost, epsilon, rho)
        g = _best_answer(a, f, cost.T, epsilon, rho)
        value, plan = dual(g)
        wanted, sums = b * np.exp(-g / rho), plan.sum(0)
        gradient = wanted - sums
        if np.abs(gradient).sum() < tol:
            return g
        hessian = -(plan.T / (plan.sum(1) * (1 / epsilon + 1 / rho))) @ plan / epsilon**2
        hessian += np.diag(wanted / rho + (1 + 1e-13) * sums / epsilon)
        hessian += np.outer(sums, sums) / epsilon * np.isinf(rho)  # the constant that potentials are defined up to
        step = cho_solve(cho_factor(hessian), gradient)
        for shorter in 0.5 ** np.arange(20):
            if dual(g + shorter * step)[0] >= value + 1e-4 * shorter * (gradient @ step) - 1e-13 * abs(value):
                g = g + shorter * step
                break
    raise ArithmeticError(f"the dense solver has not converged: marginal error {np.abs(gradient).sum():.1e}")


def _held(mass, potential, rho):
    return mass @ potential if np.isinf(rho) else -rho * (mass @ np.expm1(-potential / rho))


def dense_transport(a, b, cost, epsilon, rho=np.inf):
    """OT_ε(a, b), and its derivatives by a and b."""
    f, g = dense_potentials(a, b, cost, epsilon, rho)
    # Either potential is the best answer to the other: the marginals of the plan are a e^{−f/ρ} and b e^{−g/ρ}.
    value = _held(a, f, rho) + _held(b, g, rho) - epsilon * (a @ np.exp(-f / rho) - a.sum() * b.sum())
    by_a, by_b = (x if np.isinf(rho) else -rho * np.expm1(-x / rho) for x in (f, g))
    return Dense(value, by_a - epsilon * (np.exp(-f / rho) - b.sum()), by_b - epsilon * (np.exp(-g / rho) - a.sum()))


def dense_divergence(a, b, grid, blur, reach=np.inf, mass="normalise", debias=True, p=2):
    """As ``sinkhorn_divergence``, of two arrays ``[n1, …, nd]``."""
    a, b = (np.asarray(x, dtype=float).ravel() for x in (a, b))
    a, b = a / (b.sum() if mass == "unbalanced" else a.sum()), b / b.sum()
    problem = (dense_cost(grid, p), blur**p, reach**p)
    cross = dense_transport(a, b, *problem)
    value, by_a, by_b = cross.value, cross.potential, cross.reference_potential
    if debias:
        own_a, own_b = dense_transport(a, a, *problem), dense_transport(b, b, *problem)
        excess = a.sum() - b.sum()
        value = value - (own_a.value + own_b.value) / 2 + blur**p / 2 * excess**2
        by_a = by_a - (own_a.potential + own_a.reference_potential) / 2 + blur**p * excess
        by_b = by_b - (own_b.potential + own_b.reference_potential) / 2 - blur**p * excess
    return Dense(value, by_a.reshape(grid.shape), by_b.reshape(grid.shape))


@pytest.fixture(scope="session")
def dense():
    return dense_divergence


@pytest.fixture(scope="session")
def cost():
    return dense_cost


def random_densities(grid, seed=0, zeros=False):
    """Two densities over four decades, ``[1, n1, …, nd]``; with ``zeros``, no density at some points."""
    rng = np.random.default_rng(seed)
    pair = []
    for _ in range(2):
        density = rng.random(grid.shape) ** 4 + 1e-4
        if zeros:
            density[(rng.random(grid.shape) < 0.4) & (density < density.max())] = 0.0
        pair.append(torch.from_numpy(density)[None])
    return tuple(pair)


@pytest.fixture(scope="session")
def densities():
    return random_densities


def gaussians(grid, *atoms, floor=0.0):
    """Atoms (centre in Å, width in Å, electrons) on a floor in e/Å^d, to the nearest image; ``[1, n1, …, nd]``."""
    density = np.full(grid.shape, float(floor))
    for centre, width, electrons in atoms:
        apart = grid.coordinates() - np.asarray(centre, dtype=float)
        turns = np.rint(apart @ np.linalg.inv(grid.vectors)) * np.array(grid.periodic)
        squared = ((apart - turns @ grid.vectors) ** 2).sum(-1)
        density += electrons * np.exp(-squared / (2 * width**2)) / (2 * np.pi * width**2) ** (grid.dimension / 2)
    return torch.from_numpy(density)[None]


@pytest.fixture(scope="session")
def atoms():
    return gaussians


def li_o_li(grid, angle=0.0, stretch=0.0, vacuum=1e-8):
    """Three atoms of narrow core and wide shell on a vacuum, in e/Å³."""
    centre = grid.vectors.sum(0) * 0.48
    arm = (1.6 + stretch) * np.array([np.cos(angle), np.sin(angle), 0.1])
    places = [(centre, 2, 6, 0.45), (centre + arm, 2, 1, 0.5), (centre - arm[[1, 0, 2]], 2, 1, 0.5)]
    shells = [(place, width, shell) for place, _, shell, width in places]
    return gaussians(grid, *[(place, 0.15, core) for place, core, *_ in places], *shells, floor=vacuum)


@pytest.fixture(scope="session")
def molecule():
    return li_o_li


def central_differences(value, density):
    """The gradient of ``value``, a map from a batch to one number each, at one total, or total and magnetisation.

    density: ``[1, s, n1, …, nd]``, positive. Steps are a thousandth of the density at each point.
    """
    steps = 1e-3 * density[:, :1].expand_as(density).reshape(-1)
    moves = torch.diag(steps).reshape(-1, *density.shape[1:])
    return ((value(density + moves) - value(density - moves)) / (2 * steps)).reshape(density.shape)


@pytest.fixture(scope="session")
def differences():
    return central_differences
