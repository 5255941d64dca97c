"""Line convolutions against sums over all pairs and images, written out here."""

import itertools
import math

import numpy as np
import pytest
import torch
from edframe_sinkhorn.fourier import eigenvalues
from edframe_sinkhorn.lines import (
    BOUND,
    IMAGES_APART,
    LineKernel,
    decompose,
    image_distance,
    kernel_error,
    obtuse_superbase,
    selling,
    smallest_blur,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

HALF = math.sqrt(3) / 2

# Edges of one voxel; the longest is 1 Å, so that a blur is in voxels.
VOXELS = {
    "cubic": np.eye(3),
    "hexagonal": [[1, 0, 0], [-0.5, HALF, 0], [0, 0, 0.8]],
    "monoclinic": [[0.9, 0, 0], [0, 1, 0], [0.8 * math.cos(math.radians(110)), 0, 0.8 * math.sin(math.radians(110))]],
    "fcc primitive": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / math.sqrt(2),
    "bcc primitive": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / math.sqrt(3),
    "triclinic": [[1, 0, 0], [-0.31, 0.85, 0], [0.22, 0.15, 0.8]],
    "skewed": [[1, 0, 0], [0.5, 0.87, 0], [0.7, 0.45, 0.3]],
    "plane": [[1, 0], [0.4, 0.8]],
    "line": [[1]],
}
CRYSTALS = ("hexagonal", "monoclinic", "fcc primitive")


def log_row(voxel, shape, epsilon, nearest=False):
    """log K of all points to the first ``[N]``: of the sum over images, or of the nearest one."""
    cell = np.asarray(voxel) * np.array(shape)[:, None]
    displacements = np.indices(shape).reshape(len(shape), -1).T @ np.asarray(voxel)
    # Nothing farther than this counts: the first point is within the sum of the edges, and e^−32 beside it.
    farthest = np.linalg.norm(cell, axis=1).sum() + 8 * math.sqrt(epsilon)
    turns = [math.ceil(farthest * length) for length in np.linalg.norm(np.linalg.inv(cell), axis=0)]
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in turns)))) @ cell
    images = images[np.linalg.norm(images, axis=1) <= farthest]
    logs = [-((displacements + image) ** 2).sum(-1) / (2 * epsilon) for image in images]
    return np.max(logs, axis=0) if nearest else np.logaddexp.reduce(logs, axis=0)


def log_kernel(voxel, shape, epsilon, nearest=False):
    """The same between all pairs, ``[N, N]``."""
    points = np.indices(shape).reshape(len(shape), -1).T
    apart = (points[None] - points[:, None]) % np.array(shape)
    numbers = np.ravel_multi_index(tuple(np.moveaxis(apart, -1, 0)), shape)
    return log_row(voxel, shape, epsilon, nearest)[numbers]


def unit_mass(shape):
    """One unit at the origin, ``[1, n1, …, nd]``: what a kernel makes of it is its first row."""
    mass = torch.zeros(1, math.prod(shape), dtype=torch.float64)
    mass[0, 0] = 1
    return mass.reshape(1, *shape)


@st.composite
def forms(draw):
    d = draw(st.integers(1, 3))
    entries = draw(st.lists(st.floats(-1, 1), min_size=d * d, max_size=d * d))
    factor = np.array(entries).reshape(d, d)
    assume(abs(np.linalg.det(factor)) > 0.02)
    return factor @ factor.T


@given(forms())
def test_selling_decomposes_a_form_into_integer_directions(form):
    directions, weights = selling(form)
    assert len(weights) == len(form) * (len(form) + 1) // 2
    assert (weights >= 0).all()
    np.testing.assert_allclose(np.einsum("k,ki,kj->ij", weights, directions, directions), form, atol=1e-10)


@given(forms())
def test_superbase_is_an_obtuse_basis_that_sums_to_zero(form):
    vectors = obtuse_superbase(form)
    assert (vectors.sum(0) == 0).all()
    assert abs(round(np.linalg.det(vectors[1:]))) == 1
    assert (np.triu(vectors @ form @ vectors.T, 1) <= 1e-9).all()


