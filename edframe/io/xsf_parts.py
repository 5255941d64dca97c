"""The sections of an XSF file as they are there, in any order: kinds, cells, atoms of one or more steps, 3D grids.

Read as XCrySDen's page and the writers have them: Quantum ESPRESSO, ABINIT's cut3d (DIM-GROUP, ATOMS behind PRIMCOORD,
DATAGRID without BEGIN), ASE, sisl, SIESTA (ATOMS of molecules, RECIP-PRIMVEC, several steps). Forces are not read.
Source: http://www.xcrysden.org/doc/XSF.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from edframe.io.heads import element, floats, integer, is_ghost, next_words
from edframe.io.reading import Text

KINDS = {"MOLECULE": 0, "POLYMER": 1, "SLAB": 2, "CRYSTAL": 3}
"""Keyword and number of periodic directions."""

_GRID = re.compile(r"(?:BEGIN_)?DATAGRID_?3D_?(.*)")
_BLOCK_END = ("END_BLOCK_DATAGRID_3D", "END_BLOCK_DATAGRID3D")


@dataclass(frozen=True)
class RawGrid:
    """A general grid. block, label: its titles. edges ``[3, 3]``: the vectors that it spans, from the first point to
    the last by the format's rule. values ``[x, y, z]``. line: where it ends, for errors."""

    block: str
    label: str
    origin: NDArray[np.float64]
    edges: NDArray[np.float64]
    values: NDArray[np.float64]
    line: int


@dataclass
class Parts:
    """What a file holds.

    periodic: directions that repeat. steps: species and positions (Å) of each, ghosts left out.
    """

    comment: str = ""
    periodic: int = 3
    cells: list[NDArray[np.float64]] = field(default_factory=list)
    conventional: NDArray[np.float64] | None = None
    steps: list[tuple[list[Element], NDArray[np.float64]]] = field(default_factory=list)
    ghosts: int = 0
    grids: list[RawGrid] = field(default_factory=list)


def parts(text: Text) -> Parts:
    """All sections up to the end of the file. Raises DataError, with the line, for what is malformed or cut off."""
    content, begun, remarks, bare = Parts(), False, [], False
    while line := text.line():
        word, _, rest = line.strip().partition(" ")
        if word.startswith("#") and not begun:
            remarks.append(line.strip()[1:].strip())
        if not word or word.startswith("#"):
            continue
        keyword = word.upper()
        if keyword in KINDS:
            content.periodic = KINDS[keyword]
        elif keyword in ("DIM-GROUP", "DIM_GROUP", "DIMGROUP"):
            content.periodic = integer(text, next_words(text, "the dimension")[0], "the dimension, 0 to 3")
        elif keyword == "ANIMSTEPS":
            integer(text, rest.strip(), "the number of steps")
        elif keyword == "PRIMVEC":
            content.cells.append(_vectors(text, "a lattice vector"))
        elif keyword in ("CONVVEC", "RECIP-PRIMVEC", "RECIP-CONVVEC"):
            other = _vectors(text, "a lattice vector")
            content.conventional = other if keyword == "CONVVEC" else content.conventional
        elif keyword in ("PRIMCOORD", "CONVCOORD"):
            step = _counted_atoms(text)
            if keyword == "PRIMCOORD":
                content.ghosts += len(step[1]) - len(step[0])
                content.steps.append(_real(step))
        elif keyword == "ATOMS":
            step = _atoms(text)
            if not begun:
                content.periodic = 0
            if bare or not content.steps:  # behind PRIMCOORD it says the same atoms again
                bare = True
                content.ghosts += sum(kind is None for kind in step[0])
                content.steps.append(_real(step))
        elif keyword == "BEGIN_INFO":
            while (line := text.line()) and line.strip().upper() != "END_INFO":
                pass
        elif keyword in ("BEGIN_BLOCK_DATAGRID_3D", "BEGIN_BLOCK_DATAGRID3D") and content.steps:
            _block(text, content)
        elif begun:
            raise text.error(
                f"{text.shown(word)} appears where PRIMVEC, PRIMCOORD, ATOMS or, after these, BEGIN_BLOCK_DATAGRID_3D "
                "should be; only structures with 3D grids are read"
            )
        else:
            raise text.error(f"{text.shown(word)} appears where CRYSTAL, SLAB, POLYMER, MOLECULE or ATOMS should be")
        begun = True
    if not begun:
        raise text.error("the file ends before CRYSTAL or another kind of structure: it is empty, or was cut off")
    content.comment = "\n".join(remarks)
    return content


