"""Densities that break transport solvers, against the dense solver and the law of rigid shifts."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence

from edframe.errors import ConfigError, DataError
from edframe.grid import Grid

BOX = Grid.of([4.0, 4.0, 4.0], 8)


@dataclass(frozen=True)
class Case:
    a: torch.Tensor
    b: torch.Tensor
    grid: Grid = BOX
    domain: str = "scaling"
    options: dict = field(default_factory=dict)


def slater(grid, place, charge):
    """A cusp at a nucleus: exp(−2 Z r), r in Bohr."""
    apart = grid.coordinates() - np.array(place)
    apart -= np.rint(apart / np.diag(grid.vectors)) * np.diag(grid.vectors)
    return torch.from_numpy(np.exp(-2 * charge * np.linalg.norm(apart, axis=-1) / 0.529))[None]


def cusps(atoms):
    return Case(
        6**3 * slater(BOX, [1.6, 2.0, 2.0], 6) + slater(BOX, [2.5, 2.0, 2.0], 1) + 1e-8,
        6**3 * slater(BOX, [1.5, 2.0, 2.0], 6) + slater(BOX, [2.6, 2.3, 2.0], 1) + 1e-8,
    )


def vacuum(atoms):
    return Case(*(atoms(BOX, ([x, 2.0, 2.0], 0.25, 8), floor=1e-8) for x in (1.8, 2.1)))


def zeros(atoms):
    pair = (atoms(BOX, ([x, 2.0, 2.0], 0.3, 8)) for x in (1.8, 2.3))
    return Case(*(torch.where(x > 1e-3, x, 0.0) for x in pair))


def near_pair(atoms):
    return Case(*(atoms(BOX, ([x, 2.0, 2.0], 0.5, 1), floor=1e-8) for x in (2.0, 2.05)))


def far_pair(atoms):
    grid = Grid.of([6.4, 0.4], (64, 4))
    return Case(*(atoms(grid, ([1.2, 0.2], 0.2, 1), ([x, 0.2], 0.2, 1), floor=1e-8) for x in (2.2, 5.2)), grid)


def far_pair_beyond_float64(atoms):
    grid = Grid.of([12.8], 128, False)
    pair = (atoms(grid, ([1.2], 0.2, 2 - x), ([7.2], 0.2, 2 + x), floor=1e-6) for x in (0.0, 0.2))
    return Case(*pair, grid, domain="log")


def one_atom_against_two(atoms):
    one = atoms(BOX, ([2.0, 2.0, 2.0], 0.3, 2), floor=1e-8)
    return Case(one, atoms(BOX, ([1.2, 2.0, 2.0], 0.3, 1), ([2.8, 2.0, 2.0], 0.3, 1), floor=1e-8))


def long_box(atoms):
    grid = Grid.of([1.2, 2.1, 8.0], (3, 4, 25), (True, False, True))
    return Case(*(atoms(grid, ([0.6, 1.0, z], 0.4, 5), floor=1e-8) for z in (1.0, 7.5)), grid)


def one_voxel_axes(atoms):
    grid = Grid.of([0.5, 4.0, 0.4], (1, 12, 1))
    return Case(*(atoms(grid, ([0.0, y, 0.0], 0.4, 5), floor=1e-8) for y in (1.0, 3.5)), grid)


def one_electron_against_a_thousand(atoms):
    return Case(*(atoms(BOX, ([x, 2.0, 2.0], 0.4, n), floor=1e-8) for x, n in ((1.8, 1000), (2.1, 1))))


def a_few_more_electrons(atoms):
    pair = (atoms(BOX, ([x, 2.0, 2.0], 0.4, n), floor=1e-8) for x, n in ((1.8, 10.5), (2.1, 10)))
    return Case(*pair, options={"reach": 1.0, "mass": "unbalanced"})


def noise(atoms):
    clean = atoms(BOX, ([1.8, 2.0, 2.0], 0.35, 8), floor=1e-8)
    return Case(clean * (1 + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))), clean)


def half_precision(atoms):
    return Case(*(atoms(BOX, ([x, 2.0, 2.0], 0.3, 8)).half() for x in (1.8, 2.1)))


def brain_float(atoms):
    return Case(*(atoms(BOX, ([x, 2.0, 2.0], 0.3, 8)).bfloat16() for x in (1.8, 2.1)))


def single_precision_of_huge_values(atoms):
    return Case(*(1e30 * atoms(BOX, ([x, 2.0, 2.0], 0.3, 8)).float() for x in (1.8, 2.1)))


def half_a_voxel_of_blur(atoms):
    return Case(*(atoms(BOX, ([x, 2.0, 2.0], 0.4, 8), floor=1e-8) for x in (1.8, 2.1)), options={"blur": 0.25})


@pytest.mark.parametrize(
    "make",
    [
        cusps,
        vacuum,
        zeros,
        near_pair,
        far_pair,
        far_pair_beyond_float64,
        one_atom_against_two,
        long_box,
        one_voxel_axes,
        one_electron_against_a_thousand,
        a_few_more_electrons,
        noise,
        half_precision,
        brain_float,
        single_precision_of_huge_values,
        half_a_voxel_of_blur,
    ],
    ids=lambda make: make.__name__,
)
def test_hard_cases_equal_the_dense_solver(dense, atoms, make):
    case = make(atoms)
    options = {"blur": float(case.grid.spacing.max()), **case.options}
    exact = dense(case.a[0].double(), case.b[0].double(), case.grid, **options)
    loose = sinkhorn_divergence(case.a, case.b, case.grid, **options)
    tight = sinkhorn_divergence(case.a, case.b, case.grid, **options, tol=1e-7, max_iterations=5000)
    for result, tol, of_value, of_gradient in ((loose, 1e-3, 1e-3, 0.05), (tight, 1e-7, 1e-7, 1e-4)):
        assert result.domain == case.domain
        assert result.marginal_error.item() <= tol
        assert result.value.dtype == result.gradient.dtype == torch.float64
        # What cancels between the three terms of S is of the size of ε.
        assert result.value.item() == pytest.approx(exact.value, rel=of_value, abs=of_value**2 * options["blur"] ** 2)
        assert result.gradient.isfinite().all()
        # The potential counts as much as there is mass, and is defined up to a constant.
        for potential, wanted, mass in (
            (result.potential[0].numpy(), exact.potential, case.a[0].double().numpy()),
            (result.reference_potential[0].numpy(), exact.reference_potential, case.b[0].double().numpy()),
        ):
            share = mass / mass.sum()
            error, spread = (
                np.sqrt((share * (x - (share * x).sum()) ** 2).sum()) for x in (potential - wanted, wanted)
            )
            assert error <= of_gradient * spread + tol * options["blur"] ** 2


def test_the_gradient_in_a_vacuum_equals_the_dense_solver(dense, atoms):
    case = vacuum(atoms)
    exact = dense(case.a[0], case.b[0], BOX, 0.5)
    # The vacuum is 1e-7 of the electrons: to be right there, the marginals must be so to a small part of that.
    tight = sinkhorn_divergence(case.a, case.b, BOX, 0.5, tol=1e-13, max_iterations=5000)
    assert np.ptp(tight.potential[0].numpy() - exact.potential) <= 1e-5 * np.ptp(exact.potential)


@pytest.mark.parametrize("shift", [0.01, 0.05, 0.3, 1.0, 3.0])
def test_a_rigid_shift_costs_half_its_square(atoms, shift):
    grid = Grid.of([8.0] * 3, 32)
    direction = np.array([2.0, -1.0, 2.0]) / 3
    a, b = (atoms(grid, (4.0 + x * direction, 0.4, 1)) for x in (shift / 2, -shift / 2))
    ours = sinkhorn_divergence(a, b, grid)
    assert ours.value.item() == pytest.approx(shift**2 / 2, rel=2e-3)


def test_an_atom_moved_far_among_others_costs_its_share(atoms):
    grid = Grid.of([8.0] * 3, 32)
    a, b = (atoms(grid, ([6.0, 6.0, 2.0], 0.35, 6), (place, 0.35, 2), floor=1e-8) for place in ([2, 3, 4], [4, 2, 6]))
    ours = sinkhorn_divergence(a, b, grid)
    assert ours.value.item() == pytest.approx(2 / 8 * 3.0**2 / 2, rel=2e-3)


@pytest.mark.parametrize("shape", [(16, 16, 16), (7, 10, 1), (9,)])
@pytest.mark.parametrize("floor", [0.0, 1e-8])
@pytest.mark.parametrize("options", [{}, {"reach": 1.0, "mass": "unbalanced"}], ids=str)
def test_a_density_equal_to_its_reference_has_zero_value_and_gradient(atoms, shape, floor, options):
    grid = Grid.of([0.4 * n for n in shape], shape)
    a = atoms(grid, (0.4 * grid.vectors.sum(0), 0.4, 8), floor=floor)
    a[a < 1e-3 * a.max()] = floor
    result = sinkhorn_divergence(a, a, grid, **options)
    assert abs(result.value.item()) < 1e-10
    assert result.potential.abs().max() < 1e-10
    assert result.reference_potential.abs().max() < 1e-10


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a * 0, "no positive value"),
        (lambda a: -a, "no positive value"),
        (lambda a: a * float("nan"), "not finite"),
        (lambda a: a / 0, "not finite"),
        (lambda a: a[:, :-1], "has shape"),
        (lambda a: a[0], "has shape"),
        (lambda a: torch.cat([a, a]), "batches of one size"),
    ],
)
@pytest.mark.usefixtures("any_shape")
def test_a_density_that_cannot_be_used_is_refused(spoil, message):
    a = torch.ones(1, *BOX.shape)
    with pytest.raises(DataError, match=message):
        sinkhorn_divergence(spoil(a), a, BOX)


@pytest.mark.parametrize(
    "option",
    [{"blur": 0.0}, {"blur": -1.0}, {"tol": 0.0}, {"max_iterations": 0}, {"reach": 0.0}, {"reach": float("inf")}],
    ids=str,
)
def test_options_must_be_positive(option):
    a = torch.ones(1, *BOX.shape)
    with pytest.raises(ConfigError, match="must be positive, not"):
        sinkhorn_divergence(a, a, BOX, **option)
