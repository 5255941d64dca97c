"""Reading a store: its index when it is opened, one chunk of density and one record for each sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.data.store import chunk, layout
from edframe.data.store.commit import REMEDY, read_commit
from edframe.data.store.place import place_of
from edframe.data.store.record import fingerprint_of, hash_of_record, sample_from_record
from edframe.errors import DataError
from edframe.interfaces import Contents
from edframe.sample import Sample

READERS = 8
"""Threads of ``read``: to have several requests on a network, and decode on several cores."""


class Store:
    """A sequence of samples in a folder or at any URL that fsspec knows; safe to read from several threads.

    ids: in order of position. groups: ``[n]``, see ``Dataset.groups``. grids: ``[n]``, a label per sample that equal
    grids share, counted from 0 as they first appear. hashes: the ``content_hash`` of each sample. about: what was said
    when it was made. All is from its last commit before it was opened. remedy: what errors say to do about damage.
    Raises DataError when there is no store, when it is of another format, or when its index is damaged.
    """

    def __init__(self, url: str | Path, remedy: str = REMEDY) -> None:
        self.url = str(url)
        self._remedy = remedy
        self._place = place_of(url)
        commit = read_commit(self._place, self.url, remedy)
        if commit is None:
            raise DataError(f"{self.url}: there is no store of samples; `edframe data build --out` makes one")
        self._commit = commit
        names, numbers = self._read_index()
        columns = dict(zip(layout.COLUMNS, numbers.T, strict=True))
        order = np.argsort(columns["position"], kind="stable")
        if (np.diff(columns["position"][order]) == 0).any():
            order = np.array(sorted(range(len(names)), key=lambda n: (columns["position"][n], names[n])))
        self.ids: Sequence[str] = names[order].tolist()
        self.groups = _groups(columns["group"][order])
        self.grids = _labels(columns["grid"][order])
        self._written = order
        self._capacities = columns["capacity"][order]
        self._rows = columns["row"][order]
        self._checksums = np.ascontiguousarray(columns["checksums"][order]).view("<u4").reshape(-1, 2)
        self._hashes = np.ascontiguousarray(numbers[order, -2:]).view("u1")
        self._shard_indexes: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return self._commit.samples

    @property
    def contents(self) -> Contents:
        """Species, number of atoms, spin channels and dimension of all samples."""
        commit = self._commit
        return Contents(commit.species, commit.max_atoms, commit.spins or 1, commit.dimension or 3)

    @property
    def about(self) -> Mapping[str, Any]:
        return self._commit.about or {}

    @cached_property
    def hashes(self) -> Sequence[str]:
        return [row.tobytes().hex() for row in self._hashes]

    def fingerprint(self) -> str:
        """A hash of ids and contents in order of position; neither of the order of writing nor of compression."""
        return fingerprint_of(self.ids, self.hashes)

    def index_of(self, id: str) -> int | None:
        """Where the sample of that name is; None when there is none."""
        return self._index_by_id.get(id)

    def __getitem__(self, index: int) -> Sample:
        """One sample. Raises IndexError past the end, DataError for a damaged one."""
        record, density = self._load(index)
        return sample_from_record(record, density)

    def facts(self, index: int) -> Mapping[str, Any]:
        """All of a sample but its density, as plain data: id, structure, grid, electrons, spins, source.

        Raises what ``store[index]`` raises.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.url} has {len(self)} samples, no index {index}")
        (key, row), _ = self._chunks(index)
        try:
            record = chunk.decode_record(self._chunk(key, row), self._checksums[index].tolist()[0], key)
        except chunk.DamagedFile as error:
            raise self._damaged(f"sample '{self.ids[index]}'", error) from error
        facts: Mapping[str, Any] = json.loads(record)
        return facts

    def read(self, indices: Sequence[int]) -> list[Sample]:
        """Samples in the order of ``indices``, read by several threads. Raises what ``store[index]`` raises."""
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self.__getitem__, indices))

    def check(self, advance: Callable[[int, int], None] | None = None) -> list[str]:
        """Read everything and compare it with its checksums: a sentence for each damaged file or sample."""
        sentences = [sentence for array, count in self._arrays().items() if (sentence := self._wrong(array, count))]
        broken: set[str] = set()
        for done, index in enumerate(np.argsort(self._written), start=1):
            for key, _ in self._chunks(int(index)):
                if key not in broken:
                    try:
                        self._shard_index(key)
                    except chunk.DamagedFile as error:
                        broken.add(key)
                        sentences.append(f"{error}: all samples in this file, such as '{self.ids[index]}', are lost")
            if not broken.intersection(key for key, _ in self._chunks(int(index))):
                try:
                    if hash_of_record(*self._load(int(index))) != self.hashes[index]:
                        sentences.append(f"sample '{self.ids[index]}' is another than the one that was written")
                except DataError as error:
                    sentences.append(str(error))
            if advance:
                advance(done, len(self))
        return sentences

    @cached_property
    def _index_by_id(self) -> Mapping[str, int]:
        return {id: index for index, id in enumerate(self.ids)}

    def _read_index(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        count = self._commit.samples
        names: list[NDArray[np.object_]] = [np.empty(0, dtype=object)]
        numbers = [np.empty((0, len(layout.COLUMNS)), np.int64)]
        try:
            for number in range(-(-count // layout.CHUNK_ROWS)):
                some_names, some_numbers = chunk.read_index(self._place, number)
                names.append(some_names)
                numbers.append(some_numbers)
        except chunk.DamagedFile as error:
            raise self._damaged("its index", error) from error
        return np.concatenate(names)[:count], np.concatenate(numbers)[:count]

    def _chunks(self, index: int) -> tuple[tuple[str, int], tuple[str, int]]:
        """File and row in it of the record and of the density of a sample."""
        array, row, written = f"density-{self._capacities[index]}", int(self._rows[index]), int(self._written[index])
        shard, inner = divmod(row, layout.rows_per_shard(array))
        record_shard, record_inner = divmod(written, layout.rows_per_shard("record"))
        return (layout.shard_key("record", record_shard), record_inner), (layout.shard_key(array, shard), inner)

    def _load(self, index: int) -> tuple[str, NDArray[np.float32]]:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.url} has {len(self)} samples, no index {index}")
        (record_key, record_row), (density_key, row) = self._chunks(index)
        record_sum, density_sum = self._checksums[index].tolist()
        capacity = int(self._capacities[index])
        try:
            record = chunk.decode_record(self._chunk(record_key, record_row), record_sum, record_key)
            return record, chunk.decode_density(self._chunk(density_key, row), capacity, density_sum, density_key)
        except chunk.DamagedFile as error:
            raise self._damaged(f"sample '{self.ids[index]}'", error) from error

    def _chunk(self, key: str, row: int) -> bytes:
        start, length = self._shard_index(key)[row].tolist()
        if start < 0:
            raise chunk.DamagedFile(f"{key}: it is not of the same state as the index")
        return chunk.get(self._place, key, start, start + length)

    def _shard_index(self, key: str) -> NDArray[np.int64]:
        if key not in self._shard_indexes:
            size = chunk.shard_index_bytes(key.split("/")[0])
            self._shard_indexes[key] = chunk.read_shard_index(chunk.get(self._place, key, -size), key)
        return self._shard_indexes[key]

    def _arrays(self) -> dict[str, int]:
        return {"id": len(self), "index": len(self), **self._commit.shards}

    def _wrong(self, array: str, count: int) -> str | None:
        """What is wrong with the metadata of an array. Reading does without it, other programs do not."""
        key = layout.metadata_key(array)
        try:
            given, wanted = json.loads(chunk.get(self._place, key)), json.loads(layout.metadata(array, count))
            # A killed writer may have made room for more.
            if given == wanted or (given | {"shape": 0} == wanted | {"shape": 0} and given["shape"] > wanted["shape"]):
                return None
        except (chunk.DamagedFile, ValueError, LookupError, TypeError) as error:
            return f"{key} is damaged ({error})"
        return f"{key} is damaged: it does not describe the array"

    def _damaged(self, what: str, error: chunk.DamagedFile) -> DataError:
        return DataError(f"{self.url}: {what} is damaged ({error}); {self._remedy}")


def _labels(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers from 0 for equal values, in order of first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _groups(given: NDArray[np.int64]) -> NDArray[np.int64]:
    """The given labels, and new ones for samples that are their own group."""
    own = given == layout.NO_GROUP
    first = 0 if own.all() else int(given[~own].max()) + 1
    return np.where(own, first + np.cumsum(own) - 1, given)
