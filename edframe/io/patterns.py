"""Which files the patterns in a configuration mean, and names for what is in them."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from edframe.errors import DataError
from edframe.io.files import open_bytes, unpacking_errors

PREDICTED = "predicted by edframe"
"""In the title of each file of a density that a model made."""

NOT_DATA = (
    "its title says that a model of edframe predicted it; to learn from it all the same, name the file in data.files"
)
"""What is said of a prediction that a pattern matches."""


def select(patterns: Iterable[str], choose: Callable[[Path], Path | None], wanted: str) -> list[Path]:
    """The files that ``patterns`` mean, as absolute paths, each once, those of one pattern in order of their names.

    ``~`` is the home folder and ``**`` any number of folders; a name that has ``[``, ``*`` or ``?`` in it also means
    itself. choose: the file that a matched file or folder means, or None to pass it over; a file that is written out,
    without wildcards, means itself. wanted: what is looked for, in words. Raises DataError for a pattern that matches
    nothing, or nothing of that.
    """
    selected: dict[str, Path] = {}  # by what a link leads to, so that no file is two samples
    for pattern in patterns:
        written_out = Path(os.path.abspath(os.path.expanduser(pattern)))
        paths = _matches(pattern)
        files = [path if path == written_out and path.is_file() else choose(path) for path in paths]
        chosen = [file for file in files if file is not None]
        if not chosen:
            raise DataError(f"'{pattern}' matches {len(paths)} files and folders, but no {wanted}")
        for file in chosen:
            selected.setdefault(os.path.realpath(file), file)
    return list(selected.values())


def is_prediction(file: Path) -> bool:
    """Whether the title of a CHGCAR, cube or XSF says that the density is one of a model: nothing to learn from."""
    unreadable: tuple[type[Exception], ...] = (DataError, OSError, *unpacking_errors())
    try:
        with open_bytes(file) as stream:
            return PREDICTED.encode() in stream.read(400)
    except unreadable:  # which is said where the density is read
        return False


def names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few as distinguish all of them: ``si/run-03``, joined by ``/`` everywhere."""
    parts = [path.parts[1:] for path in paths]  # without the root
    tails: list[str] = []
    for count in range(1, max(map(len, parts), default=0) + 1):
        tails = ["/".join(part[-count:]) for part in parts]
        if len(set(tails)) == len(tails):
            break
    return tails


def stamp(path: Path) -> list[str | int]:
    """The path of a file, its size in bytes and the time of its last change in ns, by which a change is recognised.

    An absent file has size −1.
    """
    try:
        status = path.stat()
    except OSError:
        return [str(path), -1, 0]
    return [str(path), status.st_size, status.st_mtime_ns]


def _matches(pattern: str) -> list[Path]:
    absolute = Path(os.path.abspath(os.path.expanduser(pattern)))
    paths = {Path(absolute.anchor)}
    for part in absolute.parts[1:]:
        paths = {path for folder in paths for path in _within(folder, part)}
    if paths:
        return sorted(paths)
    existing = next(folder for folder in absolute.parents if folder.is_dir())
    raise DataError(f"'{pattern}' matches nothing; the nearest folder that exists is {existing}")


def _within(folder: Path, part: str) -> Iterator[Path]:
    """What one part of a pattern matches in a folder; first what has this very name, as ``slab[110]`` may be."""
    if os.path.lexists(folder / part):
        yield folder / part
    if part == "**":
        yield folder
    if glob.has_magic(part) and folder.is_dir():
        yield from (folder / name for name in glob.glob(part, root_dir=folder, recursive=True))
