"""Folds by group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edframe.data.splits import split
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
        found = [*parts.train, *parts.validation, *parts.test]
        assert sorted(found) == list(range(len(groups)))
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


@pytest.mark.parametrize(("samples", "folds", "validation"), [(3, 4, 1), (8, 2, 4), (1, 2, 1)])
def test_empty_part_is_refused_with_the_way_out(samples, folds, validation):
    with pytest.raises(
        DataError, match=rf"^{samples} groups of samples cannot be split into {folds} folds .* use fewer"
    ):
        split(range(samples), folds=folds, fold=folds - 1, validation=validation, seed=0)
