"""What the figures of the gallery are made of, against conservation laws and closed forms; and the page itself."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from edframe.grid import Grid

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")

spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gallery)

CELLS = [[3.0], [[2.0, 0.0], [0.7, 1.8]], [[2.0, 0.0, 0.0], [0.7, 1.8, 0.0], [-0.4, 0.3, 1.5]]]


def blob_and_moves(grid, seed):
    """A density in the middle of the cell, and steps of up to a tenth of it, so that nothing wraps around."""
    rng = np.random.default_rng(seed)
    inside = (np.abs(grid.fractions() - 0.5) < 0.2).all(-1)
    return rng.random(grid.shape) * inside, rng.uniform(-0.1, 0.1, (*grid.shape, grid.dimension)) @ grid.vectors


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), cell=st.sampled_from(CELLS), t=st.floats(0, 1), parts=st.integers(1, 3))
def test_pushing_keeps_the_electrons_and_moves_their_centre_by_the_mean_displacement(seed, cell, t, parts):
    grid = Grid.of(cell, (12, 10, 11)[: len(cell)])
    density, moves = blob_and_moves(grid, seed)
    pushed = gallery.push(density, moves, t, grid, parts)
    assert pushed.sum() == pytest.approx(density.sum(), rel=1e-12)
    assert pushed.min() >= 0
    centre, expected = (gallery.mean(grid.coordinates(), x) for x in (pushed, density))
    np.testing.assert_allclose(centre, expected + t * gallery.mean(moves, density), rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [(0, 0), (2, -1), (7, 3)])
def test_a_push_by_whole_voxels_rolls_the_density(steps):
    grid = Grid.of([[2.0, 0.0], [0.7, 1.8]], (8, 6))
    density = np.random.default_rng(0).random(grid.shape)
    moves = np.broadcast_to(np.array(steps) @ grid.voxel, (*grid.shape, 2))
    np.testing.assert_allclose(gallery.push(density, moves, 1.0, grid), np.roll(density, steps, (0, 1)), atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_displacement_is_minus_the_gradient(cell):
    # sin(2π k·fraction): its central difference is the derivative times sin(h)/h along each axis.
    grid = Grid.of(cell, (40,) * len(cell))
    slope = 2 * np.pi * np.linalg.inv(grid.vectors)  # of the phase, one column per axis
    phase = 2 * np.pi * grid.fractions()[..., 0]
    expected = -np.cos(phase)[..., None] * slope[:, 0]
    np.testing.assert_allclose(gallery.displacement(np.sin(phase), grid), expected, rtol=0, atol=5e-3 * slope.max())


@pytest.mark.parametrize("shift", [(0.04, 0.0), (0.3, -0.17), (0.9, 0.5)])
def test_the_displacement_field_of_a_shifted_blob_is_the_shift(shift):
    # Open axes: on a circle some of a tail goes the other way round.
    grid = Grid.of([8.0, 8.0], 32, False)
    middle = np.array([4.0, 4.0])
    a, b = gallery.gaussian(grid, middle, 0.5), gallery.gaussian(grid, middle + shift, 0.5)
    result = gallery.transport(a, b, grid)
    moves = gallery.displacement(result.potential[0], grid)
    where = a > 1e-3 * a.max()
    np.testing.assert_allclose(moves[where], np.broadcast_to(shift, moves[where].shape), rtol=0, atol=1e-3)
    pushed = gallery.push(a, moves, 1.0, grid)
    left = gallery.transport(pushed, b, grid).value.item()  # what linear shares smooth: h²/8 of variance at most
    assert left < 0.02 * result.value.item() + 1e-4


def test_gaussians_are_normalised_and_have_their_width():
    grid = Grid.of([8.0], 80, False)
    density = gallery.gaussian(grid, 4.0, 0.7)
    x = grid.coordinates()[:, 0]
    np.testing.assert_allclose(density, norm(4.0, 0.7).pdf(x), rtol=1e-12)


def test_the_closed_form_tends_to_the_product_plan_for_a_point():
    # A point has one plan: the mean cost against the other density, and no entropy.
    t = 0.7
    cost = quad(lambda x: x**2 / 2 * norm(0, t).pdf(x), -8, 8)[0]
    assert gallery.between_gaussians(1e-6, t, 0.3) == pytest.approx(cost, rel=1e-6)


@pytest.mark.parametrize("blur", [0.2, 0.6])
@pytest.mark.parametrize("width", [0.4, 0.9])
def test_the_closed_form_is_what_is_computed(width, blur):
    grid = Grid.of([12.0], 240, False)
    a, b = gallery.gaussian(grid, 6.0, width), gallery.gaussian(grid, 6.0, 0.6)
    assert gallery.transport(a, b, grid, blur).value.item() == pytest.approx(
        gallery.debiased(width, 0.6, blur), rel=1e-4
    )
    assert gallery.transport(a, b, grid, blur, debias=False).value.item() == pytest.approx(
        gallery.between_gaussians(width, 0.6, blur), rel=1e-4
    )


def test_each_drawing_is_in_the_page_and_small():
    shown = re.findall(r"!\[[^\]]+\]\(figures/(\w+)\.png\)", PAGE)
    assert shown == list(gallery.DRAWINGS)
    assert sorted(path.stem for path in (DOCS / "figures").iterdir()) == sorted(shown)
    assert all((DOCS / "figures" / f"{name}.png").stat().st_size < 150_000 for name in shown)


def test_links_of_the_page_lead_to_files():
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    assert [link for link in links if not link.startswith("https://") and not (DOCS / link).exists()] == []
