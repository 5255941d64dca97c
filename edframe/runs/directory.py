"""A run on disk: configuration, provenance, events and checkpoints. Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edframe.errors import RunError, command
from edframe.files import locked, whole
from edframe.runs.events import Evaluated, Event, read, step_of, to_lines
from edframe.runs.tensors import CHECKSUM, check, pieces
from edframe.version import API_VERSION

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from torch import Tensor

FORMAT = 1
"""Layout of a run directory; raised when older ones can no longer be read."""

LOCK = ".lock"
"""Held by the process that trains in a run directory."""


@dataclass(frozen=True)
class Run:
    """A run directory. ``create`` makes one, ``open`` checks an existing one."""

    path: Path

    @classmethod
    def create(cls, folder: Path, name: str, config: str) -> Run:
        """Make ``folder/<UTC time>-<name>-<short id>`` with provenance.json and config.yaml. Raises RunError."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        run = cls(folder / f"{stamp}-{name}-{secrets.token_hex(3)}")
        try:
            (run.path / "checkpoints").mkdir(parents=True)
            _write_whole(run.path / "provenance.json", json.dumps({"format": FORMAT, "status": "created"}).encode())
            _write_whole(run.path / "config.yaml", config.encode())  # last: it makes the folder a run
        except OSError as error:
            shutil.rmtree(run.path, ignore_errors=True)
            raise RunError(f"{run.path} cannot be made: {_reason(error)}; choose another folder by --runs") from error
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises RunError when it is not one, or one of another format."""
        run = cls(path)
        if not (path / "config.yaml").is_file():
            raise RunError(f"{path} is not a run directory: it has no config.yaml; give a folder made by `edframe run`")
        provenance = run.provenance()
        if provenance.get("format") != FORMAT:
            made_by = provenance.get("versions", {}).get("edframe", "unknown")
            raise RunError(
                f"{path} has format {provenance.get('format')} (edframe {made_by}) and this edframe reads format "
                f"{FORMAT}: install that version to continue it, or repeat it by {run.again}"
            )
        return run

    @property
    def again(self) -> str:
        """The command that repeats it from its configuration, for messages."""
        return command("edframe", "run", self.path / "config.yaml")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While open, no other process trains in this run. Raises RunError when one does, or it cannot be written."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self.path / LOCK))
            except BlockingIOError as error:
                raise RunError(f"{self.path} is being run by another process; wait for it, or stop it") from error
            except OSError as error:
                raise self._write_error(LOCK, error) from error
            yield

    def write(self, name: str, content: bytes | Iterable[bytes | memoryview]) -> None:
        """Write a file whole: temporary, fsync, rename. Raises RunError, leaving the old file, when that fails."""
        try:
            _write_whole(self.path / name, content)
        except OSError as error:
            raise self._write_error(name, error) from error

    def _write_error(self, name: str, error: OSError) -> RunError:
        return RunError(
            f"{self.path / name} cannot be written: {_reason(error)}; what was saved before is intact: fix that, then "
            f"continue by {command('edframe', 'run', '--resume', self.path)}"
        )

    def provenance(self) -> dict[str, Any]:
        """What is known about how the run was made. Raises RunError when the file is absent or damaged."""
        try:
            return dict(json.loads((self.path / "provenance.json").read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise RunError(
                f"{self.path / 'provenance.json'} cannot be read ({error}); repeat the run by {self.again}"
            ) from error

    def require_finished(self) -> None:
        """Raises RunError, with the command that continues it, for a run that has not ended."""
        status = self.provenance().get("status")
        if status != "finished":
            how = command("edframe", "run", "--resume", self.path)
            raise RunError(f"{self.path} is {status}, not finished; continue it by {how}")

    def fingerprint(self) -> str:
        """Of the data it was made from. Raises RunError when provenance.json does not have it."""
        with self.reading("provenance.json"):
            return str(self.provenance()["dataset"]["fingerprint"])

    def record(self, **facts: Any) -> None:
        """Merge facts into provenance.json."""
        known = self.provenance()
        self.write("provenance.json", json.dumps({**known, **facts}, indent=2, ensure_ascii=False).encode())

    def log(self, *events: Event) -> None:
        """Append events to metrics.jsonl, one line each."""
        try:
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(to_lines(events))
        except OSError as error:
            raise self._write_error("metrics.jsonl", error) from error

    def events(self) -> list[Event]:
        """All events; a last line cut short by a kill is left out. Raises RunError for another damaged line."""
        target = self.path / "metrics.jsonl"
        return read(target) if target.exists() else []

    def rewind(self, step: int, trained: bool = False) -> None:
        """Drop the events of later steps, and every result, so that a resumed run logs each event once.

        trained: nothing is left to train, so that what was evaluated stays.
        """

        def stays(event: Event) -> bool:
            at = step_of(event)
            return (trained and isinstance(event, Evaluated)) if at is None else at <= step

        kept = [event for event in self.events() if stays(event)]
        self.write("metrics.jsonl", to_lines(kept).encode())

    def save_tensors(
        self, name: str, tensors: Mapping[str, Shaped[Tensor, "..."]], metadata: Mapping[str, str]
    ) -> None:
        """Write a safetensors file whole; the header carries the format, the plugin API and the configuration."""
        config = (self.path / "config.yaml").read_text(encoding="utf-8")
        header = {"format": str(FORMAT), "api": str(API_VERSION), "config": config, **metadata}
        self.write(name, pieces(tensors, header))

    def load_tensors(self, name: str) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, str]]:
        """Read a safetensors file and its header. Raises RunError when it is absent or damaged."""
        from safetensors import SafetensorError, safe_open

        target = self.path / name
        try:
            check(target)
            with safe_open(target, framework="pt") as file:
                header = {key: text for key, text in (file.metadata() or {}).items() if key != CHECKSUM}
                return {key: file.get_tensor(key) for key in file.keys()}, header  # noqa: SIM118
        except FileNotFoundError as error:
            raise RunError(
                f"{target} is not there; restore it from a copy, or repeat the run by {self.again}"
            ) from error
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(
                f"{target} is damaged, it may have been cut short ({error}); restore it from a copy, or repeat the "
                f"run by {self.again}"
            ) from error

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """While open, what a file or its header lacks or holds wrongly raises RunError, which names the file."""
        try:
            yield
        except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            wrong = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read: {error}"
            raise RunError(
                f"{self.path / name} is not what edframe writes there: it {wrong}; restore it from a copy, or "
                f"repeat the run by `edframe run {self.path / 'config.yaml'}`"
            ) from error

    def header(self, name: str) -> dict[str, str]:
        """The header of a safetensors file alone, without its tensors; empty where it is absent or damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / name, framework="numpy") as file:
                return dict(file.metadata() or {})
        except (SafetensorError, OSError):
            return {}

    def config(self) -> dict[str, Any]:
        """config.yaml as plain data. Raises RunError when it cannot be read."""
        try:
            return dict(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")) or {})
        except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise RunError(f"{self.path / 'config.yaml'} cannot be read ({error}); restore it from a copy") from error


def _write_whole(target: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    with whole(target, unfinished=target.with_name(f".{target.name}.tmp")) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


def _reason(error: OSError) -> str:
    return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
