"""Environments: what must not change them, what they are in closed form, and which structures are far."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.stats import ortho_group

from edframe.errors import DataError
from edframe.predict import novelty
from edframe.predict.novelty import CUTOFF, WIDTH, TrainingSet, describe, describe_training_set
from edframe.runs.directory import Run

SPECIES = ("Li", "O")


@pytest.fixture
def crystal():
    """Six atoms in a triclinic cell whose neighbours reach over several images."""
    cell = Lattice.from_parameters(4.1, 4.9, 5.6, 78, 95, 106)
    return Structure(cell, ["Li", "O", "Li", "Li", "O", "Li"], np.random.default_rng(1).random((6, 3)))


def in_box(species, positions):
    """Atoms at Cartesian positions in a box so large that no image is a neighbour."""
    return Structure(Lattice.cubic(20), species, np.asarray(positions) + 10, coords_are_cartesian=True)


def water(r, angle, species=("O", "Li", "Li")):
    """Two bonds of r Å at an angle, the centre first."""
    return in_box(species, [[0, 0, 0], [r, 0, 0], [r * np.cos(angle), r * np.sin(angle), 0]])


def test_rotation_reflection_and_translation_change_nothing(crystal):
    turn = ortho_group.rvs(3, random_state=2)
    shifted = (crystal.frac_coords + np.array([0.3, -1.6, 2.2])) % 1
    turned = Structure(crystal.lattice.matrix @ turn, crystal.species, shifted)
    np.testing.assert_allclose(describe(turned, SPECIES), describe(crystal, SPECIES), atol=1e-9)


def test_order_of_the_atoms_orders_the_rows(crystal):
    order = [4, 2, 0, 5, 1, 3]
    np.testing.assert_allclose(
        describe(Structure.from_sites([crystal[i] for i in order]), SPECIES),
        describe(crystal, SPECIES)[order],
        atol=1e-9,
    )


def test_a_repeated_cell_has_the_same_environments(crystal):
    repeated = crystal.copy()
    repeated.make_supercell([[2, 0, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(describe(repeated, SPECIES)[::2], describe(crystal, SPECIES), atol=1e-9)
    np.testing.assert_allclose(describe(repeated, SPECIES)[1::2], describe(crystal, SPECIES), atol=1e-9)


@pytest.mark.parametrize("r", [0.9, 2.2, 4.7])
def test_two_equal_bonds_in_closed_form(r):
    """|Σ u⊗k|² over two neighbours at an angle θ is 2 + 2 cosᵏθ, and only Li is seen."""
    angle = 1.1
    gaussians = [np.exp(-((r - c) ** 2) / (2 * WIDTH**2)) for c in np.arange(WIDTH, CUTOFF, WIDTH)]
    weights = np.array([*gaussians, 1]) * (1 + np.cos(np.pi * r / CUTOFF)) / 2
    norms = [np.sqrt(2 + 2 * np.cos(angle) ** k) for k in range(4)]
    expected = [of * norm * weight for norm in norms for weight in weights for of in (1, 0, 1)]  # Li, O, both
    np.testing.assert_allclose(describe(water(r, angle), SPECIES)[0], expected, atol=1e-12)


def test_an_atom_alone_has_no_surroundings():
    assert np.array_equal(describe(in_box(["Li"], [[0, 0, 0]]), SPECIES), np.zeros((1, 120)))


@pytest.mark.parametrize("r", [1.5, CUTOFF])
def test_features_move_little_when_an_atom_does(r):
    """Also where it leaves the sphere. The steepest of the radial functions has slope 1.3 per Å."""
    steps = [describe(water(r + shift, 2.0), SPECIES)[0] for shift in (-1e-4, 1e-4)]
    assert 0 <= np.linalg.norm(steps[1] - steps[0]) < 2e-4 * 10


def test_a_species_that_was_not_trained_on_is_named(crystal):
    crystal[2] = "Fe"
    with pytest.raises(DataError, match=r"^atom 3 \(Fe\) is of a species that was not trained on; known: Li, O$"):
        describe(crystal, SPECIES)


@pytest.fixture(scope="module")
def bent():
    """Described by bonds of 1.5 to 1.9 Å at angles of 1.8 to 2.2, each twice, as mirror images of one group."""
    drawn = np.random.default_rng(3).random((60, 2)) * 0.4 + [1.5, 1.8]
    structures = [water(r, side * angle) for r, angle in drawn for side in (1, -1)]
    return TrainingSet.of(structures, np.repeat(np.arange(60), 2), SPECIES), structures


def test_training_structures_are_near(bent):
    known, structures = bent
    assert max(known.judge(structure).distance for structure in structures) < 1e-3


def test_a_structure_between_training_structures_is_near(bent):
    assert not bent[0].judge(water(1.7, 2.0)).far


@pytest.mark.parametrize(
    ("structure", "worst"),
    [
        (water(2.6, 2.0), (0, 1, 2)),
        (water(1.1, 2.0), (0, 1, 2)),
        (water(1.7, 1.0), (0, 1, 2)),
        (in_box(["O", "Li", "Li", "O"], [[0, 0, 0], [1.7, 0, 0], [-0.7, 1.5, 0], [2.9, 0, 0]]), (1, 3)),
    ],
    ids=["stretched", "pressed", "bent", "crowded"],
)
def test_a_structure_outside_is_far_and_its_worst_atom_is_named(bent, structure, worst):
    novelty = bent[0].judge(structure)
    assert novelty.far
    assert novelty.atom in worst
    assert structure[novelty.atom].specie.symbol == novelty.species
    assert f"atom {novelty.atom + 1} ({novelty.species})" in str(novelty)


def test_distance_is_in_units_of_other_groups():
    """Three bond lengths, each a group of two copies: the unit is the largest distance to another group."""
    structures = [water(r, np.pi) for r in (1.5, 1.5, 1.6, 1.6, 1.9, 1.9)]
    known = TrainingSet.of(structures, [0, 0, 1, 1, 2, 2], SPECIES)
    centre = [describe(structure, SPECIES)[0] for structure in structures[::2]]
    gaps = [np.linalg.norm(centre[a] - centre[b]) for a, b in ((0, 1), (1, 2))]
    assert gaps[0] < gaps[1]
    assert known.units["O"] == pytest.approx(gaps[1])


def test_one_group_alone_judges_nothing():
    known = TrainingSet.of([water(1.5, 2.0), water(1.6, 2.0)], [0, 0], SPECIES)
    assert known.judge(water(5, 2.0)) is None


def test_of_many_environments_the_unusual_ones_are_kept(monkeypatch):
    monkeypatch.setattr("edframe.predict.novelty.KEPT", 5)
    lengths = [1.5 + 1e-3 * i for i in range(40)] + [2.6]
    known = TrainingSet.of([water(r, 2.0) for r in lengths], range(41), SPECIES)
    assert known.environments["O"].shape == (5, 120)
    assert known.judge(water(2.6, 2.0)).distance < 1e-3


def test_a_run_keeps_the_description(bent, tmp_path):
    run = Run.create(tmp_path, "kept", "seed: 0\n")
    assert TrainingSet.load(run) is None
    bent[0].save(run)
    loaded = TrainingSet.load(run)
    assert loaded.judge(water(2.6, 1.2)) == bent[0].judge(water(2.6, 1.2))


def test_only_training_structures_are_described(small, tmp_path):
    run, dataset = Run.create(tmp_path, "kept", "seed: 0\n"), small.dataset(6)
    describe_training_set(dataset, (0, 2, 5), run)
    assert sorted(dataset.read) == [0, 2, 5]
    tensors, header = run.load_tensors("environments.safetensors")
    assert (list(tensors), json.loads(header["neighbours"])) == (["He"], ["He"])
    assert len(tensors["He"]) == 3


def test_atoms_described_a_few_at_a_time_are_what_they_are_together(monkeypatch):
    atoms = np.random.default_rng(0).random((11, 3))
    structure = Structure(Lattice.from_parameters(5, 6, 7, 80, 95, 100), ["Li", "O"] * 5 + ["O"], atoms)
    together = describe(structure, ("Li", "O"))
    judged = TrainingSet(("Li", "O"), {"O": np.zeros((1, together.shape[1]), np.float32)}, {"O": 1.0}).judge(structure)
    monkeypatch.setattr(novelty, "ATOMS", 3)
    np.testing.assert_allclose(describe(structure, ("Li", "O")), together, rtol=1e-12, atol=1e-12)
    oxygen = np.array([site.specie.symbol == "O" for site in structure])
    sizes = np.where(oxygen, np.linalg.norm(together, axis=1), 0)
    again = TrainingSet(("Li", "O"), {"O": np.zeros((1, together.shape[1]), np.float32)}, {"O": 1.0}).judge(structure)
    assert judged.atom == again.atom == sizes.argmax()
    assert again.distance == pytest.approx(sizes.max(), rel=1e-12)
