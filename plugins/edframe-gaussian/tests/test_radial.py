"""The periodic sum against a loop over images in NumPy, for every kind of cell."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from edframe_gaussian import radial, sphere
from edframe_gaussian.radial import add_superposition
from hypothesis import given, settings
from hypothesis import strategies as st

from edframe.grid import Grid, Region

WIDTH = 0.6
CUTOFF = 6 * WIDTH
TRICLINIC = [[3.1, 0.4, -0.3], [1.2, 2.9, 0.5], [-0.7, 0.8, 3.3]]
NEEDLE = [[1.3, 0.0, 0.0], [1.1, 1.2, 0.0], [0.9, 0.8, 6.0]]  # far narrower than the cutoff, and far from orthogonal

CELLS = {
    "orthogonal": ([4.0, 5.0, 6.0], (8, 9, 10), True),
    "triclinic": (TRICLINIC, (7, 6, 8), True),
    "needle": (NEEDLE, (3, 4, 11), True),
    "left-handed": ([TRICLINIC[1], TRICLINIC[0], TRICLINIC[2]], (6, 7, 8), True),
    "open": ([4.0, 5.0, 6.0], (8, 9, 10), False),
    "slab": (TRICLINIC, (7, 6, 8), (True, True, False)),
    "wire": (NEEDLE, (3, 4, 11), (False, True, False)),
    "flat": ([[2.0, 0.0], [0.9, 2.5]], (7, 9), True),
    "flat, half open": ([[2.0, 0.0], [0.9, 2.5]], (7, 9), (False, True)),
    "line": ([3.0], (17,), True),
    "open line": ([3.0], (17,), False),
    "one point": ([2.0, 2.0, 2.0], (1, 1, 1), True),
}


def gaussian(squared):
    return torch.exp(-0.5 * squared / WIDTH**2)


def brute_force(fractions, grid, reach):
    """Σ over atoms and over images within ``reach`` cells, in float64."""
    total = np.zeros(grid.shape)
    shifts = [range(-reach, reach + 1) if periodic else (0,) for periodic in grid.periodic]
    for fraction, image in itertools.product(fractions, itertools.product(*shifts)):
        away = grid.coordinates() - (fraction + np.array(image)) @ grid.vectors
        total += np.exp(-0.5 * (away**2).sum(-1) / WIDTH**2)
    return total


def superposed(fractions, grid, slots=None, count=1, cutoff=CUTOFF, **options):
    out = torch.zeros(count, *grid.shape)
    slots = np.zeros(len(fractions), dtype=np.int64) if slots is None else slots
    add_superposition(out, gaussian, cutoff, np.asarray(fractions, dtype=float), slots, grid, **options)
    return out.numpy()


@pytest.mark.parametrize("case", CELLS)
def test_equals_the_sum_over_images(case):
    cell, shape, periodic = CELLS[case]
    grid = Grid.of(cell, shape, periodic)
    fractions = np.random.default_rng(1).uniform(-0.3, 1.3, (4, grid.dimension))
    # Images up to 10 cells away: the needle's lattice planes are 0.8 Å apart at the least, the cutoff is 3.6 Å.
    expected = brute_force(fractions, grid, reach=10 if case in ("needle", "wire") else 4)
    np.testing.assert_allclose(superposed(fractions, grid)[0], expected, atol=2e-6 * expected.max())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-0.6, 0.6), min_size=9, max_size=9), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_equals_the_sum_over_images_in_any_cell(skew, fraction):
    grid = Grid.of(np.diag([3.0, 3.5, 4.0]) + np.reshape(skew, (3, 3)), (4, 5, 3))
    expected = brute_force([np.array(fraction)], grid, reach=3)
    np.testing.assert_allclose(superposed([fraction], grid)[0], expected, atol=2e-6)


def test_an_atom_on_a_point_has_the_height_of_the_function():
    grid = Grid.of([30.0] * 3, 24)  # far from the origin: where expanding |x − R|² would lose the nucleus
    field = superposed([[23 / 24, 22 / 24, 21 / 24]], grid)[0]
    assert field[23, 22, 21] == pytest.approx(1.0, abs=1e-6)
    assert field.argmax() == np.ravel_multi_index((23, 22, 21), grid.shape)


def test_slots_keep_atoms_apart():
    grid = Grid.of(TRICLINIC, (5, 6, 7))
    fractions = np.random.default_rng(2).random((5, 3))
    slots = np.array([2, 0, 2, 1, 0])
    together = superposed(fractions, grid, slots, count=4)
    for slot in range(4):
        np.testing.assert_allclose(together[slot], superposed(fractions[slots == slot], grid)[0], atol=1e-6)


def test_adds_to_what_is_there():
    grid = Grid.of([3.0], 9, False)
    out = torch.full((1, 9), 2.0)
    add_superposition(out, gaussian, CUTOFF, np.array([[0.5]]), np.array([0]), grid)
    np.testing.assert_allclose(out[0] - 2, superposed([[0.5]], grid)[0], atol=1e-6)


def test_pieces_of_a_large_batch_are_the_whole(monkeypatch):
    grid = Grid.of([4.0, 5.0, 6.0], (8, 9, 10))
    fractions = np.random.default_rng(3).random((7, 3))
    whole = superposed(fractions, grid)
    scaled = superposed(fractions, grid, integral=2.0)
    monkeypatch.setattr(sphere, "AT_ONCE", 50)
    monkeypatch.setitem(radial.PAIRS, "cpu", 100)
    np.testing.assert_allclose(superposed(fractions, grid, integral=2.0), scaled, atol=1e-6)
    np.testing.assert_allclose(superposed(fractions, grid), whole, atol=1e-6)


@pytest.mark.parametrize("spacing", [0.4, 1.5])
def test_integral_is_enforced_atom_by_atom(spacing):
    n = 12
    grid = Grid.of([n * spacing] * 3, n)
    fields = superposed([[0.51, 0.52, 0.53], [0.1, 0.2, 0.3]], grid, np.array([0, 1]), 2, integral=3.0)
    np.testing.assert_allclose(fields.sum((1, 2, 3)) * grid.voxel_volume, 3.0, rtol=1e-6)


def test_what_leaves_an_open_end_is_lost_not_squeezed_in():
    grid = Grid.of([10.0], 100, False)
    field = superposed([[0.0]], grid, integral=1.0)[0]
    own = 0.1 / np.sqrt(2 * np.pi) / WIDTH  # of the point at the nucleus, which belongs to both halves
    assert field.sum() * grid.voxel_volume == pytest.approx(0.5 + own / 2, abs=1e-6)


@pytest.mark.parametrize("cell", [TRICLINIC, NEEDLE, np.diag([3.0, 4.0, 5.0])])
def test_a_sphere_has_every_point_once_and_is_no_larger_than_it_must_be(cell):
    shape, cutoff = (11, 7, 9), 2.3
    grid = Grid.of(cell, shape)
    ball = sphere.sphere_of(grid.cell, shape, cutoff)
    parts = [ball.points(part, "cpu") for part in ball.parts()]
    steps = np.concatenate([np.stack(part.steps, 1) for part in parts]) - np.array(ball.reach)
    places = np.concatenate([part.places.T for part in parts])
    np.testing.assert_allclose(places, steps @ grid.voxel, atol=1e-5)
    corners = np.array(list(itertools.product([-0.5, 0.5], repeat=3))) @ grid.voxel
    radius = cutoff + np.linalg.norm(corners, axis=1).max()
    box = np.array(list(itertools.product(*(range(-m - 2, m + 3) for m in ball.reach))))
    expected = box[np.linalg.norm(box @ grid.voxel, axis=1) <= radius]
    assert {tuple(s) for s in steps.tolist()} == {tuple(s) for s in expected.tolist()}
    assert len(steps) == len(expected) == ball.count


def test_a_fine_grid_is_not_boxed():
    cell, shape = ((0.6, 0.0, 0.0), (0.0, 0.6, 0.0), (0.0, 0.0, 0.6)), (15, 15, 15)
    tracemalloc.start()
    ball = sphere.sphere_of(cell, shape, 5.0)  # 0.04 Å: 8 million points, in a box of 16 million
    part = next(ball.parts())
    ball.points(part, "cpu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ball.count == pytest.approx(4 / 3 * np.pi * (5.0 / 0.04) ** 3, rel=0.03)
    assert peak < 80e6


@pytest.mark.parametrize("case", ["triclinic", "needle", "open", "slab", "flat"])
def test_a_part_of_the_grid_is_cut_out_of_the_whole(case):
    cell, shape, periodic = CELLS[case]
    grid = Grid.of(cell, shape, periodic)
    fractions = np.random.default_rng(4).uniform(-0.3, 1.3, (5, grid.dimension))
    start = tuple(-1 if p else 1 for p in grid.periodic)
    part = Region(start, tuple(n - 2 for n in shape))
    out = torch.zeros(1, *part.shape)
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    add_superposition(out, gaussian, CUTOFF, fractions, np.zeros(5, dtype=int), grid, weights=weights, region=part)
    whole = superposed(fractions, grid, weights=weights)[0]
    np.testing.assert_allclose(out[0], whole[np.ix_(*part.indices(grid))], atol=1e-6)
