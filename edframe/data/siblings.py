"""Samples that a dataset has in the cache under other options: made from the same inputs, they are the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edframe.errors import DataError

if TYPE_CHECKING:
    from edframe.data.store import Store
    from edframe.sample import Sample

STORE = "samples.zarr"
"""In the folder of a dataset, its samples."""


def is_store(path: Path) -> bool:
    """Whether there is a store; a process that was killed may have left a folder without one."""
    return (path / "zarr.json").exists()


class Siblings:
    """The stores in the folders below ``parent``; those that cannot be read are left out."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def folder_of(self, samples: Iterable[tuple[str, ...]]) -> Path | None:
        """The folder of the store with most of the samples, of each the ids that it may have there; None where no store
        has any."""
        wanted = [*samples]
        held = {
            folder: sum(any(store.index_of(key) is not None for key in keys) for keys in wanted)
            for folder, store in self._stores.items()
        }
        most = max(held, key=lambda folder: held[folder], default=None)
        return most if most is not None and held[most] else None

    def sample(self, keys: tuple[str, ...]) -> Sample | None:
        """The sample of one of these ids; None where no store has it undamaged."""
        for store in self._stores.values():
            for key in keys:
                if (row := store.index_of(key)) is not None:
                    with contextlib.suppress(DataError):
                        return store[row]
        return None

    @cached_property
    def _stores(self) -> Mapping[Path, Store]:
        from edframe.data.store import Store

        stores = {}
        for path in sorted(self._parent.glob(f"*/{STORE}")):
            with contextlib.suppress(DataError):
                if is_store(path):
                    stores[path.parent] = Store(path)
        return stores
