"""XCrySDen's XSF files: a structure and one or more 3D grids over its cell, or over a box around it.

The format has no units for values. What they are follows from the title of the block of grids:

| title of the block                 | quantity and unit                                                     |
|------------------------------------|-----------------------------------------------------------------------|
| density_e/A^3, potential_eV, field | as it says; written here, with the names of the fields                |
| 3D_PWSCF                           | density, e/bohr³: from pp.x of Quantum ESPRESSO                       |
| any other                          | density, in whichever of e/bohr³ and e/Å³ the atoms have their electrons |

Several grids without one of the first three titles are fields, as their values are; so is one whose title, label or
name says what is no density. Which voxels the points are: see ``edframe.io.general_grids``. On writing, the last plane
along each axis repeats the first. Values are written with 10 digits, lengths with 12 decimals. Source of the format:
http://www.xcrysden.org/doc/XSF.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.digits import scientific
from edframe.io.files import replacing
from edframe.io.general_grids import Reading, over_box, over_cell
from edframe.io.heads import periodic_grid
from edframe.io.meaning import other_quantity
from edframe.io.reading import Text
from edframe.io.units import factor
from edframe.io.valence import is_neutral
from edframe.io.volume import Quantity, Volume
from edframe.io.xsf_parts import Parts, RawGrid, parts
from edframe.memory import release

TITLES: dict[Quantity, str] = {"density": "density_e/A^3", "potential": "potential_eV", "field": "field"}
"""Of the blocks that are written here, by the quantity."""

ESPRESSO = "3D_PWSCF"


def read(path: Path) -> Volume:
    """The atoms and grids of a file; the remarks before them are the comment. ``unit`` is None where it is open.

    Raises DataError, with the line, for what is malformed, cut off or not finite, for several steps, and for a grid
    that is not over whole cells.
    """
    with Text(path) as text:
        content = parts(text)
        if not content.grids or not content.steps:
            raise text.error("the file ends without atoms and a 3D grid; both are needed")
        if len(content.steps) > 1:
            raise text.error(f"it has {len(content.steps)} steps, and a grid is of one of them; take the others out")
        if not content.steps[0][0]:
            raise text.error("all atoms are ghosts, without nuclei; a density of no atom is of no use here")
        if not content.cells and content.periodic:
            raise text.error("the file ends without PRIMVEC, the cell of the crystal")
        names, quantity, unit, note = _meaning(content.grids, content, path)
        way = _way(text, content, quantity, unit)
    notes = [note, way.note, f"ghost atoms, left out: {content.ghosts}" if content.ghosts else ""]
    fields = {}
    for name, raw in zip(names, content.grids, strict=True):
        fields[name] = np.ascontiguousarray(way.of(raw.values))
        if unit is not None:
            fields[name] *= factor(unit, Grid.of(way.cell, fields[name].shape))
        if not np.isfinite(fields[name]).all() or np.abs(fields[name]).max() > 1e300:
            raise DataError(f"{path}: it has values too large for a density; make the file again")
    origin = content.grids[0].origin
    return Volume(
        _structure(content, way.cell, origin),
        Grid.of(way.cell, fields[names[0]].shape),
        fields,
        quantity=quantity,
        comment=content.comment,
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        unit=unit,
        notes=tuple(sentence for sentence in notes if sentence),
    )


def write(path: Path, volume: Volume) -> None:
    """Write a crystal with its fields, in e/Å³ or eV, under titles by which ``read`` knows them.

    Raises DataError for a grid that has not three axes, for atoms that are not elements, and for values that are not
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
                    release(values)
            except ValueError as error:
                raise DataError(f"{path} cannot be written: {error}") from error
            file.write(b"  END_DATAGRID_3D\n")
        file.write(b"END_BLOCK_DATAGRID_3D\n")


def _way(text: Text, content: Parts, quantity: Quantity, unit: str | None) -> Reading:
    """How the grids are taken. Raises DataError where they are not over whole cells."""
    raw = content.grids[0]
    units = (unit,) if unit is not None else ("e/bohr³", "e/Å³")
    numbers = [kind.Z for kind in content.steps[0][0]]

    def fits(mean: float, cell: NDArray[np.float64]) -> bool:
        if quantity != "density":  # nothing is known of its sum, and only a repeated plane can be dropped
            return True
        grid = Grid.of(cell, 1)
        crystal = bool(content.cells) and content.periodic == 3
        copies = round(grid.volume / abs(np.linalg.det(content.cells[0]))) if crystal else 1
        return any(is_neutral(mean * grid.volume * factor(each, grid) / copies, numbers) for each in units)

    def box() -> Reading:
        periodic_grid(text, raw.edges, (1, 1, 1))
        return over_box(raw.edges, raw.values, fits)

    if not content.cells:
        return box()
    periodic_grid(text, content.cells[0], (1, 1, 1))
    way = over_cell(content.cells[0], raw.edges, raw.values, fits)
    if isinstance(way, str):
        if content.periodic == 3:
            raise text.error(way, raw.line)
        return box()
    return way


def _structure(content: Parts, cell: NDArray[np.float64], origin: NDArray[np.float64]) -> Structure:
    """The atoms in the cell of the grid, repeated where that is a larger one, relative to its first point."""
    species, positions = content.steps[0]
    primitive = content.cells[0] if content.cells and content.periodic == 3 else cell
    whole = np.rint(cell @ np.linalg.inv(primitive)).astype(int)
    structure = Structure(Lattice(primitive), species, positions - origin, coords_are_cartesian=True)
    if np.array_equal(whole, np.eye(3)):
        return Structure(Lattice(cell), species, positions - origin, coords_are_cartesian=True)
    larger = structure.make_supercell(whole, to_unit_cell=True, in_place=False)
    return Structure(Lattice(cell), larger.species, larger.cart_coords, coords_are_cartesian=True)


def _meaning(grids: Sequence[RawGrid], content: Parts, path: Path) -> tuple[list[str], Quantity, str | None, str]:
    """Names of the fields, what they are, the unit of the values where it is given, and a note."""
    labels, blocks = [grid.label for grid in grids], {grid.block for grid in grids}
    distinct = len(set(labels)) == len(labels) and all(labels)
    names = labels if distinct else [f"field_{k + 1}" for k in range(len(labels))]
    units: dict[Quantity, str | None] = {"density": "e/Å³", "potential": "eV", "field": None}
    for quantity, title in TITLES.items():
        if blocks == {title} and distinct:
            return names, quantity, units[quantity], ""
    if len(grids) > 1:
        return names, "field", None, ""
    texts = {"title of the grids": grids[0].block, "label of the grid": labels[0], "remarks": content.comment}
    if note := other_quantity({**texts, "name of the file": path.name}):
        return ["total"], "field", None, note
    return ["total"], "density", "e/bohr³" if blocks == {ESPRESSO} else None, ""


def _row(numbers: NDArray[np.float64]) -> str:
    return "".join(f" {number:18.12f}" for number in numbers)
