"""Where the files of a store are: a local folder, or anywhere fsspec reaches."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from edframe.errors import DataError


class Place(Protocol):
    """Files by key, such as ``record/c/0``."""

    def get(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        """A file, or its bytes from ``start`` (negative: from the end) to ``stop``. Raises OSError."""

    def put(self, key: str, data: bytes) -> None:
        """Write a file whole or not at all; it is durable when this returns. Raises OSError."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the right to write. Raises DataError when another writer has it."""


def place_of(url: str | Path) -> Place:
    """The files at a path or URL, which need not exist."""
    if isinstance(url, Path) or not ("://" in url or "::" in url):
        return Folder(Path(url))
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url} cannot be opened ({error})") from error
    return Folder(Path(path)) if isinstance(system, LocalFileSystem) else Remote(system, path)


class Folder:
    """A local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        descriptor = os.open(self.root / key, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            first, last, _ = slice(start, stop).indices(size)
            parts = []
            while first < last and (part := os.pread(descriptor, last - first, first)):  # at most 2 GiB at once
                parts.append(part)
                first += len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)

    def put(self, key: str, data: bytes) -> None:
        # There is one writer, so one name for unfinished files: what a killed writer left is written over.
        path, unfinished = self.root / key, self._beside("unfinished")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)  # the disk may be full
            raise
        _sync_folder(path.parent)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        import fcntl

        try:
            file = self._beside("lock").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                file.close()
                raise
        except BlockingIOError:
            raise DataError(
                f"{self.root} is being written by another process: wait for it to end, or write to another store"
            ) from None
        except OSError as error:
            raise DataError(f"{self.root} cannot be written ({error.strerror or error})") from error
        with file:
            yield

    def _beside(self, name: str) -> Path:
        # Inside an array, where Zarr libraries do not look for members of the group.
        folder = self.root / "index"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f".{name}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Remote:
    """A folder of an fsspec file system. Only one process may write; on object storage a file appears at once."""

    def __init__(self, system: Any, root: str) -> None:
        self.system = system
        self.root = root.rstrip("/")

    def get(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        data: bytes = self.system.cat_file(f"{self.root}/{key}", start=start, end=stop)
        return data

    def put(self, key: str, data: bytes) -> None:
        self.system.pipe_file(f"{self.root}/{key}", data)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()
