"""The shipped tables: their electrons, their shapes, and their agreement with PySCF."""

import numpy as np
import pytest
from edframe_gaussian.tables import RadialSpline, load_atomic_densities, read_facts
from scipy.integrate import simpson

FACTS = read_facts()
VALENCE = dict(
    zip(
        ("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar"),
        (1, 2, 3, 4, 3, 4, 5, 6, 7, 8, 9, 10, 3, 4, 5, 6, 7, 8),
        strict=True,
    )
)
"""Valence electrons of the GTH-PBE pseudopotentials, as named there (q1, q2, q3 …)."""


def test_covers_hydrogen_to_argon():
    assert list(FACTS["elements"]) == list(VALENCE)
    assert (FACTS["functional"], FACTS["pseudopotential"]) == ("pbe", "gth-pbe")


@pytest.mark.parametrize("symbol", VALENCE)
def test_holds_the_valence_electrons(symbol):
    (atomic,) = load_atomic_densities([symbol])
    assert atomic.charge == VALENCE[symbol]
    r = np.linspace(0, atomic.cutoff, 20 * len(atomic.values))
    values = np.interp(r, atomic.radii, atomic.values)
    assert atomic.integral() == pytest.approx(atomic.charge, abs=1e-5)
    assert np.trapezoid(4 * np.pi * r**2 * values, r) == pytest.approx(atomic.charge, rel=1e-3)


@pytest.mark.parametrize("symbol", VALENCE)
def test_ends_smoothly(symbol):
    (atomic,) = load_atomic_densities([symbol])
    assert atomic.values.min() == atomic.values[-1] == 0
    assert atomic.values[-2] < 1e-7
    assert FACTS["elements"][symbol]["scaled_by"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("symbol", ["H", "Li", "O", "Mg"])
def test_projections_hold_the_electrons_too(symbol, dimension):
    (atomic,) = load_atomic_densities([symbol])
    r, values = atomic.radii, atomic.projected(dimension)
    measure = np.full_like(r, 2.0) if dimension == 1 else 2 * np.pi * r
    assert simpson(measure * values, x=r) == pytest.approx(atomic.charge, rel=1e-4)


def test_projection_of_a_gaussian_is_a_gaussian():
    from edframe_gaussian.tables import AtomicDensity

    r = 0.01 * np.arange(601)
    gaussian = AtomicDensity("X", np.exp(-(r**2)), 0.01, np.pi**1.5)
    for dimension in (1, 2):
        expected = np.pi ** ((3 - dimension) / 2) * np.exp(-(r**2))
        np.testing.assert_allclose(gaussian.projected(dimension), expected, atol=1e-6)


@pytest.mark.parametrize("symbol", ["H", "Li", "O"])
def test_equals_a_fresh_pyscf_atom(symbol):
    pytest.importorskip("pyscf")
    import torch
    from edframe_gaussian.atomic_tables import evaluate, solve_atom

    (atomic,) = load_atomic_densities([symbol])
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 3))
    points *= (rng.uniform(0, 0.8 * atomic.cutoff, 500) / np.linalg.norm(points, axis=1))[:, None]
    expected = evaluate(solve_atom(symbol), points)  # in all directions: the table is of one
    squared = torch.tensor((points**2).sum(1), dtype=torch.float32)
    values = RadialSpline(atomic.values, atomic.spacing)(squared)
    np.testing.assert_allclose(values, expected, rtol=2e-4, atol=1e-6 * expected.max())


def test_energy_of_helium_is_that_of_the_exact_pbe_atom():
    """−2.8929 hartree (all-electron PBE; helium has no core to replace): basis and pseudopotential cost 3 mhartree."""
    assert FACTS["elements"]["He"]["energy_hartree"] == pytest.approx(-2.8929, abs=0.005)
