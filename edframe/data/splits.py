"""Folds for cross-validation, by group, from a seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edframe.errors import DataError
from edframe.seeds import seed_for


@dataclass(frozen=True)
class Split:
    """Indices of the samples of each part; disjoint, together the whole dataset."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split(groups: Sequence[int], *, folds: int, fold: int, validation: int, seed: int) -> Split:
    """Hold out one of ``folds`` parts for testing, and at least ``validation`` of the other samples.

    groups: a label per sample; samples with one label (mirror images, frames of one trajectory) stay in one part,
    so that nothing is tested on a copy of what was trained on. Every group is in the test part of exactly one
    fold. Raises DataError when a part would be empty.
    """
    labels = np.unique(np.asarray(groups))
    shuffled = np.random.default_rng(seed_for(seed, "folds")).permutation(labels)
    members = {int(label): np.flatnonzero(np.asarray(groups) == label).tolist() for label in labels}
    # Dealt largest first would balance better, but would correlate folds with group size.
    test_labels = {int(label) for label in shuffled[fold::folds]}
    rest = [int(label) for label in shuffled if int(label) not in test_labels]
    held: list[int] = []
    while rest and len(held) < validation:
        held += members[rest.pop()]
    train = sorted(i for label in rest for i in members[label])
    test = sorted(i for label in test_labels for i in members[label])
    if not train or not test:
        raise DataError(
            f"{len(labels)} groups of samples cannot be split into {folds} folds with {validation} validation "
            "samples; use fewer folds, fewer validation samples or more data"
        )
    return Split(tuple(train), tuple(sorted(held)), tuple(test))
