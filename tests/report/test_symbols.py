"""Symbols of atoms in a picture: none over another."""

from __future__ import annotations

import numpy as np

from edframe.report.symbols import labelled


def test_atoms_that_stack_share_a_symbol_that_of_the_nearest_to_the_plane_first():
    places = np.array([[0, 0], [0.05, 0], [2, 0], [0, 0.04]], float)
    heights = np.array([0.5, 0.1, 0, 0.9])
    labels = labelled(["C", "O", "H", "O"], places, heights, 0.3)
    assert [text for _, text in labels] == ["H", "O, C"]
    np.testing.assert_array_equal(labels[1][0], places[1])


def test_too_many_have_none():
    places = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
    assert labelled(["H"] * 25, places, np.zeros(25), 0.3) == []
    assert len(labelled(["H"] * 25, places, np.zeros(25), 1.2)) < 25
