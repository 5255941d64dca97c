"""The featurizer ``gaussian`` against the formula, and its invariances."""

import numpy as np
import pytest
import torch
from edframe_gaussian.gaussian import GaussianFeaturizer
from edframe_gaussian.plugin import GaussianConfig
from pymatgen.core import Lattice, Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents

CELL = [[9.0, 0.5, 0.0], [-1.0, 8.5, 0.4], [0.7, 0.3, 9.5]]
GRID = Grid.of(CELL, (18, 17, 19))
CONTENTS = Contents(species=("Li", "O"), max_atoms=3)


def molecule(species=("Li", "O", "Li"), move=(0.0, 0.0, 0.0), lattice=CELL):
    positions = np.array([[2.6, 4.1, 4.4], [4.1, 4.3, 4.6], [5.6, 4.8, 4.2]])[: len(species)] + np.array(move)
    return Structure(Lattice(lattice), species, positions, coords_are_cartesian=True)


def features(structures, grid=GRID, contents=CONTENTS, **options):
    return GaussianFeaturizer(GaussianConfig(**options), contents)(structures, grid, "cpu")


def formula(position, number, width):
    """Z exp(−r²/2σ²) of one atom in the middle of a cell in which its images do not matter."""
    away = GRID.coordinates() - position
    return number * np.exp(-0.5 * (away**2).sum(-1) / width**2)


def test_per_atom_is_the_formula():
    structure = molecule()
    channels = features([structure], channels="per_atom", widths=(0.5, 0.3)).channels
    assert channels.shape == (1, 6, *GRID.shape)
    for place, number in enumerate((3, 8, 3)):
        for k, width in enumerate((0.5, 0.3)):
            expected = formula(structure.cart_coords[place], number, width)
            np.testing.assert_allclose(channels[0, 2 * place + k], expected, atol=1e-5)


def test_per_species_is_the_sum_over_atoms():
    structure = molecule()
    alone = features([structure], channels="per_atom", widths=(0.4,)).channels[0]
    together = features([structure], channels="per_species", widths=(0.4,)).channels[0]
    torch.testing.assert_close(together, torch.stack([alone[0] + alone[2], alone[1]]))


def test_names_follow_the_channels():
    featurizer = GaussianFeaturizer(GaussianConfig(widths=(0.25, 0.5)), CONTENTS)
    assert featurizer.channels == ["Li gaussian 0.25 Å", "Li gaussian 0.5 Å", "O gaussian 0.25 Å", "O gaussian 0.5 Å"]
    featurizer = GaussianFeaturizer(GaussianConfig(widths=(0.5,), channels="per_atom"), CONTENTS)
    assert featurizer.channels == ["atom 1 gaussian 0.5 Å", "atom 2 gaussian 0.5 Å", "atom 3 gaussian 0.5 Å"]


def test_a_smaller_structure_leaves_channels_empty():
    channels = features([molecule(("Li", "O")), molecule()], channels="per_atom", widths=(0.5,)).channels
    assert not channels[0, 2].any()
    assert channels[1, 2].any()


def test_only_per_atom_depends_on_the_order():
    swapped = Structure.from_sites(molecule()[::-1])
    for channels, ordered in (("per_species", False), ("per_atom", True)):
        config = GaussianConfig(channels=channels)
        featurizer = GaussianFeaturizer(config, CONTENTS)
        assert featurizer.ordered is ordered
        first, second = (featurizer([s], GRID, "cpu").channels for s in (molecule(), swapped))
        assert torch.allclose(first, second, atol=1e-5) is not ordered


def test_a_flat_grid_sees_the_projected_atoms():
    contents = Contents(species=("O",), max_atoms=1, dimension=2)
    grid = Grid.of([5.0, 6.0], (20, 24))
    structure = Structure(Lattice.orthorhombic(5, 6, 7), ["O"], [[0.5, 0.25, 0.9]])
    channel = features([structure], grid, contents, widths=(0.5,)).channels[0, 0]
    assert channel.shape == grid.shape
    assert channel.argmax() == np.ravel_multi_index((10, 6), grid.shape)
    assert float(channel.sum()) * grid.voxel_volume == pytest.approx(8 * 2 * np.pi * 0.5**2, rel=1e-5)


def test_an_unknown_species_is_named():
    with pytest.raises(DataError, match=r"Li2 F1: no channel for F; the channels are for Li, O"):
        features([molecule(), molecule(("Li", "F", "Li"))])


def test_too_many_atoms_are_counted():
    with pytest.raises(DataError, match=r"Li2 O1: 3 atoms, .* at most 2.*per_species"):
        features([molecule()], contents=Contents(("Li", "O"), max_atoms=2), channels="per_atom")


def test_another_lattice_is_refused():
    with pytest.raises(DataError, match=r"8\.000 × 8\.000 × 8\.000 Å\) is not the cell of the grid"):
        features([molecule(lattice=np.eye(3) * 8)])


def test_a_rotated_lattice_is_the_same_lattice():
    turn = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    structure = molecule()
    turned = Structure(Lattice(np.array(CELL) @ turn), structure.species, structure.frac_coords)
    torch.testing.assert_close(features([turned]).channels, features([structure]).channels)


def test_a_partially_occupied_site_is_refused():
    disordered = Structure(Lattice(CELL), [{"Li": 0.5}], [[0, 0, 0]])
    with pytest.raises(DataError, match="partially occupied"):
        features([disordered])


def test_oxidation_states_do_not_matter():
    charged = molecule().add_oxidation_state_by_element({"Li": 1, "O": -2})
    torch.testing.assert_close(features([charged]).channels, features([molecule()]).channels)
