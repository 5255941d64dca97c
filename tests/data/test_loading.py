"""Batches: equal to their samples, of one grid, kept within bounds, and every sample once per epoch."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edframe.data import loading
from edframe.data.loading import Loader, Schedule
from edframe.errors import DataError


@pytest.fixture
def loader(small):
    return Loader(small.dataset(6), small.featurizer(), "cpu")


def test_batch_equals_its_samples(loader, small):
    batch = loader.batch([4, 1])
    dataset, featurizer = small.dataset(6), small.featurizer()
    assert [sample.id for sample in batch.samples] == ["atom-4", "atom-1"]
    for place, index in enumerate([4, 1]):
        sample = dataset[index]
        features = featurizer([sample.structure], sample.grid, "cpu")
        np.testing.assert_array_equal(batch.density[place], sample.density)
        assert torch.equal(batch.features.channels[place], features.channels[0])
        assert torch.equal(batch.features.baseline[place], features.baseline[0])
    assert batch.electrons.tolist() == [2.0, 2.0]


def test_mixed_grids_are_refused_with_the_way_out(small):
    loader = Loader(small.dataset(4, shapes=((6, 6, 6), (5, 6, 6))), small.featurizer(), "cpu")
    assert loader.batch([0, 2]).density.shape == (2, 1, 6, 6, 6)
    with pytest.raises(DataError, match=r"atom-0, atom-1 have different grids, .*`buckets` .* training\.batch_size=1"):
        loader.batch([0, 1])


def test_visited_samples_are_kept(loader):
    loader.batch([0, 1])
    loader.batch([1, 0])
    assert loader.dataset.read == [0, 1]


def test_memory_for_kept_samples_is_bounded(small, monkeypatch):
    one = 4 * 6**3 * (1 + 2 + 1)  # float32: density, two channels, baseline
    monkeypatch.setattr(loading, "KEPT_BYTES", 2 * one + 1)
    loader = Loader(small.dataset(6), small.featurizer(), "cpu")
    for _ in range(2):
        for index in range(4):
            loader.batch([index])
    assert loader.dataset.read == [0, 1, 2, 3, 2, 3]


def test_augmentation_moves_every_field_alike_and_leaves_the_kept_batch(loader):
    batch = loader.batch([0, 1])
    before = batch.density.clone()
    moved = loader.augmented(batch, seed=1)
    assert not torch.equal(moved.density, before)
    assert torch.equal(loader.batch([0, 1]).density, before)
    for place in range(2):
        # The Gaussians of an atom all peak at one point, and it stays one.
        peaks = {int(field.flatten().argmax()) for field in (*moved.features.channels[place], moved.density[place, 0])}
        assert len(peaks) == 1
    assert torch.equal(moved.density.flatten(1).sort().values, before.flatten(1).sort().values)


def test_augmentation_is_a_function_of_its_seed(loader):
    one, same, other = (loader.augmented(loader.batch([0]), seed).density for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@given(
    train=st.lists(st.integers(0, 1000), min_size=1, max_size=12, unique=True),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_sample_comes_once_per_epoch(train, size, seed):
    epochs = 3
    steps = -(-epochs * len(train) // size)
    schedule = Schedule(train, [0] * 1001, size, seed)
    drawn = [i for step in range(steps) for i in schedule(step)]
    assert all(len(schedule(step)) == size for step in range(steps))
    for epoch in range(epochs):
        assert Counter(drawn[epoch * len(train) : (epoch + 1) * len(train)]) == Counter(train)


def test_epochs_and_seeds_differ():
    train = range(50)
    schedules = [Schedule(train, [0] * 50, 50, seed) for seed in range(2)]
    epochs = [tuple(schedule(epoch)) for epoch in range(2) for schedule in schedules]
    assert len(set(epochs)) == 4


@given(
    buckets=st.lists(st.integers(0, 3), min_size=2, max_size=14),
    size=st.integers(1, 5),
    share=st.integers(1, 3),
    seed=st.integers(0, 2**31 - 1),
)
def test_batches_of_mixed_grids_have_one_grid_each_and_every_sample_once_per_epoch(buckets, size, share, seed):
    buckets = [9, *buckets, 8]  # two at least
    train = range(len(buckets))
    schedule = Schedule(train, buckets, size * share, seed, share)
    steps = sum(-(-count // (size * share)) for count in Counter(buckets).values())
    for epoch in range(2):
        batches = [schedule(epoch * steps + step) for step in range(steps)]
        assert all(len({buckets[i] for i in batch}) == 1 for batch in batches)
        assert all(0 < len(batch) <= size * share and len(batch) % share == 0 for batch in batches)
        drawn = Counter(i for batch in batches for i in batch)
        assert set(drawn) == set(train)
        # Only what fills up the last batch of a grid for all processes comes more than once.
        assert drawn.total() - len(buckets) <= (share - 1) * len(set(buckets))


def test_a_schedule_is_asked_in_any_order():
    schedules = [Schedule(range(9), [0, 1, 2] * 3, 2, seed=3) for _ in range(2)]
    forwards = [schedules[0](step) for step in range(12)]
    assert [schedules[1](step) for step in reversed(range(12))] == forwards[::-1]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_stream_gives_the_batches_in_order(workers, small):
    loader = Loader(small.dataset(9), small.featurizer(), "cpu", workers)
    wanted = [[3, 1], [0], [3, 8], [4, 4], [7], [1, 2, 5]]
    alone = Loader(small.dataset(9), small.featurizer(), "cpu")
    for indices, batch in zip(wanted, loader.stream(iter(wanted)), strict=True):
        assert [sample.id for sample in batch.samples] == [f"atom-{i}" for i in indices]
        assert torch.equal(batch.density, alone.batch(indices).density)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_with_seeds_augments_each_batch_by_its_own(workers, small):
    loader = Loader(small.dataset(4), small.featurizer(), "cpu", workers)
    wanted, seeds = [[3, 1], [0], [3, 1]], [5, 6, 7]
    alone = Loader(small.dataset(4), small.featurizer(), "cpu")
    for indices, seed, batch in zip(wanted, seeds, loader.stream(wanted, iter(seeds)), strict=True):
        expected = alone.augmented(alone.batch(indices), seed)
        assert torch.equal(batch.density, expected.density)
        assert torch.equal(batch.features.channels, expected.features.channels)
        assert torch.equal(batch.motion, expected.motion)


def test_a_stream_reads_ahead_but_not_far(small):
    loader = Loader(small.dataset(40), small.featurizer(), "cpu", workers=1)
    stream = loader.stream([i] for i in range(40))
    next(stream)
    deadline = time.monotonic() + 10
    while len(loader.dataset.read) < 1 + loading.AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # a reader without a limit would go on
    assert 1 < len(loader.dataset.read) <= 1 + loading.AHEAD


def test_what_fails_while_reading_ahead_is_raised_at_its_turn(small, monkeypatch):
    dataset = small.dataset(4)
    read = type(dataset).__getitem__

    def failing(self, index):
        if index == 2:
            raise DataError("atom-2 is damaged")
        return read(self, index)

    monkeypatch.setattr(type(dataset), "__getitem__", failing)
    stream = Loader(dataset, small.featurizer(), "cpu", workers=2).stream([i] for i in range(4))
    assert [next(stream).samples[0].id for _ in range(2)] == ["atom-0", "atom-1"]
    with pytest.raises(DataError, match="atom-2"):
        next(stream)
