"""XCrySDen's XSF files: a crystal and one or more 3D grids over its primitive cell.

The format has no units for values. What they are follows from the title of the block of grids:

| title of the block                 | quantity and unit                                          |
|------------------------------------|------------------------------------------------------------|
| density_e/A^3, potential_eV, field | as it says; written here, with the names of the fields     |
| 3D_PWSCF                           | density, e/bohr³: from pp.x of Quantum ESPRESSO            |
| any other                          | density, e/Å³, for lengths are in Å: check the integral    |

Several grids without one of the first three titles are fields, as their values are. A grid is a general one: its
last plane along each axis repeats the first. It is dropped on reading and added on writing. Forces are not read. Values
are written with 10 digits, lengths with 12 decimals. Source of the format: http://www.xcrysden.org/doc/XSF.html

Over 200 lines: each section of the format has its own errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.digits import scientific
from edframe.io.files import replacing
from edframe.io.heads import element, floats, integer, next_words, periodic_grid
from edframe.io.reading import Text
from edframe.io.units import BOHR
from edframe.io.volume import Quantity, Volume

TITLES: dict[Quantity, str] = {"density": "density_e/A^3", "potential": "potential_eV", "field": "field"}
"""Of the blocks that are written here, by the quantity."""

ESPRESSO = "3D_PWSCF"

REPEATED = 1e-4
"""By how much the last plane may differ from the first, and the edges from the cell: files have few digits."""

_GRID = re.compile(r"(?:BEGIN_)?DATAGRID_3D_?(.*)")


@dataclass(frozen=True)
class _Field:
    block: str
    label: str
    origin: NDArray[np.float64]
    values: NDArray[np.float64]


def read(path: Path) -> Volume:
    """The atoms and grids of a crystal; the remarks before it are the comment.

    Raises DataError, with the line, for what is malformed, cut off or
    not finite, for what has no cell, and for grids that are not general ones over the primitive cell.
    """
    cell: NDArray[np.float64] | None = None
    species: list[Element] = []
    positions: NDArray[np.float64] = np.empty((0, 3))
    found: list[_Field] = []
    with Text(path) as text:
        comment = _start(text)
        while line := _next_line(text):
            keyword = line.split()[0]
            if keyword == "PRIMVEC":
                cell = _vectors(text, "a lattice vector")
                periodic_grid(text, cell, (1, 1, 1))
            elif keyword == "CONVVEC":
                _vectors(text, "a lattice vector")
            elif keyword == "PRIMCOORD":
                species, positions = _atoms(text)
            elif keyword in ("BEGIN_BLOCK_DATAGRID_3D", "BEGIN_BLOCK_DATAGRID3D") and cell is not None and species:
                found += _block(text, cell, found)
            else:
                raise text.error(
                    f"{text.shown(keyword)} stands where PRIMVEC, PRIMCOORD or, after both, BEGIN_BLOCK_DATAGRID_3D "
                    "should be; only one crystal with 3D grids is read"
                )
        if cell is None or not species or not found:
            raise text.error("the file ends without a cell, atoms and a 3D grid; all three are needed")
    origin = found[0].origin
    names, quantity, unit = _meaning(found)
    fields = {name: field.values for name, field in zip(names, found, strict=True)}
    for values in fields.values():
        values *= unit
        if not np.isfinite(values).all():
            raise DataError(f"{path}: it has values too large for a density; make the file anew")
    return Volume(
        Structure(Lattice(cell), species, positions - origin, coords_are_cartesian=True),
        Grid.of(cell, found[0].values.shape),
        fields,
        quantity=quantity,
        comment=comment,
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
    )


def write(path: Path, volume: Volume) -> None:
    """Write a crystal with its fields, in e/Å³ or eV, under titles by which ``read`` knows them.

    Raises DataError for a grid that has not three axes, for atoms that are no elements, and for values that are not
    finite or 1e99 and above.
    """
    grid, structure = volume.grid, volume.structure
    if grid.dimension != 3:
        raise DataError(f"{path}: an XSF file has grids of three axes, not {grid.dimension}")
    if not structure.is_ordered:
        raise DataError(f"{path}: a site is shared by several species, which an XSF file cannot say; order them first")
    origin = np.array(volume.origin)
    remarks = [f"# {line}" for line in volume.comment.splitlines()]
    atoms = zip(structure.atomic_numbers, structure.cart_coords + origin, strict=True)
    head = [*remarks, "CRYSTAL", "PRIMVEC", *map(_row, grid.vectors), "PRIMCOORD", f"{len(structure)} 1"]
    head += [f"{z:3d}{_row(at)}" for z, at in atoms]
    head += ["BEGIN_BLOCK_DATAGRID_3D", f"  {TITLES[volume.quantity]}"]
    shape = " ".join(str(n + 1) for n in grid.shape)
    with replacing(path) as file:
        file.write(("\n".join(head) + "\n").encode())
        for name, values in volume.fields.items():
            label = "_".join(name.split())
            rows = [f"  BEGIN_DATAGRID_3D_{label}", shape, _row(origin), *map(_row, grid.vectors)]
            file.write(("\n".join(rows) + "\n").encode())
            try:
                for z in (*range(grid.shape[2]), 0):
                    plane = np.pad(values[:, :, z].T, [(0, 1)] * 2, mode="wrap")
                    file.writelines(scientific(plane, 10, 17))
            except ValueError as error:
                raise DataError(f"{path} cannot be written: {error}") from error
            file.write(b"  END_DATAGRID_3D\n")
        file.write(b"END_BLOCK_DATAGRID_3D\n")


def _start(text: Text) -> str:
    """The remarks up to CRYSTAL, which is refused where another kind of system begins."""
    remarks = []
    for line in iter(text.line, ""):
        word = line.strip()[:40]
        if word in ("MOLECULE", "ATOMS", "POLYMER", "SLAB"):
            raise text.error(f"{word} has no cell in all three directions; write it as a CRYSTAL, in a box")
        if word.startswith("#"):
            remarks.append(line.strip()[1:].strip())
        elif word == "CRYSTAL":
            return "\n".join(remarks)
        elif word:
            raise text.error(
                f"{text.shown(word)} stands where CRYSTAL should be; trajectories and other formats are not read"
            )
    raise text.error("the file ends before CRYSTAL: it is empty, or was cut off")


def _next_line(text: Text) -> str:
    """The next line that is neither blank nor a remark; empty at the end of the file."""
    for line in iter(text.line, ""):
        if line.strip() and not line.lstrip().startswith("#"):
            return line.strip()
    return ""


def _vectors(text: Text, what: str) -> NDArray[np.float64]:
    return np.array([_three(text, what) for _ in range(3)])


def _three(text: Text, what: str) -> NDArray[np.float64]:
    words = next_words(text, what)
    if len(words) != 3:
        raise text.error(f"{what}, three numbers, should be here")
    return floats(text, words, what)


def _atoms(text: Text) -> tuple[list[Element], NDArray[np.float64]]:
    """Elements and positions ``[atom, 3]`` in Å."""
    words = next_words(text, "the number of atoms")
    count = integer(text, words[0], "the number of atoms") if words else 0
    if count < 1 or len(words) > 2:
        raise text.error("the number of atoms, and then 1, should be here")
    species, positions = [], []
    for index in range(count):
        words = next_words(text, f"atom {index + 1} of {count}")
        if len(words) not in (4, 7):
            raise text.error(f"atom {index + 1} of {count} should be here: a species and three coordinates")
        species.append(element(text, words[0]))
        positions.append(floats(text, words[1:4], "a coordinate"))
    return species, np.array(positions)


def _block(text: Text, cell: NDArray[np.float64], before: Sequence[_Field]) -> list[_Field]:
    """The grids of one block, to its end."""
    block = text.line().strip()
    found: list[_Field] = []
    while (line := _next_line(text)).split()[:1] not in (["END_BLOCK_DATAGRID_3D"], ["END_BLOCK_DATAGRID3D"]):
        match = _GRID.fullmatch(line)
        if not match:
            raise text.error(f"{text.shown(line)} stands where BEGIN_DATAGRID_3D_… or END_BLOCK_DATAGRID_3D should be")
        found.append(_grid(text, cell, block, match[1].strip()))
        first = [*before, *found][0]
        if found[-1].values.shape != first.values.shape or not np.allclose(found[-1].origin, first.origin):
            raise text.error("this grid has another shape or origin than the first one; put it into a file of its own")
    return found


def _grid(text: Text, cell: NDArray[np.float64], block: str, label: str) -> _Field:
    words = next_words(text, "the shape of the grid")
    shape = [integer(text, word, "a number of points") for word in words]
    if len(shape) != 3 or min(shape) < 2:
        raise text.error("the shape of the grid should be here: three numbers of points, each 2 or more")
    origin = _three(text, "the origin of the grid")
    edges = _vectors(text, "an edge of the grid")
    if np.abs(edges - cell).max() > REPEATED * np.linalg.norm(cell, axis=1).max():
        raise text.error("the edges of the grid are not PRIMVEC; only grids over one whole primitive cell are read")
    count = shape[0] * shape[1] * shape[2]
    if not text.has_room_for(count):
        raise text.error(f"{count} values should follow, more than the file has room for: it was cut off")
    numbers = np.empty(count)
    text.numbers(numbers, 0, count, "the grid")
    if not (line := _next_line(text)).startswith("END_DATAGRID"):
        raise text.error(f"{text.shown(line)} stands where END_DATAGRID_3D should be; correct the numbers of points")
    values = numbers.reshape(shape[::-1]).T
    largest = max(numbers.max(), -numbers.min())
    for axis in range(3):
        first, last = np.moveaxis(values, axis, 0)[[0, -1]]
        if not np.abs(first - last).max() <= REPEATED * largest:
            raise text.error(
                f"the last plane of axis {axis + 1} does not repeat the first: it is not periodic, or lacks the plane"
            )
    return _Field(block, label, origin, values[:-1, :-1, :-1])


def _meaning(found: Sequence[_Field]) -> tuple[list[str], Quantity, float]:
    """Names of the fields, what they are, and the unit of the values in edframe's."""
    labels, blocks = [field.label for field in found], {field.block for field in found}
    distinct = len(set(labels)) == len(labels) and all(labels)
    names = labels if distinct else [f"field_{k + 1}" for k in range(len(labels))]
    for quantity, title in TITLES.items():
        if blocks == {title} and distinct:
            return names, quantity, 1.0
    if len(found) > 1:
        return names, "field", 1.0
    return ["total"], "density", BOHR**-3 if blocks == {ESPRESSO} else 1.0


def _row(numbers: NDArray[np.float64]) -> str:
    return "".join(f" {number:18.12f}" for number in numbers)
