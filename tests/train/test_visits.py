"""What is kept of a sample is what comes back, moved as the sample is, within bounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edframe.data.augmentation import Motions, move, move_back
from edframe.data.loading import Loader
from edframe.grid import Grid
from edframe.train.visits import Visits

FIELD = 4 * 6**3
"""Bytes of a float32 field with one channel."""


@pytest.fixture
def loader(small):
    return Loader(small.dataset(6), small.featurizer(), "cpu")


@pytest.fixture
def memory():
    return Visits("cpu")


def test_nothing_is_recalled_at_first(loader, memory):
    assert memory.visit(loader.batch([0, 1]), 1).recall("potential") is None


def test_visit_knows_its_step(loader, memory):
    assert memory.visit(loader.batch([0]), 17).step == 17


@pytest.mark.parametrize(("before", "after"), [(None, None), (None, 2), (1, None), (1, 2)])
def test_field_kept_in_one_orientation_comes_back_in_another(loader, memory, before, after):
    """The oracle is the density itself, which the augmentation moves: a multiple of it is kept."""

    def at(seed, samples):
        batch = loader.batch(samples)
        return batch if seed is None else loader.augmented(batch, seed)

    first = at(before, [3, 0, 5])
    fields = torch.cat([first.density, -2 * first.density], dim=1).requires_grad_()
    memory.visit(first, 1).keep("potential", fields)
    second = at(after, [5, 3])
    recalled = memory.visit(second, 2).recall("potential")
    assert not recalled.requires_grad
    assert recalled.dtype == torch.float32
    assert torch.equal(recalled, torch.cat([second.density, -2 * second.density], dim=1))
    if (before, after) == (1, 2):
        assert not torch.equal(first.density[2], second.density[0])  # or it would prove nothing


def test_numbers_keep_their_double_precision_and_do_not_move(loader, memory):
    values = torch.tensor([0.1, 1 / 3], dtype=torch.float64)
    memory.visit(loader.augmented(loader.batch([0, 1]), 1), 1).keep("blur", values)
    recalled = memory.visit(loader.augmented(loader.batch([1, 0]), 2), 2).recall("blur")
    assert recalled.tolist() == [1 / 3, 0.1]


def test_sample_without_an_entry_is_nan(loader, memory):
    batch = loader.batch([0, 1])
    memory.visit(batch, 1).keep("potential", batch.density)
    memory.visit(batch, 1).keep("blur", torch.ones(2))
    both = loader.batch([4, 1])
    recalled = memory.visit(both, 2).recall("potential")
    assert recalled[0].isnan().all()
    assert torch.equal(recalled[1], both.density[1])
    assert memory.visit(both, 2).recall("blur").isnan().tolist() == [True, False]
    assert memory.visit(loader.batch([2, 3]), 2).recall("potential") is None


def test_names_are_apart(loader, memory):
    visit = memory.visit(loader.batch([0]), 1)
    visit.keep("one", torch.tensor([1.0]))
    visit.keep("two", torch.tensor([2.0]))
    assert (visit.recall("one").item(), visit.recall("two").item()) == (1, 2)


def test_the_latest_value_counts_and_is_a_copy(loader, memory):
    visit = memory.visit(loader.batch([0]), 1)
    for value in (1.0, 2.0):
        given_value = torch.tensor([value])
        visit.keep("blur", given_value)
        given_value.zero_()
    visit.recall("blur").zero_()
    assert visit.recall("blur").item() == 2


def test_full_memory_renews_what_it_has_and_takes_nothing_more(loader):
    memory = Visits("cpu", bound=2 * FIELD + FIELD // 2)
    for index in range(4):
        batch = loader.batch([index])
        memory.visit(batch, 1).keep("potential", batch.density)
    assert set(memory.state()) == {"potential/atom-0", "potential/atom-1"}
    for index in (1, 3):
        batch = loader.batch([index])
        memory.visit(batch, 2).keep("potential", 2 * batch.density)
    assert set(memory.state()) == {"potential/atom-0", "potential/atom-1"}
    batch = loader.batch([1])
    assert torch.equal(memory.visit(batch, 3).recall("potential"), 2 * batch.density)


def test_restored_memory_has_everything_and_its_bound(loader):
    memory, bound = Visits("cpu"), 2 * FIELD
    for index in range(2):
        batch = loader.batch([index])
        memory.visit(batch, 1).keep("potential", batch.density)
    again = Visits("cpu", bound)
    again.restore(memory.state())
    assert again.state().keys() == memory.state().keys()
    assert all(torch.equal(value, memory.state()[key]) for key, value in again.state().items())
    batch = loader.batch([2])
    again.visit(batch, 2).keep("potential", batch.density)
    assert again.visit(batch, 3).recall("potential") is None


def test_one_row_does_not_hold_the_batch_in_memory(loader, memory):
    batch = loader.batch([0, 1, 2])
    memory.visit(batch, 1).keep("potential", batch.density)
    assert {value.untyped_storage().nbytes() for value in memory.state().values()} == {FIELD}


@given(seed=st.integers(0, 2**31 - 1), channels=st.integers(1, 3))
def test_moving_back_undoes_a_move(seed, channels):
    grid = Grid.of([[3.0, 0.0, 0.0], [-1.5, 1.5 * 3**0.5, 0.0], [0.0, 0.0, 5.0]], (4, 4, 3))
    index = Motions(grid, "cpu").draw(2, torch.Generator().manual_seed(seed))
    fields = torch.rand(2, channels, *grid.shape)
    assert torch.equal(move_back(move(fields, index), index), fields)
    assert torch.equal(move(move_back(fields, index), index), fields)
