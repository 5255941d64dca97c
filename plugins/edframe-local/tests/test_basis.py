"""The invariants against sums over neighbours written out, SciPy's harmonics, and their own symmetries."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from edframe_local.basis import CORE, Basis, radial
from edframe_local.harmonics import solid_harmonics
from edframe_local.kinds import kinds_of
from edframe_local.neighbours import Images, surroundings
from pymatgen.core import Lattice, Structure
from scipy.special import eval_legendre, sph_harm_y
from scipy.stats import special_ortho_group

from edframe.errors import DataError
from edframe.grid import Grid

RNG = np.random.default_rng(0)
CELL = np.array([[3.1, 0.2, 0.0], [0.9, 2.7, 0.1], [-0.4, 0.6, 3.6]])
SPECIES = ["O", "H", "O", "C"]
FRACTIONS = np.array([[0.1, 0.2, 0.3], [0.45, 0.9, 0.15], [0.6, 0.55, 0.8], [1.3, -0.2, 0.5]])
POINTS = RNG.random((9, 3))
BASIS = Basis(species=3, dimension=3, cutoff=4.2, pairs=5, radial=3, angular=4, triples=120, products=60)


def values(fractions, cell=CELL, species=SPECIES, points=POINTS, basis=BASIS, periodic=True, together=4):
    d = basis.dimension
    whole = np.eye(3)
    whole[:d, :d] = cell[:d, :d] if d < 3 else cell
    structure = Structure(Lattice(whole), species, fractions)
    grid = Grid.of(whole[:d, :d], 4, periodic)
    images = Images.of(structure, grid, ("H", "C", "O"), basis.cutoff)
    at_points = torch.full((len(points), basis.size), torch.nan, dtype=torch.float64)
    for around in surroundings(
        points[:, :d] @ grid.vectors, images, together=together, entries=60, dtype=torch.float64
    ):
        which, functions = basis(around)
        at_points[which] = functions
    return at_points


def neighbours(point, cell, fractions, cutoff, axes=3):
    """Vectors to all images within the cut-off, one by one."""
    reach = range(-6, 7)
    for atom, fraction in enumerate(fractions):
        for step in itertools.product(*[reach if axis < axes else (0,) for axis in range(len(cell))]):
            vector = (fraction[: len(cell)] + step - point) @ cell
            if np.linalg.norm(vector) < cutoff:
                yield atom, vector


def test_harmonics_are_those_of_scipy() -> None:
    vectors = RNG.normal(size=(20, 3))
    r = np.linalg.norm(vectors, axis=1)
    polar, azimuth = np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])
    for ell, harmonics in enumerate(solid_harmonics(torch.from_numpy(vectors), 6)):
        for m in range(-ell, ell + 1):
            y = sph_harm_y(ell, abs(m), polar, azimuth) * np.sqrt(4 * np.pi / (2 * ell + 1)) * (-1) ** abs(m)
            real = y.real if m == 0 else np.sqrt(2) * (y.imag if m < 0 else y.real)
            np.testing.assert_allclose(harmonics[:, ell + m], real * r**ell, rtol=0, atol=1e-11)


def test_kinds_are_weighted_species() -> None:
    """Each species a kind of its own changes nothing; one kind of all weighs each alike, as if all were carbon; an
    element of no weight is not seen by terms of three bodies."""
    own = replace(BASIS, kinds=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    torch.testing.assert_close(values(FRACTIONS, basis=own), values(FRACTIONS))
    alike = replace(BASIS, triples=20, products=20, kinds=((1.0,), (1.0,), (1.0,)))
    two = alike.sizes[0]
    mixed, carbon = values(FRACTIONS, basis=alike), values(FRACTIONS, species=["C"] * 4, basis=alike)
    torch.testing.assert_close(mixed[:, two:], carbon[:, two:])
    without = replace(alike, kinds=((0.0,), (1.0,), (1.0,)))
    fewer = values(np.delete(FRACTIONS, 1, 0), species=["O", "O", "C"], basis=without)
    torch.testing.assert_close(values(FRACTIONS, basis=without)[:, two:], fewer[:, two:])


def test_kinds_are_hydrogen_the_others_and_these_by_paulings_table() -> None:
    expected = ((1, 0, 0), (0, 1, 0), (0, 1, 0.49), (0, 1, 0.89), (0, 1, 1.43), (0, 1, 0))
    np.testing.assert_allclose(kinds_of(("H", "C", "N", "O", "F", "He")), expected, atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2])
def test_harmonics_in_fewer_dimensions_depend_on_the_angle_alone(dimension) -> None:
    u, v = (torch.from_numpy(RNG.normal(size=(20, dimension))) for _ in range(2))
    lengths = u.norm(dim=1) * v.norm(dim=1)
    cosine = (u * v).sum(1) / lengths
    for ell, (a, b) in enumerate(zip(solid_harmonics(u, 5), solid_harmonics(v, 5), strict=True)):
        expected = lengths**ell * torch.cos(ell * torch.arccos(cosine.clamp(-1, 1)))
        torch.testing.assert_close((a * b).sum(1), expected, rtol=0, atol=1e-10)


def test_radial_functions_are_their_formula_and_end_smoothly() -> None:
    d, cutoff = np.linspace(0, 6, 300), 4.5
    functions = radial(torch.from_numpy(d), 7, cutoff)
    t = np.sqrt((np.hypot(d, CORE) - CORE) / (np.hypot(cutoff, CORE) - CORE))
    fade = np.where(d < cutoff, (1 + np.cos(np.pi * d / cutoff)) / 2, 0)
    np.testing.assert_allclose(functions, fade[:, None] * np.cos(np.pi * np.arange(7) * t[:, None]), atol=1e-9)


@pytest.mark.parametrize("together", [1, 4])
def test_invariants_are_sums_over_pairs_of_neighbours(together) -> None:
    invariants = values(FRACTIONS, together=together).numpy()
    two, three, more = np.split(invariants, np.cumsum(BASIS.sizes)[:-1], axis=1)
    kinds = [["H", "C", "O"].index(s) for s in SPECIES]
    for point, pairs, triples, products in zip(POINTS, two, three, more, strict=True):
        around = list(neighbours(point, CELL, FRACTIONS, BASIS.cutoff))
        kind = np.array([kinds[atom] for atom, _ in around])
        vectors = np.array([vector for _, vector in around])
        f = radial(torch.from_numpy(np.linalg.norm(vectors, axis=1)), 5, BASIS.cutoff).numpy()
        expected = [f[kind == s].sum(0) for s in range(3)]
        np.testing.assert_allclose(pairs, np.concatenate(expected), atol=1e-9)
        squared = (vectors**2).sum(1)
        cosines = vectors @ vectors.T / np.sqrt(np.outer(squared, squared))
        soft = np.sqrt(squared / (squared + CORE**2))
        first = [f[kind == s][:, n].sum() for s in range(3) for n in range(3)]
        by_hand = []
        for ell, i, j in BASIS.triples_listed:
            a, b = kind == i // 3, kind == j // 3
            terms = np.outer(f[:, i % 3] * soft**ell, f[:, j % 3] * soft**ell) * eval_legendre(ell, cosines)
            by_hand.append(terms[np.ix_(a, b)].sum())
        np.testing.assert_allclose(triples, by_hand, atol=1e-8)
        listed = BASIS.products_listed
        np.testing.assert_allclose(products, [by_hand[t] * first[c] for t, c in listed], atol=1e-7)


@pytest.mark.parametrize("basis", [BASIS, replace(BASIS, kinds=((1.0, 0.0), (0.0, 1.0), (0.3, 1.5)))])
def test_many_atoms_are_summed_as_few_are(basis, monkeypatch) -> None:
    few = values(FRACTIONS, basis=basis)
    monkeypatch.setattr("edframe_local.basis.MANY", 3)
    torch.testing.assert_close(values(FRACTIONS, basis=basis), few, rtol=0, atol=1e-9)


def test_terms_of_lowest_degree_are_kept_and_budgets_hold_for_many_species() -> None:
    for species in (1, 3, 5):
        basis = Basis(species, 3, 5.0, pairs=8, radial=6, angular=4, triples=300, products=100)
        everything = Basis(species, 3, 5.0, pairs=8, radial=6, angular=4, triples=10**6, products=0)
        degree = [i % 6 + j % 6 + ell for ell, i, j in basis.triples_listed]
        left_out = set(everything.triples_listed) - set(basis.triples_listed)
        assert basis.sizes == (8 * species, min(300, len(everything.triples_listed)), 100)
        assert max(degree) <= min((i % 6 + j % 6 + ell for ell, i, j in left_out), default=99)


TURN = special_ortho_group.rvs(3, random_state=1)
MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.mark.parametrize("operation", [TURN, MIRROR @ TURN], ids=["turned", "mirrored"])
def test_turned_and_mirrored_cells_give_the_same(operation) -> None:
    turned = values(FRACTIONS, cell=CELL @ operation)
    torch.testing.assert_close(turned, values(FRACTIONS), rtol=0, atol=1e-9)


def test_atoms_turned_in_a_fixed_open_cell_give_the_same() -> None:
    cell, middle = 20.0 * np.eye(3), np.full(3, 10.0)
    atoms, points = RNG.normal(size=(4, 3)), RNG.normal(size=(9, 3))
    still, turned = (
        values((a + middle) / 20, cell, points=(p + middle) / 20, periodic=False)
        for a, p in ((atoms, points), (atoms @ MIRROR @ TURN, points @ MIRROR @ TURN))
    )
    assert still.abs().max() > 1
    torch.testing.assert_close(turned, still, rtol=0, atol=1e-9)


def test_listing_translation_and_images_do_not_matter() -> None:
    still = values(FRACTIONS)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(values(FRACTIONS[order], species=[SPECIES[i] for i in order]), still, rtol=0, atol=1e-9)
    torch.testing.assert_close(values(FRACTIONS + np.array([2, -1, 0])), still, rtol=0, atol=1e-9)
    shift = np.array([0.13, 0.4, -0.21])
    torch.testing.assert_close(values(FRACTIONS + shift, points=(POINTS + shift) % 1), still, rtol=0, atol=1e-9)


def test_another_cell_of_the_same_lattice_gives_the_same() -> None:
    other = np.array([[1, 0, 0], [1, 1, 0], [-1, 2, 1]])
    inverse = np.linalg.inv(other)
    same = values(FRACTIONS @ inverse, cell=other @ CELL, points=(POINTS @ inverse) % 1)
    torch.testing.assert_close(same, values(FRACTIONS), rtol=0, atol=1e-9)


def test_a_doubled_cell_gives_the_same() -> None:
    doubled = CELL * [[2], [1], [1]]
    half = FRACTIONS * [0.5, 1, 1]
    fractions = np.concatenate([half, half + np.array([0.5, 0, 0])])
    same = values(fractions, cell=doubled, species=SPECIES * 2, points=POINTS * [0.5, 1, 1])
    torch.testing.assert_close(same, values(FRACTIONS), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dimension", [1, 2])
def test_fewer_dimensions_against_a_sum_of_neighbours(dimension) -> None:
    basis = Basis(species=3, dimension=dimension, cutoff=4.2, pairs=4, radial=2, angular=3, triples=40, products=0)
    cell = CELL[:dimension, :dimension]
    rows = values(FRACTIONS, basis=basis).numpy()
    kinds = [["H", "C", "O"].index(s) for s in SPECIES]
    for point, row in zip(POINTS[:, :dimension], rows, strict=True):
        around = list(neighbours(point, cell, FRACTIONS, basis.cutoff))
        kind = np.array([kinds[atom] for atom, _ in around])
        vectors = np.array([vector for _, vector in around])
        f = radial(torch.from_numpy(np.linalg.norm(vectors, axis=1)), 4, basis.cutoff).numpy()
        soft = np.sqrt((vectors**2).sum(1) / ((vectors**2).sum(1) + CORE**2))
        units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        angles = np.arccos(np.clip(units @ units.T, -1, 1))
        expected = list(np.concatenate([f[kind == s].sum(0) for s in range(3)]))
        for ell, i, j in basis.triples_listed:
            terms = np.outer(f[:, i % 2] * soft**ell, f[:, j % 2] * soft**ell) * np.cos(ell * angles)
            expected.append(terms[np.ix_(kind == i // 2, kind == j // 2)].sum())
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_turned_in_two_dimensions_gives_the_same() -> None:
    basis = Basis(species=3, dimension=2, cutoff=4.2, pairs=4, radial=3, angular=5, triples=60, products=20)
    angle = 0.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])  # and a mirror
    cell = np.array([[3.1, 0.2], [0.9, 2.7]])
    both = [values(FRACTIONS, cell=c, basis=basis) for c in (cell, cell @ turn)]
    assert both[0].abs().max() > 1
    torch.testing.assert_close(both[1], both[0], rtol=0, atol=1e-9)


def test_an_unknown_species_is_refused() -> None:
    with pytest.raises(DataError, match="no channel for N"):
        values(FRACTIONS, species=["O", "H", "N", "C"])