def _real(step: tuple[list[Element | None], NDArray[np.float64]]) -> tuple[list[Element], NDArray[np.float64]]:
    kinds, positions = step
    real = [index for index, kind in enumerate(kinds) if kind is not None]
    return [kind for kind in kinds if kind is not None], positions[real]


def _vectors(text: Text, what: str) -> NDArray[np.float64]:
    return np.array([_three(text, what) for _ in range(3)])


def _three(text: Text, what: str) -> NDArray[np.float64]:
    words = next_words(text, what)
    if len(words) != 3:
        raise text.error(f"{what}, three numbers, should be here")
    return floats(text, words, what)


def _counted_atoms(text: Text) -> tuple[list[Element | None], NDArray[np.float64]]:
    """Elements, None for ghosts, and positions ``[atom, 3]`` in Å."""
    words = next_words(text, "the number of atoms")
    count = integer(text, words[0], "the number of atoms") if words else 0
    if count < 1 or len(words) > 2:
        raise text.error("the number of atoms, and then 1, should be here")
    rows = [next_words(text, f"atom {index + 1} of {count}") for index in range(count)]
    for index, words in enumerate(rows):
        if len(words) not in (4, 7):
            raise text.error(
                f"atom {index + 1} of {count} should be here: a species and three coordinates",
                text.number - count + index + 1,
            )
    return _of_rows(text, rows)


def _atoms(text: Text) -> tuple[list[Element | None], NDArray[np.float64]]:
    """The same, of a section without a count: it ends at a line without species and coordinates."""
    rows = []
    while line := text.line():
        words = line.split()
        if words and not words[0].startswith("#"):
            if len(words) not in (4, 7):
                text.back(line)
                break
            rows.append(words)
    if not rows:
        raise text.error("atoms should be here: a species and three coordinates each")
    return _of_rows(text, rows)


def _of_rows(text: Text, rows: list[list[str]]) -> tuple[list[Element | None], NDArray[np.float64]]:
    kinds = [None if is_ghost(words[0]) else element(text, words[0]) for words in rows]
    return kinds, np.array([floats(text, words[1:4], "a coordinate") for words in rows])


def _block(text: Text, content: Parts) -> None:
    """The grids of one block, to its end."""
    block = text.line().strip()
    while (line := _next_line(text)).upper() not in _BLOCK_END:
        match = _GRID.fullmatch(line)
        if not match:
            raise text.error(f"{text.shown(line)} appears where BEGIN_DATAGRID_3D_… or END_BLOCK_DATAGRID_3D should be")
        content.grids.append(_grid(text, block, match[1].strip()))
        first, last = content.grids[0], content.grids[-1]
        if (
            last.values.shape != first.values.shape
            or not np.allclose(last.origin, first.origin)
            or not np.allclose(last.edges, first.edges)
        ):
            raise text.error("this grid has another shape or origin than the first one; put it into a file of its own")


def _grid(text: Text, block: str, label: str) -> RawGrid:
    words = next_words(text, "the shape of the grid")
    shape = [integer(text, word, "a number of points") for word in words]
    if len(shape) != 3 or min(shape) < 2:
        raise text.error("the shape of the grid should be here: three numbers of points, each 2 or more")
    origin = _three(text, "the origin of the grid")
    edges = _vectors(text, "an edge of the grid")
    count = shape[0] * shape[1] * shape[2]
    if not text.has_room_for(count):
        raise text.error(f"{count} values should follow, more than the file has room for: it was cut off")
    numbers = np.empty(count)
    text.numbers(numbers, 0, count, "the grid")
    if not (line := _next_line(text)).upper().startswith("END_DATAGRID"):
        raise text.error(f"{text.shown(line)} appears where END_DATAGRID_3D should be; correct the numbers of points")
    return RawGrid(block, label, origin, edges, numbers.reshape(shape[::-1]).T, text.number)


def _next_line(text: Text) -> str:
    """The next line that is neither blank nor a remark; empty at the end of the file."""
    for line in iter(text.line, ""):
        if line.strip() and not line.lstrip().startswith("#"):
            return line.strip()
    return ""
