"""Samples that are the same share a group: made so by moves that change nothing, and told apart by moves that do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.blocks import blocks
from edframe.data.copies import SAME, Identity, copies, merged
from edframe.grid import Grid
from edframe.sample import Sample

CELL = np.array([[4.0, 0.1, 0.0], [1.2, 5.0, 0.0], [-0.4, 0.3, 6.0]])
SPECIES = ["Li", "O", "Li", "Li", "O"]
FRACTIONS = np.random.default_rng(0).random((5, 3))


def identity(fractions=FRACTIONS, species=SPECIES, cell=CELL):
    structure = Structure(Lattice(cell), species, fractions)
    return Identity(np.array(cell), np.array(structure.atomic_numbers), structure.frac_coords)


@settings(deadline=None)
@given(
    order=st.permutations(range(5)),
    images=st.lists(st.integers(-3, 3), min_size=15, max_size=15),
    noise=st.floats(0, 0.4),
)
def test_images_order_and_last_digits_change_nothing(order, images, noise):
    jitter = noise * SAME / 25 * np.sin(np.arange(15.0)).reshape(5, 3)
    moved = FRACTIONS + np.reshape(images, (5, 3)) + jitter
    again = identity(moved[list(order)], [SPECIES[k] for k in order])
    assert copies([identity(), again]) == [0, 0]


@settings(deadline=None)
@given(atom=st.integers(0, 4), axis=st.integers(0, 2), far=st.floats(0.01, 0.5))
def test_another_place_is_another_structure(atom, axis, far):
    moved = FRACTIONS.copy()
    moved[atom, axis] += far / np.linalg.norm(CELL[axis])
    assert copies([identity(), identity(moved)]) == [0, 1]


def test_species_cell_and_number_of_atoms_tell_apart():
    exchanged = ["O", "Li", "Li", "Li", "O"]
    every = [identity(), identity(species=exchanged), identity(cell=CELL * 1.01), identity(FRACTIONS[:4], SPECIES[:4])]
    assert copies(every) == [0, 1, 2, 3]


def test_atoms_on_a_face_are_the_same_on_both_sides():
    below, above = FRACTIONS.copy(), FRACTIONS.copy()
    below[0, 0], above[0, 0] = -1e-7, 1 - 1e-7
    assert copies([identity(below), identity(above)]) == [0, 0]


def sample(seed, shape=(6, 5, 8), species="O"):
    grid = Grid.of(CELL, shape)
    density = np.random.default_rng(seed).random((1, *shape)) ** 3
    density *= 6 / (density.sum() * grid.voxel_volume)
    structure = Structure(Lattice(CELL), [species], np.random.default_rng(seed + 100).random((1, 3)))
    return Sample(f"{species}-{seed}", structure, grid, density.astype(np.float32), 6.0)


def test_one_density_under_two_structures_is_found_and_others_are_not():
    one, other = sample(1), sample(2)
    digits = np.array([float(f"{x:.5E}") for x in one.density.ravel()]).reshape(one.density.shape)  # as in a cube
    moved = Sample("moved", other.structure, one.grid, digits, 6.0)
    turned = Sample("turned", sample(3).structure, one.grid, one.density[:, ::-1], 6.0)
    every = [Identity.of(each) for each in (one, sample(4), moved, turned)]
    assert copies(every) == [0, 1, 0, 2]


def test_a_label_scaled_to_a_whole_number_is_the_same_and_twice_the_electrons_are_not():
    one = sample(1)
    scaled = Sample("scaled", sample(2).structure, one.grid, one.density * np.float32(1.002), 6.012)
    twice = Sample("twice", sample(3).structure, one.grid, 2 * one.density, 12.0)
    assert copies([Identity.of(each) for each in (one, scaled, twice)]) == [0, 0, 1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_merging_is_the_finest_partition_that_both_refine(pairs):
    groups, others = [a for a, _ in pairs], [b for _, b in pairs]
    labels = merged(groups, others)
    reached = np.array([[a == c or b == d for c, d in pairs] for a, b in pairs], bool).reshape(len(pairs), len(pairs))
    for _ in pairs:
        reached = reached @ reached
    for i, j in itertools.product(range(len(pairs)), repeat=2):
        assert (labels[i] == labels[j]) == bool(reached[i, j])


@pytest.mark.parametrize(
    ("together", "groups"),
    [
        (None, [None] * 6),
        ("folder", [0, 0, 0, 1, 1, 0]),
        (2, [0, 1, 0, 2, 2, 1]),
    ],
)
def test_blocks_of_time_follow_the_numbers_in_names(together, groups):
    places = ["a/run-1", "a/run-10", "a/run-2", "b/run-1", "b/run-2", "a/run-9"]
    numbered = blocks(places, together)
    assert merged([i if g is None else g for i, g in enumerate(numbered)], range(6)) == merged(
        [i if g is None else g for i, g in enumerate(groups)], range(6)
    )


def test_among_thousands_of_frames_the_one_copy_is_found():
    rng = np.random.default_rng(0)
    frames = [identity(FRACTIONS + rng.normal(scale=0.01, size=(5, 3))) for _ in range(3_000)]
    labels = copies([*frames, frames[17]])
    assert labels[-1] == 17
    assert len(set(labels)) == 3_000
