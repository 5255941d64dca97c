"""Opening and replacing files: packed ones by their content, whole or not at all, errors that name the file."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from edframe.errors import DataError, imported
from edframe.files import whole

PACKED = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4")
"""Endings of packed files; of zst and lz4, the libraries zstandard and lz4 are needed (``edframe[packed]``)."""

MAGIC = {
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ\0": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"\x04\x22\x4d\x18": ".lz4",
}
"""How packed files begin."""

DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, RuntimeError)
"""What unpacking a damaged file raises; lz4 raises RuntimeError, zstandard its own error, see ``unpacking_errors``."""


def plain_name(name: str) -> str:
    """A file's name without the endings that say how it is packed: ``CHGCAR.gz`` → ``CHGCAR``."""
    while name.lower().endswith(PACKED):
        name = name[: name.rindex(".")]
    return name


def packed_ending(name: str) -> str:
    """The last ending of a name that says how the file is packed; empty where it is not."""
    return next((name[-len(end) :] for end in PACKED if name.lower().endswith(end)), "")


def either(path: Path) -> Path | None:
    """``path``, or the packed file of that name where there is none; None where there is neither."""
    return next((file for end in ("", *PACKED) if (file := path.with_name(path.name + end)).is_file()), None)


def packing(path: Path) -> str:
    """How a file is packed, by its first bytes: an ending of PACKED, or empty. Raises DataError as ``open_bytes``."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    packed = next((ending for magic, ending in MAGIC.items() if start.startswith(magic)), "")
    ending = packed_ending(path.name).lower()
    if not packed and ending == ".lzma":  # the old form has no magic number
        return ending
    if ending and not packed:
        raise DataError(f"{path} cannot be read: its name ends in {ending}, and it is not packed so; correct its name")
    return packed


def open_bytes(path: Path) -> IO[bytes]:
    """Open for reading; what is inside a packed file, whatever its name.

    Raises DataError when there is no such file, when its name says that it is packed and it is not, and when the
    library that unpacks it is not installed. Reading from it raises one of ``unpacking_errors()`` where it is damaged.
    """
    ending = packing(path)
    try:
        return _OPEN[ending](path) if ending else path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error


def unpacking_errors() -> tuple[type[Exception], ...]:
    """What reading from ``open_bytes`` raises where a file is damaged."""
    with contextlib.suppress(ImportError):
        return (*DAMAGED, cast("type[Exception]", importlib.import_module("zstandard").ZstdError))
    return DAMAGED


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that becomes ``path`` when all went well; packed as its name says.

    Raises DataError when it cannot be written; then ``path`` is what it was before.
    """
    try:
        with whole(path) as raw:
            if path.suffix.lower() in PACKED:
                with _packed(raw, path) as packed:
                    yield packed
            else:
                yield raw
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})") from error


def _packed(raw: IO[bytes], path: Path) -> IO[bytes]:
    """A file to write into ``raw``, with the same bytes every time."""
    match path.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.GzipFile(path.stem, "wb", 6, raw, mtime=0))
        case ".bz2":
            return cast("IO[bytes]", bz2.BZ2File(raw, "wb"))
        case ".zst":
            writer = imported("zstandard", "packed", f"{path}").ZstdCompressor().stream_writer(raw, closefd=False)
            return io.BufferedWriter(writer)  # it has no writelines of its own
        case ".lz4":
            return cast("IO[bytes]", imported("lz4.frame", "packed", f"{path}").LZ4FrameFile(raw, "wb"))
        case ending:
            form = lzma.FORMAT_ALONE if ending == ".lzma" else lzma.FORMAT_XZ
            return cast("IO[bytes]", lzma.LZMAFile(raw, "wb", format=form))


def _xz(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", lzma.LZMAFile(path, "rb"))


_OPEN: dict[str, Callable[[Path], IO[bytes]]] = {
    ".gz": lambda path: cast("IO[bytes]", gzip.GzipFile(path, "rb")),
    ".bz2": lambda path: cast("IO[bytes]", bz2.BZ2File(path, "rb")),
    ".xz": _xz,
    ".lzma": _xz,
    ".zst": lambda path: cast("IO[bytes]", imported("zstandard", "packed", f"{path}").open(path, "rb")),
    ".lz4": lambda path: cast("IO[bytes]", imported("lz4.frame", "packed", f"{path}").open(path, "rb")),
}
