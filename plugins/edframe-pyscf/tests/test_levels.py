"""Levels of theory: what they claim against what PySCF has."""

import math
import warnings
from typing import get_args

import numpy as np
import pytest
from edframe_pyscf import scf
from edframe_pyscf.levels import LEVELS, PBE_DZVP, PBE_TZV2P_200, PSEUDOPOTENTIAL
from edframe_pyscf.orbitals import density_on_grid
from edframe_pyscf.plugin import LevelName
from pyscf.data.elements import ELEMENTS
from pyscf.data.nist import BOHR
from pyscf.pbc.gto import basis, pseudo

from edframe.errors import DataError
from edframe.grid import Grid


def has(load, name, symbol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to fetch a basis elsewhere
        try:
            return bool(load(name, symbol))
        except Exception:
            return False


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_every_element_of_a_level_has_a_basis_and_a_pseudopotential(level):
    for symbol in level.elements.split():
        assert has(basis.load, level.basis, symbol), symbol
        assert has(pseudo.load, PSEUDOPOTENTIAL, symbol), symbol
    lacking = [symbol for symbol in ELEMENTS[1:87] if symbol not in level.elements.split()]
    assert not has(basis.load, level.basis, lacking[-1])


def test_the_names_of_the_option_are_those_of_the_levels():
    assert get_args(LevelName) == tuple(LEVELS)
    assert all(level.name == name for name, level in LEVELS.items())


@pytest.mark.parametrize(("side", "points"), [(7.2, 90), (5.05, 64), (10.0, 125), (68 * math.pi / 20 * BOHR, 72)])
def test_a_mesh_has_the_cutoff_of_its_level_and_suits_the_fft(side, points):
    """Counted by hand: the smallest product of 2, 3 and 5 whose spacing is at most π / √400 bohr."""
    assert PBE_TZV2P_200.mesh([side]) == [points]
    assert (math.pi * points / (side / BOHR)) ** 2 / 2 >= 200 * (1 - 1e-9)


def test_the_mesh_of_li_o_li_is_the_one_its_labels_were_made_with():
    assert PBE_DZVP.mesh([7.2, 7.2, 7.2]) == [80, 80, 80]


def test_an_element_that_a_level_lacks_is_named_with_its_line_and_the_levels_that_have_it():
    places = ["a.xyz:3", "a.xyz:4", "a.xyz:5"]
    with pytest.raises(DataError, match=r"^a\.xyz:4: the level pbe-dzvp has no basis .* for Br; use pbe-dzvp-molopt$"):
        PBE_DZVP.require(["H", "Br", "U"], places)
    with pytest.raises(DataError, match=r"^a\.xyz:5: .* for U; no level has U: leave the structure out$"):
        PBE_DZVP.require(["H", "H", "U"], places)


def density(species, positions, side, points, mesh=None):
    """``[x, y, z]`` in e/Å³ at the level pbe-dzvp, in a cubic box around ``positions`` (Å)."""
    placed = np.array(positions) + side / 2
    cell = scf.build_cell(species, placed, np.eye(3) * side, PBE_DZVP, mesh=mesh)
    solution = scf.solve(cell, "-".join(species))
    return density_on_grid(cell, solution.density_matrix, Grid.of([side] * 3, points))


def nmae(values, reference):
    """In %."""
    return 100 * np.abs(values - reference).sum() / reference.sum()


@pytest.mark.slow
def test_a_wider_margin_is_nearer_to_a_molecule_alone():
    """Water, which has a dipole; the boxes share the points of the smallest."""
    water = ["O", "H", "H"], [[0, 0, 0.29325], [0, 0.7572, -0.29325], [0, -0.7572, -0.29325]]
    alone = density(*water, 12.0, 80)
    errors = []
    for points in (40, 48, 64):
        side, cut = points * 0.15, (80 - points) // 2
        errors.append(nmae(density(*water, side, points), alone[cut : 80 - cut, cut : 80 - cut, cut : 80 - cut]))
        print(f"H2O, margin {(side - 1.5144) / 2:.1f} Å: NMAE {errors[-1]:.3f} %")
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("species", "length"), [(("H", "F"), 0.92), (("C", "O"), 1.13), (("Na", "H"), 1.89)], ids=str)
def test_the_mesh_of_a_level_is_fine_enough(species, length):
    positions = [[0.02, 0.01, -0.03], [0.02, 0.01, length - 0.03]]
    fine, usual = (density(species, positions, 6.0, 96, mesh) for mesh in ([108] * 3, None))
    print(f"{'-'.join(species)}: NMAE {nmae(usual, fine):.3f} %")
    assert nmae(usual, fine) < 0.05
