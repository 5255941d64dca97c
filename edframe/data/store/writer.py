"""Writing a store: samples are encoded as they come, and committed together."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edframe.data.store import chunk, layout
from edframe.data.store.commit import REMEDY, Commit, read_commit
from edframe.data.store.place import place_of
from edframe.data.store.record import grid_hash, in_order, plain, record_of, species_of
from edframe.errors import DataError
from edframe.sample import Sample

SECONDS = 10.0
"""A sample is committed when it is added later than this after the last commit."""

LARGEST = 2**31 - 2**16
"""Most bytes of one density: what one chunk of Blosc can hold."""


@dataclass(frozen=True)
class _Entry:
    """One sample, encoded."""

    id: str
    numbers: tuple[int, int, int, int]
    """Position, group, grid, capacity."""
    hashes: tuple[int, int]
    record: bytes
    density: bytes
    species: frozenset[str]
    atoms: int


@dataclass(frozen=True)
class _State:
    """What is on disk, with the ids and rows of the last chunk of the index, and what is not yet."""

    commit: Commit
    ids: list[str] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)
    pending: list[_Entry] = field(default_factory=list)


class StoreWriter:
    """Creates a store, or continues one; a context manager, which commits at its end, also on Ctrl-C.

    It commits by itself when a shard's worth of samples has come, and with the first sample that comes 10 s after the
    last commit. In a local folder a second writer is refused; elsewhere, take care that there is one. about: plain
    facts saved with a new store; a store that exists keeps its own. remedy: what errors say to do about damage.
    Raises DataError for a folder that is no store, and when it cannot be written.
    """

    def __init__(self, url: str | Path, about: Mapping[str, Any] | None = None, remedy: str = REMEDY) -> None:
        self.url = str(url)
        self._remedy = remedy
        self._place = place_of(url)
        facts = plain(about or {}, f"{self.url}: what is said about it")
        read_commit(self._place, self.url, remedy)  # no folder is made in what is no store
        with ExitStack() as held:
            held.enter_context(self._place.locked())
            commit = read_commit(self._place, self.url, remedy)
            self._state = self._continued(commit or Commit(about=facts))
            if commit is None:
                self._put({layout.metadata_key(name): layout.metadata(name, 0) for name in ("id", "index", "record")})
                self._put({"zarr.json": self._state.commit.encode()})
            self._held = held.pop_all()
        self._kind: tuple[int, int] | None = None
        """Spin channels and dimension of all samples."""
        if commit is not None and commit.samples:
            self._kind = (commit.spins, commit.dimension)
        self._pending_bytes = 0
        self._last = time.monotonic()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self.flush()

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, sample: Sample, *, position: int, group: int | None = None) -> None:
        """Take a sample; float64 is stored as float32. position: its place among all, in any order of writing.

        group: see ``Dataset.groups``; None: its own. Raises DataError when its id is there already, when spin channels
        or dimension differ from those of the other samples, and when the disk is full.
        """
        if sample.id in self._ids:
            raise DataError(f"{self.url} has a sample '{sample.id}' already; give each sample an id of its own")
        kind = (len(sample.density), sample.grid.dimension)
        if self._kind is not None and self._kind != kind:
            raise DataError(
                f"{sample.id}: {kind[0]} spin channels in {kind[1]} dimensions, while the samples of {self.url} have "
                f"{self._kind[0]} in {self._kind[1]}; make a store for each"
            )
        capacity = layout.capacity_of(sample.density.size)
        if 4 * capacity > LARGEST:
            raise DataError(f"{sample.id}: a density of {sample.density.size} values is too large for one chunk; "
                            f"the most is {LARGEST // 4}: coarsen it")  # fmt: skip
        record, content = record_of(sample)
        first, second = np.frombuffer(bytes.fromhex(content), "<i8").tolist()
        entry = _Entry(
            id=sample.id,
            numbers=(
                position,
                layout.NO_GROUP if group is None else group,
                grid_hash(sample.grid),
                capacity,
            ),
            hashes=(first, second),
            record=chunk.encode_record(record),
            density=chunk.encode_density(sample.density, capacity),
            species=frozenset(species_of(sample.structure)),
            atoms=len(sample.structure),
        )
        self._kind = kind
        self._ids.add(sample.id)
        self._state.pending.append(entry)
        self._pending_bytes += len(entry.density)
        full = self._pending_bytes >= layout.SHARD_BYTES or len(self._state.pending) >= layout.SHARD_ROWS
        if full or time.monotonic() > self._last + SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what was added. Raises DataError when it cannot be written; what was committed before is kept."""
        # Nothing but the last step changes what counts, on disk or here, so that it can stop anywhere and be repeated.
        state = self._state
        pending = state.pending
        if not pending:
            return
        before, counts = state.commit, Counter(state.commit.rows)
        chunks: defaultdict[str, list[bytes]] = defaultdict(list)
        added: list[tuple[int, ...]] = []
        for entry in pending:
            capacity = entry.numbers[-1]
            checksums = chunk.checksums_of(entry.record, entry.density)
            added.append((*entry.numbers, counts[str(capacity)], checksums, *entry.hashes))
            counts[str(capacity)] += 1
            chunks["record"].append(entry.record)
            chunks[layout.density_array(capacity)].append(entry.density)
        for array, new in chunks.items():
            self._append(array, before.shards.get(array, 0), new)
        ids, rows = self._append_index(before.samples, state.ids + [entry.id for entry in pending], state.rows + added)
        assert self._kind is not None
        commit = replace(
            before,
            samples=before.samples + len(pending),
            spins=self._kind[0],
            dimension=self._kind[1],
            species=in_order(frozenset(before.species).union(*(entry.species for entry in pending))),
            max_atoms=max(before.max_atoms, *(entry.atoms for entry in pending)),
            rows=dict(counts),
        )
        self._put({"zarr.json": commit.encode()})
        self._state = _State(commit, ids, rows)
        self._pending_bytes = 0
        self._last = time.monotonic()

    def _append(self, array: str, kept: int, new: Sequence[bytes]) -> None:
        """Write shards of ``array``: the last one anew when it was not full, then further ones."""
        room = layout.rows_per_shard(array)
        if -(-kept // room) != -(-(kept + len(new)) // room):
            self._put({layout.metadata_key(array): layout.metadata(array, kept + len(new))})
        start = -(kept % room)
        for at in range(start, len(new), room):
            key = layout.shard_key(array, (kept + at) // room)
            old = -start if at == start else 0
            try:
                shard = chunk.get(self._place, key) if old else b""
                content = chunk.extend_shard(array, shard, old, new[max(at, 0) : at + room], key)
            except chunk.DamagedFile as error:
                raise self._damaged(error) from error
            self._put({key: content})

    def _append_index(
        self, kept: int, ids: list[str], rows: list[tuple[int, ...]]
    ) -> tuple[list[str], list[tuple[int, ...]]]:
        """Write the last chunks of the index, given from the start of a chunk; what the unfinished one holds."""
        length = layout.CHUNK_ROWS
        first = kept // length
        if -(-kept // length) != first + -(-len(ids) // length):
            self._put({layout.metadata_key(name): layout.metadata(name, first * length + len(ids))
                       for name in ("id", "index")})  # fmt: skip
        for at in range(0, len(ids), length):
            keys = layout.chunk_keys(first + at // length)
            chunks = chunk.encode_index(ids[at : at + length], rows[at : at + length])
            self._put(dict(zip(keys, chunks, strict=True)))
        whole = len(ids) // length * length
        return ids[whole:], rows[whole:]

    def _continued(self, commit: Commit) -> _State:
        """The state from which a store goes on."""
        length = layout.CHUNK_ROWS
        self._ids: set[str] = set()
        ids: list[str] = []
        rows: list[tuple[int, ...]] = []
        try:
            for start in range(0, commit.samples, length):
                names, numbers = chunk.read_index(self._place, start // length)
                count = min(length, commit.samples - start)
                self._ids.update(names[:count])
                if count < length:
                    ids, rows = names[:count].tolist(), [tuple(row) for row in numbers[:count].tolist()]
        except chunk.DamagedFile as error:
            raise self._damaged(error) from error
        return _State(commit, ids, rows)

    def _put(self, files: Mapping[str, bytes]) -> None:
        for key, data in files.items():
            try:
                self._place.put(key, data)
            except OSError as error:
                kept = self._state.commit.samples
                raise DataError(
                    f"{self.url}/{key} cannot be written ({error.strerror or error}): make room, or fix what is wrong "
                    f"there, and run the same again; the {kept} samples committed before are safe"
                ) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.url} is damaged ({error}); {self._remedy}")
