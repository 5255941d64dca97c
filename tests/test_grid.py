"""Grid against analytic integrals and spglib's lattice symmetries."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import spglib
from hypothesis import given
from hypothesis import strategies as st

from edframe.errors import DataError
from edframe.grid import Grid, Region, slabs

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

CUBIC = np.diag([4.0, 4.0, 4.0])
TETRAGONAL = np.diag([4.0, 4.0, 6.0])
ORTHORHOMBIC = np.diag([4.0, 5.0, 6.0])
HEXAGONAL = np.array([[4.0, 0, 0], [-2.0, 2 * math.sqrt(3), 0], [0, 0, 6.0]])
TRICLINIC = np.array([[4.0, 0, 0], [1.1, 5.0, 0], [0.7, -0.4, 6.0]])
FCC = np.array([[0, 2.0, 2.0], [2.0, 0, 2.0], [2.0, 2.0, 0]])
SHEARED = np.array([[4.0, 0, 0], [4.0, 4.0, 0], [4.0, 8.0, 4.0]])
"""A cubic lattice by a cell that is not reduced: some operations have entries beyond ±1."""


def test_orthogonal_box_from_its_sides():
    grid = Grid.of([2.0, 3.0], 4)
    assert grid == Grid.of([[2.0, 0.0], [0.0, 3.0]], (4, 4), (True, True))


@pytest.mark.parametrize("cell", [CUBIC, HEXAGONAL, TRICLINIC], ids=["cubic", "hexagonal", "triclinic"])
def test_integral_of_a_gaussian(cell):
    # A periodic sum of Gaussians of width 0.5 Å: the rectangle rule is exact to rounding.
    grid = Grid.of(cell, (16, 18, 20))
    images = np.array(np.meshgrid(*[range(-2, 3)] * 3)).reshape(3, -1).T @ grid.vectors
    field = sum(np.exp(-((grid.coordinates() - 1.3 - image) ** 2).sum(-1) / 0.5) for image in images)
    assert field.sum() * grid.voxel_volume == pytest.approx((0.5 * math.pi) ** 1.5, rel=1e-9)


@pytest.mark.parametrize(
    ("cell", "volume"),
    [([3.0], 3.0), ([[2.0, 0.0], [1.0, 3.0]], 6.0), (TRICLINIC, 120.0), (TRICLINIC[[1, 0, 2]], 120.0)],
    ids=["line", "oblique", "triclinic", "left-handed"],
)
def test_volume(cell, volume):
    grid = Grid.of(cell, 5)
    assert grid.volume == pytest.approx(volume)
    assert grid.voxel_volume == pytest.approx(volume / 5**grid.dimension)


def test_points_sit_at_fractions_of_the_lattice_vectors():
    grid = Grid.of(TRICLINIC, (4, 5, 6))
    expected = 3 / 4 * TRICLINIC[0] + 1 / 5 * TRICLINIC[1] + 5 / 6 * TRICLINIC[2]
    np.testing.assert_allclose(grid.coordinates()[3, 1, 5], expected)
    assert grid.fractions().shape == (4, 5, 6, 3)
    assert grid.points == 120


def test_spacing_is_the_length_of_a_voxel_edge():
    np.testing.assert_allclose(Grid.of([[2.0, 0.0], [3.0, 4.0]], (4, 10)).spacing, [0.5, 0.5])


@pytest.mark.parametrize(("cell", "orthogonal"), [(TETRAGONAL, True), (HEXAGONAL, False)])
def test_orthogonal(cell, orthogonal):
    assert Grid.of(cell, 4).orthogonal is orthogonal


@given(factors=st.tuples(*[st.integers(1, 3)] * 3), points=st.tuples(*[st.integers(1, 3)] * 3))
def test_block_averages_on_the_coarser_grid_keep_the_integral(factors, points):
    grid = Grid.of(TRICLINIC, [f * n for f, n in zip(factors, points, strict=True)])
    field = np.random.default_rng(0).random(grid.shape)
    blocks = [size for f, n in zip(factors, points, strict=True) for size in (n, f)]
    coarse = grid.coarsen(factors)
    averages = field.reshape(blocks).mean((1, 3, 5))
    assert averages.shape == coarse.shape
    assert averages.sum() * coarse.voxel_volume == pytest.approx(field.sum() * grid.voxel_volume)


def test_coarsening_keeps_cell_and_boundary():
    coarse = Grid.of(TRICLINIC, 6, (True, False, True)).coarsen(2)
    assert coarse == Grid.of(TRICLINIC, 3, (True, False, True))


@pytest.mark.parametrize("factor", [4, (2, 2), (1, 1, 0)])
def test_coarsening_by_what_does_not_divide_is_refused(factor):
    with pytest.raises(DataError, match="divide the shape"):
        Grid.of(CUBIC, 6).coarsen(factor)


def oracle(grid):
    """The operations of spglib for one atom in the cell, in indices, where they map the grid to itself."""
    rotations = spglib.get_symmetry((grid.vectors, [[0.0, 0.0, 0.0]], [1]), symprec=1e-4)
    at_origin = np.allclose(rotations["translations"], 0)
    assert at_origin, "the cell of the oracle is not primitive"
    scaled = rotations["rotations"] * np.array(grid.shape)[:, None] / np.array(grid.shape)
    return {tuple(np.rint(w).astype(int).ravel()) for w in scaled if np.allclose(w, np.rint(w))}


@pytest.mark.parametrize(
    ("cell", "shape", "order"),
    [
        (CUBIC, 8, 48),
        (CUBIC, (8, 8, 12), 16),
        (CUBIC, (8, 10, 12), 8),
        (CUBIC, (8, 8, 16), 16),
        (TETRAGONAL, 8, 16),
        (ORTHORHOMBIC, 8, 8),
        (HEXAGONAL, (8, 8, 12), 24),
        (HEXAGONAL, (8, 10, 12), 4),
        (FCC, 8, 48),
        (SHEARED, 8, 48),
        (TRICLINIC, 8, 2),
    ],
)
def test_symmetries_are_those_of_spglib(cell, shape, order):
    grid = Grid.of(cell, shape)
    symmetries = {tuple(w.ravel()) for w in grid.symmetries()}
    assert len(symmetries) == order
    assert symmetries == oracle(grid)


def test_symmetries_of_a_cell_in_six_digits():
    assert len(Grid.of(np.round(HEXAGONAL, 6), 8).symmetries()) == 24


@pytest.mark.parametrize(("cell", "order"), [([3.0], 2), ([3.0, 3.0], 8), ([3.0, 4.0], 4)])
def test_symmetries_in_fewer_dimensions(cell, order):
    assert len(Grid.of(cell, 6).symmetries()) == order


@pytest.mark.parametrize("cell", [CUBIC, HEXAGONAL, FCC, SHEARED])
def test_symmetries_form_a_group(cell):
    grid = Grid.of(cell, 8)
    operations = grid.symmetries()
    np.testing.assert_array_equal(operations[0], np.eye(3))
    group = {tuple(w.ravel()) for w in operations}
    assert {tuple((a @ b).ravel()) for a in operations for b in operations} == group


def test_symmetries_permute_points_and_keep_distances():
    grid = Grid.of(HEXAGONAL, (6, 6, 4))
    index = np.stack(np.meshgrid(*map(range, grid.shape), indexing="ij"), -1).reshape(-1, 3)
    for w in grid.symmetries():
        image = index @ w.T
        assert len(np.unique(image % grid.shape, axis=0)) == grid.points
        np.testing.assert_allclose(
            np.linalg.norm(image / grid.shape @ grid.vectors, axis=1),
            np.linalg.norm(index / grid.shape @ grid.vectors, axis=1),
        )


@pytest.mark.parametrize(("open_axis", "order"), [(0, 8), (1, 8), (2, 8)])
def test_an_open_axis_stays_as_it_is(open_axis, order):
    periodic = [axis != open_axis for axis in range(3)]
    operations = Grid.of(CUBIC, 8, periodic).symmetries()
    assert len(operations) == order
    np.testing.assert_array_equal(operations[:, open_axis, open_axis], 1)


def test_without_periodic_axes_only_the_identity_is_left():
    np.testing.assert_array_equal(Grid.of(CUBIC, 8, False).symmetries(), np.eye(3)[None])


def test_grid_survives_json():
    grid = Grid.of(TRICLINIC, (4, 5, 6), (True, False, True))
    assert Grid.of(**json.loads(json.dumps(grid.to_dict()))) == grid


@pytest.mark.parametrize(
    ("cell", "shape", "periodic", "message"),
    [
        (np.eye(4), 4, True, "1, 2 or 3 axes, not 4"),
        (np.eye(3), (4, 4), True, "must agree"),
        (np.eye(3), 4, (True, True), "must agree"),
        (np.eye(3), (4, 0, 4), True, "at least one point"),
        ([[1, 0, 0], [2, 0, 0], [0, 0, 1]], 4, True, "no volume"),
        ([1.0, float("nan"), 1.0], 4, True, "no volume"),
    ],
)
def test_what_does_not_fit_together_is_refused(cell, shape, periodic, message):
    with pytest.raises(DataError, match=message):
        Grid.of(cell, shape, periodic)


def test_a_region_along_a_periodic_axis_wraps():
    grid = Grid.of([4.0, 5.0], (8, 10), (True, False))
    region = Region((-2, 3), (4, 5))
    rows, columns = region.indices(grid)
    assert rows.tolist() == [6, 7, 0, 1]
    assert columns.tolist() == [3, 4, 5, 6, 7]
    part = grid.part(region)
    assert part.shape == (4, 5)
    assert part.periodic == (False, False)
    np.testing.assert_allclose(part.voxel, grid.voxel)


def test_slabs_are_the_grid_in_order():
    grid = Grid.of([4.0] * 3, (7, 4, 5))
    assert [(slab.start[0], slab.shape) for slab in slabs(grid, 45)] == [
        (0, (2, 4, 5)), (2, (2, 4, 5)), (4, (2, 4, 5)), (6, (1, 4, 5))
    ]  # fmt: skip
    assert len(list(slabs(grid, 1))) == 7
    assert [(slab.start, slab.shape) for slab in slabs(grid, 90, axis=2)] == [
        ((0, 0, 0), (7, 4, 3)), ((0, 0, 3), (7, 4, 2))
    ]  # fmt: skip
