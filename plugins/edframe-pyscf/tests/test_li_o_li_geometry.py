"""The positions of the 625 configurations, and which of them are mirror images."""

from collections import defaultdict

import numpy as np
import pytest
from edframe_pyscf import li_o_li_geometry as geometry


def test_625_configurations_with_names_of_their_own():
    pairs = geometry.pairs()
    assert len(pairs) == len(set(pairs)) == len({geometry.sample_id(*pair) for pair in pairs}) == 625


def test_bond_lengths_and_angles_are_those_of_the_patch():
    seen = set()
    for pair in geometry.pairs():
        left, oxygen, right = geometry.positions(*pair)
        np.testing.assert_array_equal(oxygen, geometry.CELL_LENGTH / 2)
        for index, bond in zip(pair, (left - oxygen, right - oxygen), strict=True):
            seen.add(
                (
                    index,
                    round(float(np.linalg.norm(bond)), 9),
                    round(float(np.degrees(np.arcsin(bond[1] / np.linalg.norm(bond)))), 9),
                )
            )
            assert bond[2] == 0
        assert left[0] < oxygen[0] < right[0]
    assert len(seen) == 25
    assert {length for _, length, _ in seen} == set(geometry.BOND_LENGTHS)
    assert {angle for _, _, angle in seen} == set(geometry.ANGLES)


def test_mirror_classes_are_the_orbits_of_the_two_mirrors():
    """Oracle: the positions themselves, reflected in x and y about the centre, as sets of points."""
    orbits = defaultdict(set)
    for pair in geometry.pairs():
        relative = geometry.positions(*pair) - geometry.CELL_LENGTH / 2
        images = [tuple(sorted(map(tuple, (relative * (x, y, 1.0)).round(6) + 0.0))) for x in (1, -1) for y in (1, -1)]
        orbits[min(images)].add(geometry.mirror_class(*pair))
    assert len(orbits) == 175
    assert all(len(classes) == 1 for classes in orbits.values())
    assert len(set.union(*orbits.values())) == 175


@pytest.mark.parametrize("pair", [(0, 0), (24, 24), (0, 24), (12, 12)])
def test_atoms_keep_their_distance_from_periodic_images(pair):
    positions = geometry.positions(*pair)
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T * geometry.CELL_LENGTH
    shifts = shifts[(shifts != 0).any(axis=1)]
    away = positions[:, None, None] - positions[None, :, None] + shifts
    assert np.linalg.norm(away, axis=-1).min() > 3.4
