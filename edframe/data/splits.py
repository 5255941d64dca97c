"""Folds for cross-validation and held-out test sets, by group, from a seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edframe.contract.registry import suggest
from edframe.errors import DataError
from edframe.seeds import seed_for


@dataclass(frozen=True)
class Split:
    """Indices of the samples of each part, disjoint. Those of random folds are together the whole dataset."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split(
    groups: Sequence[int], *, folds: int, fold: int, validation: int, seed: int, test: Sequence[int] | None = None
) -> Split:
    """Leave out one of ``folds`` parts, for testing, and take at least ``validation`` of the other samples.

    groups: a label per sample; samples with one label (mirror images, frames of one trajectory) stay in one part,
    so that nothing is tested on a copy of what was trained on. Every group is in the test part of exactly one fold.
    test: samples that are held out in every fold instead. The folds are then made of the groups without any of them,
    and the part that a fold leaves out is not used: its training set is as large a share of these groups as without
    ``test``, each fold has another one, and it is the one of a dataset that lacks the groups of ``test``. Raises
    DataError when a part would be empty.
    """
    every = np.asarray(groups)
    labels = np.setdiff1d(every, every[list(test or ())])
    shuffled = np.random.default_rng(seed_for(seed, "folds")).permutation(labels)
    members = {int(label): np.flatnonzero(every == label).tolist() for label in labels}
    # Dealt largest first would balance better, but would correlate folds with group size.
    left_out = {int(label) for label in shuffled[fold::folds]}
    rest = [int(label) for label in shuffled if int(label) not in left_out]
    held: list[int] = []
    while rest and len(held) < validation:
        held += members[rest.pop()]
    train = sorted(i for label in rest for i in members[label])
    tested = sorted(test) if test is not None else sorted(i for label in left_out for i in members[label])
    if not train or not tested:
        what = "samples" if test is None else f"samples, beside the {len(tested)} samples that are held out,"
        alone = test is None and len(labels) == len(groups)
        takes = f", which takes {fewest(folds, fold, validation)} or more" if alone else ""
        raise DataError(
            f"{len(labels)} groups of {what} cannot be split into {folds} folds with {validation} validation "
            f"samples{takes}; use fewer folds, fewer validation samples or more data"
        )
    return Split(tuple(train), tuple(sorted(held)), tuple(tested))


def fewest(folds: int, fold: int, validation: int) -> int:
    """How many samples it takes for every part of ``split`` to have one, when each is its own group."""
    count = max(fold + 1, validation + 2)
    while count - len(range(fold, count, folds)) <= validation:
        count += 1
    return count


def subset(parts: Split, size: int | None, seed: int) -> Split:
    """The same parts with ``size`` training samples, drawn by the seed; None: all. Smaller sets lie within larger ones.

    Raises DataError when there are fewer.
    """
    if size is None:
        return parts
    if size > len(parts.train):
        raise DataError(
            f"training.size = {size}: the training part has {len(parts.train)} samples; ask for at most that many, or "
            "for null, which is all"
        )
    drawn = np.random.default_rng(seed_for(seed, "subset")).permutation(parts.train)[:size]
    return replace(parts, train=tuple(sorted(drawn.tolist())))


def held_out(holdouts: Mapping[str, Sequence[int]], name: str | None) -> Sequence[int] | None:
    """The samples of the held-out test set ``name``; None for None. Raises DataError for a name that is not there."""
    if name is None:
        return None
    if not holdouts:
        raise DataError(f"splits.test: this dataset has no held-out test set '{name}', nor any other; write null")
    if name not in holdouts:
        raise DataError(f"splits.test: this dataset has no held-out test set '{name}'{suggest(name, holdouts)}")
    return holdouts[name]
