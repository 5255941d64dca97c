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
from edframe.files import locked, whole


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
        with (self.root / key).open("rb", buffering=0) as file:
            first, last, _ = slice(start, stop).indices(os.fstat(file.fileno()).st_size)
            file.seek(first)
            parts = []
            while first < last and (part := file.read(last - first)):  # at most 2 GiB at once
                parts.append(part)
                first += len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def put(self, key: str, data: bytes) -> None:
        with whole(self.root / key, unfinished=self._beside("unfinished")) as file:
            file.write(data)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self._beside("lock")))
            except BlockingIOError:
                raise DataError(
                    f"{self.root} is being written by another process: wait for it to end, or write to another store"
                ) from None
            except OSError as error:
                raise DataError(f"{self.root} cannot be written ({error.strerror or error})") from error
            yield

    def _beside(self, name: str) -> Path:
        # Inside an array, where Zarr libraries do not look for members of the group.
        return self.root / "index" / f".{name}"


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