@pytest.mark.parametrize("voxels", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("name", CRYSTALS)
def test_error_in_the_grids_own_lattice(name, voxels, record_property):
    """Without a finer lattice: the bound holds at every displacement, and is at most twice the truth."""
    shape = (6, 7, 8)
    kernel = LineKernel(VOXELS[name], shape, voxels**2, bound=math.inf)
    assert abs(np.linalg.det(kernel.lines.embedding)) == pytest.approx(1)
    deviation = kernel.apply(unit_mass(shape)).log().numpy().ravel() - log_row(VOXELS[name], shape, voxels**2)
    record_property("log K", float(np.abs(deviation).max()))
    assert np.abs(deviation).max() <= kernel.lines.error + 1e-12
    assert np.abs(deviation).max() >= kernel.lines.error / 2 - 1e-12


@pytest.mark.parametrize("voxels", [1.0, 1.5, 2.0])
def test_error_of_a_hexagonal_grid_is_the_sum_in_closed_form(voxels):
    # Three directions of variance 2/3 blur² sum to zero: steps (n, n, n), of squared length 9n²/(2 blur²).
    lines = decompose(VOXELS["hexagonal"], (6, 6, 6), voxels**2, bound=math.inf)
    eta = 2 * sum(math.exp(-2 * math.pi**2 * n**2 * voxels**2 / 4.5) for n in range(1, 4))
    assert lines.error == pytest.approx(-math.log1p(-eta), rel=1e-6)


@pytest.mark.parametrize("name", ["hexagonal", "fcc primitive", "bcc primitive"])
def test_three_lines_are_exact_where_a_finer_lattice_has_right_angles(name):
    shape = (6, 5, 7)
    kernel = LineKernel(VOXELS[name], shape, 0.8**2)
    assert len(kernel.lines.directions) == 3
    row = kernel.apply(unit_mass(shape)).log().numpy().ravel()
    np.testing.assert_allclose(row, log_row(VOXELS[name], shape, 0.8**2), atol=1e-11)


@pytest.mark.parametrize("voxels", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("name", VOXELS)
def test_apply_equals_the_sum_over_all_pairs(name, voxels):
    voxel = VOXELS[name]
    shape = (5, 6, 7)[: len(voxel)]
    kernel = LineKernel(voxel, shape, voxels**2)
    assert kernel.lines.error <= BOUND
    density = torch.from_numpy(np.random.default_rng(0).random((2, *shape)) ** 8)
    expected = np.exp(log_kernel(voxel, shape, voxels**2)) @ density.flatten(1).numpy().T
    deviation = np.log(kernel.apply(density).flatten(1).numpy().T / expected)
    assert np.abs(deviation).max() <= kernel.lines.error + 1e-9


@settings(max_examples=20, deadline=None)
@given(forms(), st.lists(st.integers(1, 7), min_size=3, max_size=3), st.floats(0.6, 2))
def test_error_is_bounded_for_any_cell(form, sides, voxels):
    d = len(form)
    voxel = np.linalg.cholesky(form / form.diagonal().max())
    shape = tuple(sides[:d])
    assume(np.linalg.cond(voxel) < 5)
    kernel = LineKernel(voxel, shape, voxels**2)
    row = kernel.apply(unit_mass(shape)).log().numpy().ravel()
    deviation = np.abs(row - log_row(voxel, shape, voxels**2)).max()
    assert deviation <= kernel.lines.error + 1e-6


@pytest.mark.parametrize(("name", "shape"), [("plane", (40, 41)), ("triclinic", (13, 14, 15))])
def test_relative_accuracy_on_long_circles(name, shape):
    """Sides without a common divisor: circles through all points, cut into windows; K spans many decades."""
    kernel = LineKernel(VOXELS[name], shape, 0.7**2)
    exact = log_row(VOXELS[name], shape, 0.7**2)
    assert exact.min() < -60
    row = kernel.apply(unit_mass(shape)).log().numpy().ravel()
    np.testing.assert_allclose(row, exact, atol=kernel.lines.error + 1e-9)


@pytest.mark.parametrize("voxels", [0.6, 1.0, 2.0])
@pytest.mark.parametrize(("name", "shape"), [("hexagonal", (8, 9, 10)), ("fcc primitive", (6, 5, 7))])
def test_eigenvalues_are_the_transform_of_a_row(name, shape, voxels):
    """These cells lie in lattices with right angles, where lines are exact, or nearly so."""
    row = np.exp(log_row(VOXELS[name], shape, voxels**2)).reshape(shape)
    lines = decompose(VOXELS[name], shape, voxels**2)
    values = eigenvalues(lines, shape).numpy()
    np.testing.assert_allclose(values, np.fft.rfftn(row).real, rtol=0, atol=(1e-11 + lines.error) * values.max())


def test_sums_keep_their_relative_accuracy_whichever_way_they_are_taken():
    """Of a density without a vacuum, by Fourier transforms, and beside it of one with an empty half, by lines."""
    shape = (20, 3, 4)
    kernel = LineKernel(VOXELS["hexagonal"], shape, 1.0)
    log_density = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, *shape)))
    log_density[1, 1:] -= 100
    exact = log_kernel(VOXELS["hexagonal"], shape, 1.0)
    expected = np.logaddexp.reduce(exact + log_density.flatten(1).numpy()[:, None], axis=2)
    assert np.ptp(expected[1]) > 30
    np.testing.assert_allclose(kernel.apply(log_density.exp()).flatten(1).log(), expected, atol=1e-9)
    alone = kernel.apply(log_density[:1].exp())
    torch.testing.assert_close(alone, kernel.apply(log_density.exp())[:1], rtol=1e-13, atol=0)


