"""A dataset's samples into a store of their own, to move, to share, to read fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edframe.data.store import Store, StoreWriter, content_hash
from edframe.errors import DataError
from edframe.interfaces import Dataset


def copy_to_store(dataset: Dataset, url: str, choice: Mapping[str, Any], advance: Callable[[int, int], None]) -> None:
    """Write every sample that is not there yet, in order, with its group. Continues a copy that was stopped.

    choice: name and options of the dataset, saved with the store. Raises DataError when the store has another sample
    under one of the ids.
    """
    about = {"made from": dict(choice), **{key: str(value) for key, value in dataset.describe().items()}}
    groups = dataset.groups
    with StoreWriter(url, about) as writer:
        there = {name for name in dataset.ids if name in writer}
        hashes = dict(zip((store := Store(url)).ids, store.hashes, strict=True)) if there else {}
        for position, name in enumerate(dataset.ids):
            sample = dataset[position]
            if name not in there:
                writer.add(sample, position=position, group=int(groups[position]))
            elif content_hash(sample) != hashes[name]:
                raise DataError(f"{url} has another sample '{name}' than the dataset has now: its file or options have "
                                "changed; build into a new folder")  # fmt: skip
            advance(position + 1, len(dataset))
