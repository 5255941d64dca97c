"""Datasets whose samples are made once, by parsing a file or by a DFT calculation, and saved in a store.

Longer than other modules because a dataset is one class: what it has, what is missing, and how that is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edframe.contract.component import ComponentConfig
from edframe.data.cache import cache_folder
from edframe.data.copies import MARK, Identity, copies, mark_of, merged
from edframe.data.siblings import STORE, Siblings, is_store
from edframe.errors import DataError
from edframe.files import awaited
from edframe.interfaces import Contents, Dataset
from edframe.jobs import run_jobs

if TYPE_CHECKING:
    from edframe.data.store import Store, StoreWriter
    from edframe.sample import Sample


FOUND = ("_store", "_kept", "_failed", "_made", "_ids", "_rows", "_facts", "_groups", "_siblings", "_elsewhere")
"""What was read from the cache."""
MOST = 8
"""Numbers of electrons that are distinguished."""


@dataclass(frozen=True)
class Job:
    """One sample to make. inputs: plain data that determine it. group: see ``Dataset.groups``; None: its own."""

    id: str
    inputs: Mapping[str, Any]
    group: int | None = None

    @property
    def key(self) -> str:
        """A hash of what determines the sample, not of its name: a file may be renamed."""
        return _hashed(self.inputs)

    @property
    def keys(self) -> tuple[str, str]:
        """``key``, and that of older versions, which the id was a part of."""
        return self.key, _hashed([self.id, self.inputs])


def _hashed(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


class PreparedDataset(Dataset):
    """Samples made by ``maker`` from jobs, each once, and saved in a store in the cache folder.

    What was made from the same inputs under other options, such as another path of a file, is not made again.
    What cannot be made is listed with its reason and left out; it stops nothing else. A stopped ``build`` continues;
    a repeated one tries again what failed, and makes anew the samples whose inputs have changed.
    """

    maker: ClassVar[str]
    """``"module:function"`` that makes the sample of a Job. It is called in any process, and raises DataError for what
    cannot be labelled."""

    brief: bool = False
    """Whether a job is too short to be worth another process."""

    def __init__(self, name: str, config: ComponentConfig) -> None:
        self.name = name
        self.config = config

    @abstractmethod
    def jobs(self) -> Sequence[Job]:
        """The samples to make, in order, from geometries or files' names alone. Raises DataError for bad input."""

    @property
    def folder(self) -> Path:
        """Where the samples are saved: by the dataset's options, or where most are that were made under others."""
        options = json.dumps(self.config.model_dump(mode="json"), sort_keys=True)
        own = cache_folder() / self.name / hashlib.sha256(options.encode()).hexdigest()[:12]
        return own if (own / STORE).exists() else self._elsewhere or own

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    @property
    def groups(self) -> Sequence[int]:
        """Those of the jobs, joined where samples are the same, see ``edframe.data.copies``."""
        return self._groups

    @property
    def identities(self) -> Sequence[Identity]:
        """What makes a sample the same as another."""
        return [Identity.stored(facts) for facts in self._facts]

    @property
    def facts(self) -> Sequence[Mapping[str, Any]]:
        """All of each sample but its density, see ``Store.facts``."""
        return self._facts

    @property
    def buckets(self) -> Sequence[int]:
        labels: list[int] = self._store.grids[self._rows].tolist()
        return labels

    @property
    def contents(self) -> Contents:
        if len(self._store) == len({*self._rows}):
            return self._store.contents
        from pymatgen.core.periodic_table import Element

        # The store also holds samples of former jobs.
        structures = [self._store[row].structure for row in self._rows]
        species = {site.specie.symbol for structure in structures for site in structure}
        return replace(
            self._store.contents,
            species=tuple(sorted(species, key=lambda symbol: Element(symbol).Z)),
            max_atoms=max(map(len, structures)),
        )

    def __getitem__(self, index: int) -> Sample:
        if not -len(self._made) <= index < len(self._made):
            raise IndexError(f"{self.name} has {len(self._made)} samples, not {index + 1}")
        return replace(self._store[self._rows[index]], id=self._made[index].id)

    def fingerprint(self) -> str:
        from edframe.data.store import fingerprint_of

        return fingerprint_of(self.ids, [self._store.hashes[row] for row in self._rows])

    @property
    def ready(self) -> bool:
        return all(self._row(job) is not None or job.key in self._failed for job in self._jobs)

    @property
    def expected_groups(self) -> Sequence[int] | None:
        """Those of the jobs: some may fail, and some samples may be the same."""
        labels = [i if job.group is None else f"group {job.group}" for i, job in enumerate(self._jobs)]
        return merged(labels, range(len(labels)))

    @property
    def failures(self) -> Mapping[str, str]:
        return {job.id: self._failed[job.key] for job in self._jobs if job.key in self._failed}

    @property
    def remarks(self) -> Mapping[str, Sequence[str]]:
        """What was decided in making each sample, or is doubtful about it: id → sentences."""
        notes = {id: facts["source"].get("notes", ()) for id, facts in zip(self.ids, self._facts, strict=True)}
        return {id: tuple(sentences) for id, sentences in notes.items() if sentences}

    def describe(self) -> Mapping[str, Any]:
        counts = Counter(f"{facts['electrons']:g} e" for facts in self._facts)
        electrons = ", ".join(f"{electrons} ({count})" for electrons, count in counts.most_common(MOST))
        more = f", and {len(counts) - MOST} other numbers" if len(counts) > MOST else ""
        return {
            "electrons (samples)": electrons + more,
            "could not be made": len(self.failures),
            "kept in": str(self.folder),
        }

    def build(
        self,
        advance: Callable[[int, int], None],
        *,
        recompute: bool = False,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Make what is missing, after another process that does so. Nothing is written where nothing is missing.

        Raises DataError when nothing at all could be made.
        """
        if recompute:
            raise DataError(f"the samples of {self.name} are made here, by `edframe data build`: to make them again, "
                            f"delete {self.folder}")  # fmt: skip
        from edframe.data.store import StoreWriter

        if all(self._row(job) is not None for job in self._jobs):
            advance(len(self._jobs), len(self._jobs))
            return
        with contextlib.ExitStack() as held:
            try:
                what = f"The samples of {self.name} are being made in {self.folder}"
                waited = held.enter_context(awaited(self.folder / ".lock", what))
            except OSError as error:
                raise self._unwritable(error) from error
            self._forget()
            if not (waited and self.ready):
                self._make(StoreWriter(self._path, {"dataset": self.name}, self._remedy), advance, workers, scheduler)
        self._forget()
        if self._jobs and not self._made:
            first, reason = next(iter(self.failures.items()))
            raise DataError(f"none of the {len(self._jobs)} samples of {self.name} could be made; {first}: {reason}")

    def _make(
        self, store: StoreWriter, advance: Callable[[int, int], None], workers: int, scheduler: str | None
    ) -> None:
        missing = {job.key: job for job in self._jobs if self._row(job) is None}
        processes, address = (1, None) if self.brief else (workers, scheduler)
        with store as writer:
            for key, job in [*missing.items()]:
                if (sample := self._siblings.sample(job.keys)) is not None:
                    writer.add(replace(sample, id=key), position=len(writer))
                    del missing[key]
            todo, done = [*missing.values()], len(self._jobs) - len(missing)
            advance(done, len(self._jobs))
            with contextlib.closing(run_jobs(self.maker, todo, workers=processes, scheduler=address)) as results:
                for index, result in results:
                    self._keep(writer, todo[index], result)
                    done += 1
                    advance(done, len(self._jobs))

    def _unwritable(self, error: OSError) -> DataError:
        reason = error.strerror or error
        return DataError(f"{self.folder} cannot be written ({reason}); set EDFRAME_CACHE to another folder")

    @property
    def _remedy(self) -> str:
        return f"delete {self.folder}, and the same command makes it again"

    def _keep(self, writer: StoreWriter, job: Job, result: Sample | Exception) -> None:
        if isinstance(result, Exception):
            reason = str(result) if isinstance(result, DataError) else f"{type(result).__name__}: {result}"
            try:
                with self._failures_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": job.key, "reason": reason}) + "\n")
            except OSError as error:
                raise self._unwritable(error) from error
        else:
            source = {**result.source, MARK: mark_of(result)}
            writer.add(replace(result, id=job.key, source=source), position=len(writer))

    def _forget(self) -> None:
        for name in FOUND:
            self.__dict__.pop(name, None)

    @property
    def _path(self) -> Path:
        return self.folder / STORE

    @property
    def _begun(self) -> bool:
        return self._path.is_file() or is_store(self._path)

    @property
    def _failures_file(self) -> Path:
        return self.folder / "failures.jsonl"

    @cached_property
    def _jobs(self) -> Sequence[Job]:
        jobs = self.jobs()
        counts = Counter(job.id for job in jobs)
        twice = next((name for name, count in counts.items() if count > 1), None)
        if twice is not None:
            raise DataError(f"{self.name}: two samples have the id '{twice}'; give their files different names")
        if not jobs:
            raise DataError(f"{self.name}: there are no samples to make")
        return jobs

    @cached_property
    def _store(self) -> Store:
        from edframe.data.store import Store

        if not self._begun:
            raise DataError(f"the samples of {self.name} are not made yet; `edframe data build {self.name}` with the "
                            "same --set does it")  # fmt: skip
        return Store(self._path, self._remedy)

    @cached_property
    def _kept(self) -> Mapping[str, int]:
        """Row of each key in the store."""
        return {key: row for row, key in enumerate(self._store.ids)} if self._begun else {}

    def _row(self, job: Job) -> int | None:
        """Where the sample of a job is in the store; None where it is not."""
        return next((self._kept[key] for key in job.keys if key in self._kept), None)

    @cached_property
    def _siblings(self) -> Siblings:
        return Siblings(cache_folder() / self.name)

    @cached_property
    def _elsewhere(self) -> Path | None:
        return self._siblings.folder_of(job.keys for job in self._jobs)

    @cached_property
    def _failed(self) -> Mapping[str, str]:
        """Reason by key, of what failed and was not made since."""
        if not self._failures_file.exists():
            return {}
        reasons = {}
        for line in self._failures_file.read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):  # a killed process may have left half a line
                record = json.loads(line)
                reasons[record["key"]] = str(record["reason"])
        return {key: reason for key, reason in reasons.items() if key not in self._kept}

    @cached_property
    def _made(self) -> Sequence[Job]:
        _ = self._store  # says what to do where there is none
        return [job for job in self._jobs if self._row(job) is not None]

    @cached_property
    def _groups(self) -> Sequence[int]:
        labels = [i if job.group is None else f"group {job.group}" for i, job in enumerate(self._made)]
        return merged(labels, copies(self.identities))

    @cached_property
    def _facts(self) -> Sequence[Mapping[str, Any]]:
        """All of each sample but its density."""
        return [self._store.facts(row) for row in self._rows]

    @cached_property
    def _ids(self) -> Sequence[str]:
        return [job.id for job in self._made]

    @cached_property
    def _rows(self) -> Sequence[int]:
        return [row for job in self._made if (row := self._row(job)) is not None]
