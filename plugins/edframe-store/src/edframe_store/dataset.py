"""The dataset ``store``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from edframe.data.copies import Identity, copies, merged
from edframe.data.store import Store
from edframe.interfaces import Contents, Dataset
from edframe.sample import Sample
from edframe_store.plugin import StoreConfig


class StoredSamples(Dataset):
    """The samples of one store, as they were put there. Raises DataError for what is no store."""

    def __init__(self, config: StoreConfig) -> None:
        self.path = os.path.expanduser(config.path)
        self._store = Store(self.path)

    @property
    def ids(self) -> Sequence[str]:
        return self._store.ids

    @property
    def groups(self) -> Sequence[int]:
        """Those that the store was written with, joined where samples are the same, see ``edframe.data.copies``."""
        return self._groups

    @cached_property
    def facts(self) -> Sequence[Mapping[str, Any]]:
        """All of each sample but its density."""
        return [self._store.facts(index) for index in range(len(self._store))]

    @cached_property
    def identities(self) -> Sequence[Identity]:
        """What makes a sample the same as another."""
        return [Identity.stored(one) for one in self.facts]

    @cached_property
    def _groups(self) -> Sequence[int]:
        return merged(self._store.groups.tolist(), copies(self.identities))

    @property
    def buckets(self) -> Sequence[int]:
        labels: list[int] = self._store.grids.tolist()
        return labels

    @property
    def contents(self) -> Contents:
        return self._store.contents

    def __getitem__(self, index: int) -> Sample:
        return self._store[index]

    def fingerprint(self) -> str:
        return self._store.fingerprint()

    def describe(self) -> Mapping[str, Any]:
        return {**self._store.about, "kept in": self.path}
