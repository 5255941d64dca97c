"""Folds by group, and held-out test sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from edframe.data.splits import held_out, split, subset
from edframe.errors import DataError

GROUPS = st.lists(st.integers(-5, 30), min_size=1, max_size=80)
OPTIONS = {"folds": st.integers(2, 6), "validation": st.integers(1, 8), "seed": st.integers(0, 2**31 - 1)}


def possible(groups, folds, validation):
    """Whether a training sample is left in every fold, however the groups fall."""
    sizes = sorted(np.unique(groups, return_counts=True)[1])[::-1]
    held = -(-len(sizes) // folds)
    return len(sizes) >= folds and sum(sizes) - sum(sizes[:held]) > validation + sizes[0]


@given(groups=GROUPS, **OPTIONS)
def test_parts_are_disjoint_complete_and_never_divide_a_group(groups, folds, validation, seed):
    for fold in range(folds):
        try:
            parts = split(groups, folds=folds, fold=fold, validation=validation, seed=seed)
        except DataError:
            assert not possible(groups, folds, validation)
            continue
        indices = [*parts.train, *parts.validation, *parts.test]
        assert sorted(indices) == list(range(len(groups)))
        assert min(len(parts.train), len(parts.test)) >= 1
        assert len(parts.validation) >= validation
        labels = [{groups[i] for i in part} for part in (parts.train, parts.validation, parts.test)]
        assert len(labels[0]) + len(labels[1]) + len(labels[2]) == len(set(groups))


@given(groups=GROUPS, **OPTIONS)
def test_every_sample_is_tested_in_exactly_one_fold(groups, folds, validation, seed):
    if not possible(groups, folds, validation):
        return
    tests = [split(groups, folds=folds, fold=k, validation=validation, seed=seed).test for k in range(folds)]
    assert sorted(i for test in tests for i in test) == list(range(len(groups)))


def test_split_depends_on_the_seed_alone():
    options = {"folds": 4, "fold": 1, "validation": 3}
    one, same, other = (split(range(40), seed=seed, **options) for seed in (5, 5, 6))
    assert one == same != other


def test_folds_are_of_even_size():
    sizes = [len(split(range(42), folds=4, fold=k, validation=1, seed=0).test) for k in range(4)]
    assert sorted(sizes) == [10, 10, 11, 11]


@pytest.mark.parametrize(("folds", "validation"), [(2, 1), (4, 8), (3, 7), (10, 2)])
def test_refusal_says_how_many_samples_it_takes(folds, validation):
    for fold in range(folds):
        options = {"folds": folds, "fold": fold, "validation": validation, "seed": 0}
        enough = []
        for count in range(1, 60):
            try:
                split(range(count), **options)
                enough.append(count)
            except DataError as error:
                stated = int(str(error).partition("which takes ")[2].split()[0])
        assert stated == enough[0]
        assert enough == list(range(stated, 60))


@pytest.mark.parametrize(("samples", "folds", "validation"), [(3, 4, 1), (8, 2, 4), (1, 2, 1)])
def test_empty_part_is_refused_with_the_way_out(samples, folds, validation):
    with pytest.raises(
        DataError, match=rf"^{samples} groups of samples cannot be split into {folds} folds .* use fewer"
    ):
        split(range(samples), folds=folds, fold=folds - 1, validation=validation, seed=0)


@given(data=st.data(), groups=st.lists(st.integers(-5, 30), min_size=12, max_size=60), **OPTIONS)
def test_a_held_out_set_is_tested_in_every_fold_and_has_no_relative_in_training(data, groups, folds, validation, seed):
    test = data.draw(st.lists(st.sampled_from(range(len(groups))), min_size=1, max_size=5, unique=True))
    strangers = [i for i in range(len(groups)) if groups[i] not in {groups[j] for j in test}]
    options = {"folds": folds, "validation": validation, "seed": seed}
    left_out = []
    for fold in range(folds):
        try:
            parts = split(groups, fold=fold, test=test, **options)
        except DataError:
            assert not possible([groups[i] for i in strangers], folds, validation)
            return
        assert list(parts.test) == sorted(test)
        assert len(parts.validation) >= validation
        assert set(parts.train).isdisjoint(parts.validation)
        assert {groups[i] for i in parts.train}.isdisjoint(groups[i] for i in parts.validation)
        used = {*parts.train, *parts.validation}
        assert used <= set(strangers)
        left_out += sorted(set(strangers) - used)
    assert sorted(left_out) == strangers  # each in one fold


@given(data=st.data(), fold=st.integers(0, 3), seed=st.integers(0, 99))
def test_the_training_set_is_that_of_the_dataset_without_the_held_out_groups(data, fold, seed):
    """Oracle: the dataset with the held-out groups cut out, split at random."""
    groups = data.draw(st.lists(st.integers(0, 40), min_size=30, max_size=60, unique=True))
    test = [i for i, group in enumerate(groups) if group % 3 == 0] or [0]
    rest = [i for i in range(len(groups)) if i not in test]
    options = {"folds": 4, "fold": fold, "validation": 2, "seed": seed}
    held, cut = split(groups, test=test, **options), split([groups[i] for i in rest], **options)
    assert held.train == tuple(rest[i] for i in cut.train)
    assert held.validation == tuple(rest[i] for i in cut.validation)


def test_a_held_out_set_that_leaves_nothing_is_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"^1 groups of samples, beside the 19 samples that are held out, cannot be"):
        split(range(20), folds=2, fold=0, validation=1, seed=0, test=range(19))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("corner", "no held-out test set 'corner'; did you mean 'corners'? Choices: corners, n>1"),
        ("isolated", "no held-out test set 'isolated'; choices: corners, n>1"),
    ],
)
def test_an_unknown_held_out_set_is_answered_with_the_nearest(name, message):
    with pytest.raises(DataError) as caught:
        held_out({"corners": [1], "n>1": [2, 3]}, name)
    assert str(caught.value) == f"splits.test: this dataset has {message}"


def test_a_held_out_set_of_a_dataset_without_any_is_refused():
    with pytest.raises(
        DataError, match=r"^splits\.test: this dataset has no held-out test set 'corners', nor any other"
    ):
        held_out({}, "corners")
    assert held_out({}, None) is None


@given(size=st.integers(1, 28), seed=st.integers(0, 2**31 - 1))
def test_smaller_training_sets_lie_within_larger_ones_and_nothing_else_changes(size, seed):
    parts = split(range(42), folds=4, fold=1, validation=2, seed=0)
    smaller, larger = subset(parts, size, seed), subset(parts, size + 1, seed)
    assert len(smaller.train) == size
    assert set(smaller.train) < set(larger.train) <= set(parts.train)
    assert list(smaller.train) == sorted(smaller.train)
    assert (smaller.validation, smaller.test) == (parts.validation, parts.test)


def test_training_sets_are_drawn_by_the_seed_each_sample_equally_often():
    parts = split(range(42), folds=4, fold=1, validation=2, seed=0)
    drawn = [i for seed in range(2000) for i in subset(parts, 3, seed).train]
    expected = len(drawn) / len(parts.train)
    counts = [drawn.count(i) for i in parts.train]
    assert chisquare(counts).pvalue > 1e-3
    assert max(counts) < 1.5 * expected


def test_all_training_samples_and_more_than_there_are():
    parts = split(range(42), folds=4, fold=1, validation=2, seed=0)
    assert subset(parts, None, 5) == parts == subset(parts, len(parts.train), 5)
    with pytest.raises(DataError, match=r"training.size = 40: the training part has \d+ samples; ask for at most"):
        subset(parts, 40, 5)
