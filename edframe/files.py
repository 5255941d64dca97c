"""Files that appear whole or not at all, and a lock for one process at a time."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def whole(path: Path, unfinished: Path | None = None) -> Iterator[IO[bytes]]:
    """A file to write that becomes ``path`` when all went well, and is on the disk then; its folder is made.

    unfinished: its name until then, where there is one writer: what a killed one left is written over. By default the
    name has the number of this process, so that two writers do not disturb each other. Raises OSError when it cannot
    be written; then ``path`` is what it was before.
    """
    unfinished = unfinished or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for place in (path, unfinished):
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk, too. Windows does that by itself, and opens no folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(lock: Path, *, wait: bool = False) -> Iterator[None]:
    """While open, no other process and no other caller in this one has the same ``lock``, a file of its own.

    wait: until the other has left; else BlockingIOError is raised. The system lets go when a process is killed.
    The lock's folder is made. Raises OSError when the file cannot be made.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said where the system has no locks: then a file that exists is one
        from filelock import FileLock, Timeout

    held = FileLock(lock, timeout=-1 if wait else 0)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held.acquire()
    except Timeout:
        raise BlockingIOError(f"{lock} is held by another process") from None
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def awaited(lock: Path, what: str) -> Iterator[bool]:
    """``locked``, and whether another process had the lock: then a line that says ``what`` it does, and a wait for it.

    Raises OSError when the file cannot be made.
    """
    with contextlib.ExitStack() as held:
        waited = False
        try:
            held.enter_context(locked(lock))
        except BlockingIOError:
            waited = True
            print(f"{what} by another process; waiting for it.", file=sys.stderr, flush=True)
            held.enter_context(locked(lock, wait=True))
        yield waited
