"""Whole solves in cells without right angles, through every backend that can treat them."""

import itertools
import math

import numpy as np
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.backends import choose
from edframe_sinkhorn.lines import smallest_blur

from edframe.errors import DataError
from edframe.grid import Grid

HALF = math.sqrt(0.5)
CELLS = {
    "hexagonal": [[1, 0, 0], [-0.5, math.sqrt(0.75), 0], [0, 0, 1.2]],
    "monoclinic": [[0.9, 0, 0], [0, 1, 0], [-0.27, 0, 0.75]],
    "fcc primitive": [[0, HALF, HALF], [HALF, 0, HALF], [HALF, HALF, 0]],
    "triclinic": [[1, 0, 0], [0.2, 0.95, 0], [-0.3, 0.25, 0.9]],
}
VOXEL = 0.2


def cell(name, n):
    return Grid.of(np.array(CELLS[name]) * VOXEL * n, n)


def pair(grid, seed=0):
    """Two clouds with cores, one moved by less than a voxel; ``[1, n, n, n]`` each."""
    rng = np.random.default_rng(seed)
    centres = rng.random((3, 3))

    def cloud(move):
        density = np.full(grid.shape, 1e-6)
        for centre, width in zip(centres, (0.2, 0.3, 0.25), strict=True):
            away = grid.fractions() - centre - move
            away -= np.rint(away)
            images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
            squared = (((away[..., None, :] + images) @ grid.vectors) ** 2).sum(-1).min(-1)
            density += np.exp(-squared / (2 * width**2))
        return torch.from_numpy(density)[None]

    return cloud(np.array([0.05, -0.03, 0.02])), cloud(0.0)


def dense(a, b, grid, blur, p=2):
    """S_ε and f_ab − f_aa from plain iterations with the matrix of all pairs, the nearest image by trying many."""
    points = grid.coordinates().reshape(-1, grid.dimension)
    images = itertools.product(*((-2, -1, 0, 1, 2) if wraps else (0,) for wraps in grid.periodic))
    apart = points[:, None] - points[None]
    squared = np.min([((apart + np.array(image) @ grid.vectors) ** 2).sum(-1) for image in images], axis=0)
    epsilon = blur**p
    kernel = np.exp(-(squared / 2 if p == 2 else np.sqrt(squared)) / epsilon)

    def transport(a, b):
        v = np.ones_like(b)
        for _ in range(20000):
            u = 1 / (kernel @ (b * v))
            new = 1 / (kernel @ (a * u))
            settled = np.abs(b * (new / v - 1)).sum() < 1e-12
            v = new
            if settled:
                break
        return epsilon * np.log(u), epsilon * (a @ np.log(u) + b @ np.log(v))

    a, b = (x.numpy().ravel() / x.sum().item() for x in (a, b))
    (f, cross), (own, value_a), (_, value_b) = transport(a, b), transport(a, a), transport(b, b)
    # In a self transport u and v agree up to a constant factor only, so that potentials do too.
    return cross - (value_a + value_b) / 2, (f - own).reshape(grid.shape)


def difference(potential, wanted):
    """Of potentials, which are defined up to a constant: the range of the difference over the range of one."""
    return np.ptp(np.asarray(potential) - np.asarray(wanted)) / np.ptp(np.asarray(wanted))


@pytest.mark.parametrize("name", CELLS)
def test_a_small_cell_equals_the_dense_solver_to_the_nearest_image(name):
    grid = cell(name, 8)
    a, b = pair(grid)
    blur = 1.5 * float(grid.spacing.max())
    value, potential = dense(a, b, grid, blur)
    ours = sinkhorn_divergence(a, b, grid, blur, tol=1e-7, max_iterations=2000)
    assert ours.value.item() == pytest.approx(value, rel=1e-4)
    assert difference(ours.potential[0], potential) < 1e-3


LONG = {("monoclinic", 1.0), ("triclinic", 1.0), ("triclinic", 1.5)}
"""Solves of a minute in all."""