def test_fields_of_either_sign():
    shape = (6, 7, 8)
    kernel = LineKernel(VOXELS["hexagonal"], shape, 1.0)
    field = torch.from_numpy(np.random.default_rng(0).standard_normal((1, *shape)))
    expected = np.exp(log_kernel(VOXELS["hexagonal"], shape, 1.0)) @ field.flatten().numpy()
    np.testing.assert_allclose(kernel.apply(field, even=True).flatten(), expected, rtol=0, atol=1e-9)


def test_kernel_is_symmetric_and_invariant_to_translations():
    shape = (4, 5, 6)
    kernel = LineKernel(VOXELS["triclinic"], shape, 1.0)
    matrix = kernel.apply(torch.eye(120, dtype=torch.float64).reshape(120, *shape)).flatten(1)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-13, atol=0)
    torch.testing.assert_close(matrix.diagonal(), matrix[0, 0].expand(120), rtol=1e-13, atol=0)
    assert torch.linalg.eigvalsh(matrix).min() > 0


@pytest.mark.parametrize("name", ["hexagonal", "triclinic", "plane"])
def test_log_apply_is_the_logarithm_of_apply(name):
    shape = (7, 8, 9)[: len(VOXELS[name])]
    kernel = LineKernel(VOXELS[name], shape, 1.0)
    density = torch.from_numpy(np.random.default_rng(0).random((2, *shape)) ** 8)
    density[:, :3] = 0
    torch.testing.assert_close(kernel.log_apply(density.log()), kernel.apply(density).log(), rtol=0, atol=1e-13)


def test_log_apply_has_no_limit_of_range():
    shape = (6, 7, 8)
    kernel = LineKernel(VOXELS["triclinic"], shape, 1.0)
    log_density = torch.from_numpy(np.random.default_rng(0).uniform(-4000, 4000, (2, *shape)))
    log_density[0, 2:] = -torch.inf
    exact = log_kernel(VOXELS["triclinic"], shape, 1.0)
    expected = np.logaddexp.reduce(exact + log_density.flatten(1).numpy()[:, None], axis=2)
    result = kernel.log_apply(log_density).flatten(1).numpy()
    np.testing.assert_allclose(result, expected, atol=kernel.lines.error + 1e-9)
    assert (kernel.log_apply(torch.full((1, *shape), -torch.inf, dtype=torch.float64)) == -torch.inf).all()


