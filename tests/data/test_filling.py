"""What is said of a structure whose charge or number of electrons is unlike those of the training samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edframe.data.filling import Filling
from edframe.data.valence import Valence
from edframe.testing import examples

VALENCE = Valence(("Li", "O"), (3.0, 6.0), settled=True)


def samples(*excess: float):
    """Li–O–Li, 12 electrons when neutral, with so many more."""
    one = examples.labelled(1)[0]
    return [replace(one, electrons=12.0 + more, density=one.density * (12 + more) / 12) for more in excess]


def test_charges_and_parity_are_those_of_the_samples():
    assert Filling.of(samples(0, 0), VALENCE, 1) == Filling(0, 0, odd=False)
    assert Filling.of(samples(0, -1, 2), VALENCE, 1) == Filling(-2, 1, odd=True)


def test_nothing_is_known_where_the_atoms_or_the_spins_are_not():
    assert Filling.of(samples(0), replace(VALENCE, settled=False), 1) is None
    assert Filling.of(samples(0), VALENCE, 2) is None
    assert Filling.load({}) is None


def test_a_header_is_read_as_it_was_written():
    filling = Filling(-1.0, 0.0, odd=True)
    assert Filling.load(filling.header()) == filling


@pytest.mark.parametrize(
    ("filling", "electrons", "said"),
    [
        (Filling(0, 0, False), 12, []),
        (Filling(0, 0, False), 10, ["a charge of +2 e, and the model was trained on neutral structures alone"]),
        (Filling(0, 0, False), 13, ["a charge of -1 e", "an odd number of electrons, 13, an open shell"]),
        (Filling(-1, 1, True), 13, []),
        (Filling(-1, 1, True), 14, ["trained on charges from -1 to +1 alone"]),
    ],
)
def test_what_is_unlike_is_said(filling, electrons, said):
    sentences = filling.doubts("Li2 O1", electrons, 12)
    assert len(sentences) == len(said)
    for sentence, part in zip(sentences, said, strict=True):
        assert part in sentence