@pytest.mark.parametrize(
    ("name", "voxels"),
    [
        pytest.param(name, voxels, marks=[pytest.mark.slow] if (name, voxels) in LONG else [])
        for voxels in (1.0, 1.5)
        for name in CELLS
    ],
)
def test_lines_equal_all_pairs(name, voxels):
    grid = cell(name, 20)
    a, b = pair(grid)
    blur = voxels * float(grid.spacing.max())
    lines, pairs = (
        sinkhorn_divergence(a, b, grid, blur, tol=1e-6, max_iterations=2000, backend=backend)
        for backend in ("auto", "toeplitz")
    )
    assert (lines.backend, pairs.backend) == ("lines", "toeplitz")
    assert lines.value.item() == pytest.approx(pairs.value.item(), rel=1e-3)
    assert difference(lines.potential, pairs.potential) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_lines_equal_keops_at_24_points(name):
    grid = cell(name, 24)
    a, b = pair(grid)
    blur = 1.5 * float(grid.spacing.max())
    lines, pairs = (
        sinkhorn_divergence(a, b, grid, blur, tol=1e-3, backend=backend, reference_gradient=False)
        for backend in ("lines", "keops")
    )
    assert lines.value.item() == pytest.approx(pairs.value.item(), rel=1e-3)
    assert difference(lines.potential, pairs.potential) < 1e-2


def test_a_cell_with_an_open_axis_takes_all_pairs():
    grid = Grid.of([[1.5, 0, 0], [0.4, 1.4, 0], [0, 0.3, 1.6]], (6, 5, 6), (True, True, False))
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.random((1, *grid.shape)) ** 3 + 1e-4) for _ in range(2))
    value, potential = dense(a, b, grid, 0.4)
    ours = sinkhorn_divergence(a, b, grid, 0.4, tol=1e-9, max_iterations=3000)
    assert ours.backend == "toeplitz"
    assert ours.value.item() == pytest.approx(value, rel=1e-6)
    assert difference(ours.potential[0], potential) < 1e-5


def test_a_density_across_the_boundary_is_as_near_as_one_inside():
    grid = cell("monoclinic", 16)
    a, b = pair(grid)
    inside = sinkhorn_divergence(a, b, grid, tol=1e-6)
    moved = sinkhorn_divergence(*(x.roll((8, 3, 5), (1, 2, 3)) for x in (a, b)), grid, tol=1e-6)
    assert inside.backend == "lines"
    torch.testing.assert_close(moved.value, inside.value, rtol=1e-4, atol=0)


CPU = torch.device("cpu")
SKEWED = np.array([[1, 0, 0], [0.77, 0.64, 0], [0.64, 0.19, 0.74]]) * 0.2


def test_a_blur_too_small_for_a_large_cell_is_refused_with_one_that_would_do():
    grid = Grid.of(SKEWED * 48, 48)
    with pytest.raises(DataError, match=r"at least 0\.\d+ Å or a finer grid") as refused:
        choose(grid, "auto", 2, 0.06, CPU)
    suggested = smallest_blur(grid.voxel, grid.shape, 0.06)
    assert f"{suggested:.3g}" in str(refused.value)
    assert choose(grid, "auto", 2, 1.01 * suggested, CPU) == "lines"


def test_what_only_all_pairs_can_treat_is_refused_on_large_grids():
    with pytest.raises(DataError, match="too wide for the cell"):
        choose(Grid.of(SKEWED * 48, 48), "auto", 2, 3.0, CPU)
    with pytest.raises(DataError, match="neither orthogonal nor periodic"):
        choose(Grid.of(SKEWED * 48, 48, False), "auto", 2, 0.3, CPU)
    with pytest.raises(DataError, match="cost"):
        choose(Grid.of([5.0] * 3, 48), "auto", 1, 0.3, CPU)


@pytest.mark.parametrize("backend", ["separable", "lines"])
def test_a_backend_that_cannot_treat_the_grid_is_refused(backend):
    with pytest.raises(DataError, match="use 'auto'"):
        choose(Grid.of(SKEWED * 8, 8, False), backend, 2, 0.3, CPU)


@pytest.mark.parametrize("shape", [(30,), (6, 5), (4, 5, 4)])
def test_the_distance_itself_as_the_cost_equals_the_dense_solver(shape):
    grid = Grid.of([0.5 * n for n in shape], shape, False)
    rng = np.random.default_rng(1)
    a, b = (torch.from_numpy(rng.random((1, *shape)) ** 3 + 1e-4) for _ in range(2))
    value, potential = dense(a, b, grid, 0.6, p=1)
    ours = sinkhorn_divergence(a, b, grid, 0.6, p=1, tol=1e-9, max_iterations=5000)
    assert ours.value.item() == pytest.approx(value, rel=1e-6)
    assert difference(ours.potential[0], potential) < 1e-5