def test_image_distance_is_the_shortest_lattice_vector():
    assert image_distance(VOXELS["fcc primitive"], (8, 8, 8)) == pytest.approx(8)
    assert image_distance([[1, 0], [7.9, 3]], (5, 1)) == pytest.approx(math.hypot(2.1, 3))
    assert image_distance([[0.25]], (8,)) == pytest.approx(2)


def test_smallest_blur_is_where_the_error_meets_the_bound():
    voxel, shape = VOXELS["triclinic"], (8, 8, 8)
    assert kernel_error(voxel, shape, 0.4) > BOUND
    blur = smallest_blur(voxel, shape, 0.4)
    assert kernel_error(voxel, shape, blur) <= BOUND < kernel_error(voxel, shape, 0.98 * blur)
    assert smallest_blur(voxel, shape, 1.0) == 1.0


def divergence(apply, a, b, epsilon):
    """S and its gradient by a, f_ab − f_aa, by plain iterations with K ``apply`` in the scaling domain."""
    v = np.ones_like(b)
    for _ in range(20000):
        before, v = v, 1 / apply(a / apply(b * v))
        if np.abs(b * (v / before - 1)).sum() < 1e-11:
            break
    f, g = -epsilon * np.log(apply(b * v)), epsilon * np.log(v)
    own = []
    for mass in (a, b):
        s = np.ones_like(mass)
        for _ in range(200):
            s = np.sqrt(s / apply(mass * s))
        own.append(epsilon * np.log(s))
    return a @ (f - own[0]) + b @ (g - own[1]), f - own[0]


def atoms(voxel, shape, shift):
    """Three Gaussians of about one voxel, moved by ``shift`` voxels along a diagonal; ``[N]``, sums to one."""
    cell = np.asarray(voxel) * np.array(shape)[:, None]
    fractions = np.indices(shape).reshape(3, -1).T / np.array(shape)
    density = np.full(len(fractions), 1e-8)
    for centre, width in (((0.3, 0.4, 0.5), 1.0), ((0.6, 0.45, 0.4), 0.8), ((0.4, 0.7, 0.65), 1.2)):
        apart = fractions - centre - shift * np.array([1, -0.5, 0.3]) / np.array(shape)
        apart = (apart - np.rint(apart)) @ cell
        images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell
        squared = np.min([((apart + image) ** 2).sum(-1) for image in images], axis=0)
        density += np.exp(-squared / (2 * width**2)) / width**3
    return density / density.sum()


def compared(voxel, shape, blur, shift, nearest):
    """Relative errors of the value and of the gradient (by its range) against the dense solver."""
    a, b = atoms(voxel, shape, 0.0), atoms(voxel, shape, shift)
    exact = np.exp(log_kernel(voxel, shape, blur**2, nearest))
    value, gradient = divergence(lambda x: exact @ x, a, b, blur**2)
    kernel = LineKernel(voxel, shape, blur**2)
    ours, our_gradient = divergence(
        lambda x: kernel.apply(torch.from_numpy(x).reshape(1, *shape)).numpy().ravel(), a, b, blur**2
    )
    return abs(ours / value - 1), np.ptp(our_gradient - gradient) / np.ptp(gradient)


@pytest.mark.parametrize("shift", [0.1, 3.0])
@pytest.mark.parametrize("name", [*CRYSTALS, "triclinic"])
def test_divergence_equals_the_dense_one_over_all_images(name, shift, record_property):
    value, gradient = compared(VOXELS[name], (8, 8, 8), 1.5, shift, nearest=False)
    record_property("value", float(value))
    record_property("gradient", float(gradient))
    assert value <= 1e-3
    assert gradient <= 1e-3


@pytest.mark.parametrize("shift", [0.1, 3.0])
@pytest.mark.parametrize("name", [*CRYSTALS, "triclinic"])
def test_divergence_equals_the_dense_one_of_nearest_images_where_those_are_far_apart(name, shift, record_property):
    voxel, shape = VOXELS[name], (9, 9, 9)
    blur = image_distance(voxel, shape) / IMAGES_APART
    value, gradient = compared(voxel, shape, blur, shift, nearest=True)
    record_property("value", float(value))
    record_property("gradient", float(gradient))
    assert value <= 1e-3
    assert gradient <= 1e-2
