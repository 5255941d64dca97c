"""How many electrons atoms bring: counted by hand from the shells of the elements."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from pymatgen.core import Composition, Lattice, Structure

from edframe.data.valence import Valence, cores
from edframe.errors import DataError


def structure(formula):
    symbols = [symbol for symbol, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    return Structure(Lattice.cubic(20), symbols, [[i / len(symbols), 0, 0] for i in range(len(symbols))])


def samples(*given):
    """Of (formula, electrons), or (formula, electrons, what its source says of the valence)."""
    return [
        SimpleNamespace(structure=structure(formula), electrons=electrons, source={"valence": v[0]} if v else {})
        for formula, electrons, *v in given
    ]


@pytest.mark.parametrize(
    ("species", "given", "expected"),
    [
        (("Li", "F"), [("LiF", 8)], (1, 7)),  # 3 + 7 would be 10, and there are no 5 electrons of F
        (("Li", "F"), [("Li2F2", 20)], (3, 7)),
        (("Li", "O"), [("Li2O", 12)], (3, 6)),
        (("Li", "O"), [("Li2O", 8)], (1, 6)),
        (("H", "C", "O"), [("C2H6O", 20)], (1, 4, 6)),
        (("O", "Ti"), [("TiO2", 24)], (6, 12)),  # Ti_sv of VASP
        (("O", "Ti"), [("TiO2", 22)], (6, 10)),  # Ti_pv
        (("Ga", "As"), [("GaAs", 18)], (13, 5)),  # Ga_d
        (("H", "O"), [("H2O", 10)], (1, 8)),  # all electrons
        (("H", "O"), [("H2O", 8), ("H2O", 9), ("H2O", 8)], (1, 6)),  # one of three is charged
    ],
)
def test_closed_shells_tell_the_electrons_where_one_composition_cannot(species, given, expected):
    valence = Valence.of(samples(*given), species)
    assert (valence.electrons, valence.settled) == (expected, True)


def test_a_potcar_has_the_word():
    told = {"Na": 7.0, "Cl": 7.0}
    assert Valence.of(samples(("NaCl", 14, told)), ("Na", "Cl")).electrons == (7, 7)
    # Of two that disagree none is believed; what both integrate to is.
    both = samples(("NaCl", 14, told), ("NaCl", 14, {"Na": 1.0, "Cl": 13.0}))
    assert Valence.of(both, ("Na", "Cl")).count(structure("Na2Cl2")) == pytest.approx(28)


def test_compositions_tell_what_no_shell_explains():
    valence = Valence.of(samples(("LiH", 2.5), ("Li2H", 4.5)), ("H", "Li"))
    assert valence.settled
    assert valence.electrons == pytest.approx((0.5, 2.0))


def test_what_one_composition_cannot_tell_is_refused_for_others():
    valence = Valence.of(samples(("LiH", 2.5), ("Li2H2", 5)), ("H", "Li"))
    assert not valence.settled
    assert valence.count(structure("Li4H4")) == pytest.approx(10)
    with pytest.raises(DataError, match=r"Li2 H1: the training data do not determine how many electrons H and Li"):
        valence.count(structure("Li2H"))


@pytest.mark.parametrize(
    "given", [[("LiH", 1), ("LiH", 3), ("Li2H", 4.5), ("LiH2", 9)], [("LiH", 2.5), ("LiH", 3.5), ("LiH", 4.7)]]
)
def test_charged_samples_without_neutral_ones_tell_nothing(given):
    valence = Valence.of(samples(*given), ("H", "Li"))
    with pytest.raises(DataError, match="give --electrons"):
        valence.count(structure("LiH"))


def test_a_species_without_samples_is_refused():
    with pytest.raises(DataError, match="say nothing about the electrons of Na"):
        Valence.of(samples(("LiF", 8)), ("Li", "F")).count(structure("NaF"))


def test_it_survives_a_checkpoint_header():
    valence = Valence.of(samples(("LiH", 2.5)), ("H", "Li"))
    assert Valence.load(json.loads(json.dumps(asdict(valence)))) == valence


@pytest.mark.parametrize(
    ("number", "valence"), [(1, {1}), (3, {1, 3}), (6, {4}), (9, {7}), (12, {2, 8, 10}), (22, {4, 10, 12})]
)
def test_valence_electrons_are_those_that_pseudopotentials_have(number, valence):
    """H, Li (1, _sv 3), C, F, Mg (2, _pv 8, _sv 10) and Ti (4, _pv 10, _sv 12) of VASP's list."""
    assert {number - core for core in cores(number)} == valence
