"""The grid of a file, for a density that is to lie on the same points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edframe.errors import DataError
from edframe.io import format_of, read
from edframe.io.poscar import read_head
from edframe.io.reading import Text
from edframe.io.vasp import GRID


@dataclass(frozen=True)
class Points:
    """shape: numbers of points along the axes. origin: of the first point in the file's frame, Å."""

    shape: tuple[int, ...]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


def points_of(path: Path) -> Points | None:
    """The grid of a volumetric file; None for a file that has atoms alone. Raises DataError as ``read`` does."""
    try:
        form = format_of(path)
    except DataError:
        return None
    if form != "chgcar":
        try:
            volume = read(path, quantity="field")
        except DataError:
            if form == "xsf":  # of atoms alone
                return None
            raise
        return Points(volume.grid.shape, volume.origin)
    with Text(path) as text:  # a POSCAR may be named ….vasp, too
        read_head(text)
        for line in iter(text.line, ""):
            if match := GRID.fullmatch(line):
                return Points(tuple(map(int, match.groups())))
            if line.strip():
                break
    return None
