"""A right dataset passes every check, and for each check a wrong dataset fails it."""

from __future__ import annotations

import itertools
from types import MappingProxyType

import numpy as np
import pytest

from edframe.grid import Grid
from edframe.interfaces import Contents, Dataset
from edframe.sample import Sample
from edframe.testing import checks, datasets, examples

CHECKS = {check.__name__: check for check in datasets.CHECKS}


class Right(Dataset):
    """Li–O–Li and LiO with made-up densities."""

    ids = ("li-o-li", "li-o")
    contents = Contents(("Li", "O"), 3)

    def __init__(self, config):
        self.grid = examples.box((6, 6, 6), spacing=1.0)

    def __getitem__(self, index):
        if index >= len(self.ids):
            raise IndexError(index)
        structure = examples.molecules(self.structure_grid())[index % 2]
        return self.sample(index, structure, examples.densities(self.grid, 2)[index % 2].float().numpy())

    def structure_grid(self):
        return self.grid

    def sample(self, index, structure, density):
        return Sample(self.ids[index], structure, self.grid, density, 4.0 + index % 2)

    def fingerprint(self):
        return "made up"


class SameIds(Right):
    ids = ("li-o", "li-o")


class NumberedIds(Right):
    ids = (0, 1)


class Empty(Right):
    ids = ()


class Endless(Right):
    def __getitem__(self, index):
        return super().__getitem__(index % 2)


class Raw(Right):
    def sample(self, index, structure, density):
        return structure, density


class WrongShape(Right):
    def sample(self, index, structure, density):
        return super().sample(index, structure, density[:, :3])


class OtherId(Right):
    def sample(self, index, structure, density):
        return super().sample(1 - index, structure, density * (5 - index) / (4 + index))


class Double(Right):
    def sample(self, index, structure, density):
        return super().sample(index, structure, density.astype(np.float64))


class Unnormalised(Right):
    def sample(self, index, structure, density):
        return super().sample(index, structure, density * np.float32(1.001))


class OtherCell(Right):
    def structure_grid(self):
        return Grid.of([6.0, 6.0, 6.1], 6)


class MoreSpecies(Right):
    contents = Contents(("Li", "O", "S"), 3)


class MoreAtoms(Right):
    contents = Contents(("Li", "O"), 4)


class MoreSpins(Right):
    contents = Contents(("Li", "O"), 3, spins=2)


class Disordered(Right):
    contents = Contents(("O", "Li"), 3)


class Changing(Right):
    scale = itertools.count(1)

    def sample(self, index, structure, density):
        return super().sample(index, structure, density * np.float32(1 + 1e-6 * next(self.scale)))


class Timed(Right):
    time = itertools.count()

    def fingerprint(self):
        return f"at {next(self.time)}"


class Unprinted(Right):
    def fingerprint(self):
        return None


class TwoGrids(Right):
    """The second sample on a finer grid, and no word of it."""

    def sample(self, index, structure, density):
        fine = np.repeat(density, 2, axis=1) if index else density
        grid = Grid.of(self.grid.vectors, fine.shape[1:])
        return Sample(self.ids[index], structure, grid, fine, 4.0 + index)


class Unlabelled(Right):
    buckets = (0,)


class EmptyHoldout(Right):
    holdouts = MappingProxyType({"large": []})


class RepeatedHoldout(Right):
    holdouts = MappingProxyType({"large": [1, 1]})


class AbsentHoldout(Right):
    holdouts = MappingProxyType({"small": [0], "large": [2]})


class NumberedHoldout(Right):
    holdouts = MappingProxyType({1: [0]})


class Many(Right):
    """More samples than are read, the last of them too large: contents tell more than the others show."""

    ids = tuple(f"sample {i}" for i in range(2 * datasets.MANY))
    contents = Contents(("Li", "O", "S"), 7)
    holdouts = MappingProxyType({"first": range(3)})


WRONG = [
    ("ids_are_unique_strings", SameIds, "must be unique"),
    ("ids_are_unique_strings", NumberedIds, "must be strings"),
    ("length_counts_the_ids", Empty, "of 0 ids has length 0"),
    ("index_past_the_end_raises", Endless, "IndexError"),
    ("samples_are_valid", Raw, "must deliver Samples, not tuple"),
    ("samples_are_valid", WrongShape, "on a grid of shape"),
    ("samples_carry_their_ids", OtherId, "must have the id 'li-o-li', not 'li-o'"),
    ("densities_are_single_precision", Double, "must be float32, not float64"),
    ("densities_hold_their_electrons", Unnormalised, "must integrate to its 4 electrons"),
    ("cells_agree", OtherCell, "must be the lattice"),
    ("buckets_have_one_grid", TwoGrids, "li-o-li and li-o share a label"),
    ("buckets_have_one_grid", Unlabelled, "2 samples have 1 labels"),
    ("holdouts_are_samples", EmptyHoldout, "'large' must list samples"),
    ("holdouts_are_samples", RepeatedHoldout, "'large' must list samples"),
    ("holdouts_are_samples", AbsentHoldout, "'large' must list samples by their indices, 0 to 1"),
    ("holdouts_are_samples", NumberedHoldout, "must be strings"),
    ("contents_agree_with_samples", MoreSpecies, "contents.species must be"),
    ("contents_agree_with_samples", MoreAtoms, "contents.max_atoms must be"),
    ("contents_agree_with_samples", MoreSpins, "spins 2 and dimension 3"),
    ("species_are_in_order", Disordered, "order of atomic number"),
    ("reading_twice_gives_the_same", Changing, "the same sample"),
    ("fingerprint_is_stable", Timed, "on the data only"),
    ("fingerprint_is_stable", Unprinted, "must be a string"),
]


@pytest.mark.parametrize("dataset", [Right, Many])
@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_right_dataset_passes(subject_of, check, dataset):
    check(subject_of("dataset", dataset))


@pytest.mark.parametrize(("name", "dataset", "message"), WRONG)
def test_wrong_dataset_fails(subject_of, name, dataset, message):
    with pytest.raises(AssertionError, match=message):
        CHECKS[name](subject_of("dataset", dataset))


def test_every_check_has_a_wrong_dataset():
    assert {name for name, _, _ in WRONG} == set(CHECKS)
