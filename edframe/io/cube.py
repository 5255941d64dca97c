"""Gaussian cube files: atoms and one or more fields on a grid.

Lengths are in bohr where the numbers of points are positive, and in Å where they are negative: so most programs read
them. (Gaussian's manual has it the other way round for the grids that it is asked for, not for what it writes.) Values
are in atomic units either way. Lengths are written in bohr.

| in the file                                    | fields               | quantity and unit        |
|------------------------------------------------|----------------------|--------------------------|
| one value per point                            | total                | density, e/bohr³         |
| list of orbitals (negative number of atoms)    | field_<its number>   | field, as its values are |
| several values per point (5th word of line 3)  | field_1, field_2, …  | field, as its values are |

The n points of an axis are n voxels, and these are the cell. It is assumed to be periodic, because a cube does not say.
Atoms stay where they are, even outside of the cell, because a periodic code may list another image, and a piece cut out
of a larger box looks the same. Their charges are 0, or those of the nucleus or of the core, depending on the program;
those of the core give the number of electrons. They are written as 0. Ghost atoms are left out, with a note. If a title
or the file's name says that the values are no density (an orbital, a potential, a spin density), they become a field.

Values have 6 digits and coordinates 6 decimals, as is usual. Source of the format: B. Skinn,
https://h5cube-spec.readthedocs.io/en/latest/cubeformat.html
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.io.digits import scientific
from edframe.io.files import replacing
from edframe.io.heads import element, floats, integer, is_ghost, next_words, periodic_grid
from edframe.io.meaning import other_quantity
from edframe.io.reading import Text
from edframe.io.units import BOHR, HARTREE
from edframe.io.volume import Volume
from edframe.memory import release

UNIT = {"density": BOHR**-3, "potential": HARTREE, "field": 1.0}
"""Unit of the values in a cube, in edframe's: e/bohr³, hartree, or unknown."""


def read(path: Path) -> Volume:
    """The atoms, grid and fields of a cube; the two lines of its title are the comment.

    Takes twice the memory of the fields at most. Raises DataError, with the line, for what is malformed, cut off or not
    finite, and for a cube that loops over its axes in another order than x, y, z.
    """
    with Text(path) as text:
        title = "\n".join(text.line().rstrip() for _ in range(2)).rstrip()
        _refuse_other_orders(text, title)
        atoms, origin, per_point = _first_row(text)
        rows = [_axis(text) for _ in range(3)]
        counts, shape = [n for n, _ in rows], tuple(abs(n) for n, _ in rows)
        if 0 in shape or min(counts) < 0 < max(counts):
            raise text.error(f"the numbers of points are {counts}; all must be positive (bohr), or all negative (Å)")
        unit = BOHR if counts[0] > 0 else 1.0
        grid = periodic_grid(text, [edge * n * unit for n, (_, edge) in zip(shape, rows, strict=True)], shape)
        species, positions, valence, notes = _atoms(text, abs(atoms))
        names = _field_list(text, per_point) if atoms < 0 else [f"field_{k + 1}" for k in range(per_point)]
        single = atoms > 0 and per_point == 1
        values = _values(text, shape, len(names))
    other = other_quantity({"title": title, "name of the file": path.name})
    density = single and other is None
    values *= UNIT["density" if density else "field"]
    if not np.isfinite(values).all():
        raise DataError(f"{path}: it has values too large for a density; make the file again")
    return Volume(
        Structure(Lattice(grid.vectors), species, (positions - origin) * unit, coords_are_cartesian=True),
        grid,
        {name: np.ascontiguousarray(values[..., k]) for k, name in enumerate(["total"] if single else names)},
        quantity="density" if density else "field",
        comment=title,
        origin=(float(origin[0] * unit), float(origin[1] * unit), float(origin[2] * unit)),
        unit="e/bohr³" if density else None,
        valence=valence,
        notes=(*notes, other) if other else notes,
    )


def write(path: Path, volume: Volume, digits: int = 6) -> None:
    """Write a cube. Densities are written in e/bohr³, potentials in hartree, and several fields as a list of orbitals.

    Few programs read such a list: ``edframe.io.write`` gives each field of a density a file of its own.

    digits: of the values, 6, 10 or 14. The comment becomes the title of two lines. Raises DataError for a grid that has
    not three axes, for atoms that are no elements, and for values that are not finite or 1e99 and above.
    """
    grid, structure = volume.grid, volume.structure
    if grid.dimension != 3:
        raise DataError(f"{path}: a cube has a grid of three axes, not {grid.dimension}")
    if not structure.is_ordered:
        raise DataError(f"{path}: a site is shared by several species, which a cube cannot say; order them first")
    first, *rest = volume.comment.splitlines() or [""]
    origin = np.array(volume.origin)
    listed = len(volume.fields) > 1 or volume.quantity == "field"
    lines = [first, " ".join(rest), _row(-len(structure) if listed else len(structure), origin / BOHR)]
    lines += [_row(n, edge / BOHR) for n, edge in zip(grid.shape, grid.voxel, strict=True)]
    positions = (structure.cart_coords + origin) / BOHR
    lines += [_row(z, [0.0, *at]) for z, at in zip(structure.atomic_numbers, positions, strict=True)]
    if listed:
        labels = [len(volume.fields), *_labels(list(volume.fields))]
        lines += ["".join(f" {label:4d}" for label in labels[k : k + 10]) for k in range(0, len(labels), 10)]
    fields = list(volume.fields.values())
    values = fields[0] if len(fields) == 1 else np.stack(fields, axis=-1)
    runs = values.reshape(grid.shape[0] * grid.shape[1], -1)
    with replacing(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
        try:
            for text in scientific(runs, digits, digits + 7, 1 / UNIT[volume.quantity]):
                file.write(text)
                release(runs)
        except ValueError as error:
            raise DataError(f"{path} cannot be written: {error}") from error


def _first_row(text: Text) -> tuple[int, NDArray[np.float64], int]:
    """Number of atoms, origin and number of values per point."""
    words = next_words(text, "the number of atoms")
    if len(words) not in (4, 5):
        raise text.error("the number of atoms and the three coordinates of the origin should be here: it is not a cube")
    atoms = integer(text, words[0], "the number of atoms")
    per_point = integer(text, words[4], "the number of values per point") if len(words) == 5 else 1
    if atoms == 0:
        raise text.error("there are no atoms; a field without them is of no use here")
    if not 1 <= per_point <= 1000:
        raise text.error(f"{per_point} values per point; there should be 1, or some more")
    return atoms, floats(text, words[1:4], "a coordinate of the origin"), per_point


def _axis(text: Text) -> tuple[int, NDArray[np.float64]]:
    words = next_words(text, "an axis of the grid")
    if len(words) != 4:
        raise text.error("a number of points and three components of a voxel's edge should be here: it is not a cube")
    return integer(text, words[0], "a number of points"), floats(text, words[1:], "a component of a voxel's edge")


def _atoms(text: Text, count: int) -> tuple[list[Element], NDArray[np.float64], float | None, tuple[str, ...]]:
    """Elements and positions ``[atom, 3]`` in the file's unit and frame, the sum of their charges where these are of
    cores, and a note on ghost atoms, which are left out: without a number, with a negative one, or without charge where
    others have one."""
    species: list[Element | None] = []
    rows = []
    for index in range(count):
        words = next_words(text, f"atom {index + 1} of {count}")
        if len(words) != 5:
            raise text.error(
                f"atom {index + 1} of {count} should be here: atomic number, charge and three coordinates; "
                "correct the number of atoms in line 3"
            )
        species.append(None if is_ghost(words[0]) else element(text, words[0]))
        rows.append(floats(text, words[1:], "a charge or coordinate"))
    charges, positions = np.array(rows)[:, 0], np.array(rows)[:, 1:]
    if any(charge for charge, kind in zip(charges, species, strict=True) if kind is not None):
        species = [kind if charge else None for charge, kind in zip(charges, species, strict=True)]
    real = [index for index, kind in enumerate(species) if kind is not None]
    if not real:
        raise text.error("all atoms are ghosts, without nuclei; a density of no atom is of no use here")
    kinds = [kind for kind in species if kind is not None]
    cores = [(charge, kind.Z) for charge, kind in zip(charges[real], kinds, strict=True)]
    valence = float(charges[real].sum()) if all(0 < c <= z for c, z in cores) and any(c < z for c, z in cores) else None
    left_out = count - len(real)
    note = (f"{left_out} ghost atom{'s' * (left_out > 1)} without a nucleus, left out",) if left_out else ()
    return kinds, positions[real], valence, note


def _field_list(text: Text, per_point: int) -> list[str]:
    """The names of the fields in the list after the atoms: their number, then the number of each orbital."""
    words = next_words(text, "the list of orbitals")
    count = integer(text, words[0], "the number of orbitals") if words else 0
    if not 1 <= count <= 1000 or per_point not in (1, count):
        raise text.error(
            f"a list of {count} orbitals with {per_point} values per point; correct one of them, or make the number of "
            "atoms positive where there is no list"
        )
    while len(words) <= count:
        words += next_words(text, "the rest of the list of orbitals")
    if len(words) > count + 1:
        raise text.error(f"a list of {count} orbitals with {len(words) - 1} entries; correct its count")
    labels = [integer(text, word, "the number of an orbital") for word in words[1:]]
    # Some programs number all alike.
    return [f"field_{label}" for label in (labels if len(set(labels)) == count else range(1, count + 1))]


def _values(text: Text, shape: Sequence[int], fields: int) -> NDArray[np.float64]:
    """All values ``[x, y, z, field]``, and nothing after them."""
    count = math.prod(shape) * fields
    of = "the grid" if fields == 1 else f"the {fields} fields"
    if not text.has_room_for(count):
        raise text.error(f"{count} values of {of} should follow, more than the file has room for: it was cut off")
    values = np.empty(count)
    text.numbers(values, 0, count, of)
    for line in iter(text.line, ""):
        if line.strip():
            raise text.error(f"there is more after the last of {count} values: correct the number of points or atoms")
    if text.is_cut_off():
        raise text.error("the file ends within a number: it was cut off; copy it again")
    return values.reshape(*shape, fields)


def _labels(names: list[str]) -> list[int]:
    matches = [re.fullmatch(r"field_(-?\d{1,9})", name) for name in names]
    return [int(match[1]) if match and all(matches) else k + 1 for k, match in enumerate(matches)]


def _row(count: int, numbers: Sequence[float] | NDArray[np.float64]) -> str:
    # A blank in front of each, so that a wide one does not run into its neighbour.
    return f"{count:5d}" + "".join(f" {number:11.6f}" for number in numbers)


def _refuse_other_orders(text: Text, title: str) -> None:
    loops = re.findall(r"LOOP:\s*([XYZ])\b", title.upper())
    if any(axis != expected for axis, expected in itertools.zip_longest(loops, "XYZ")) and loops:
        raise text.error(f"it loops over {', '.join(loops)}; only files that loop over x, y, z are read: reorder it")
    if "castep2cube" in title:
        raise text.error("castep2cube repeats the first plane of every axis; convert the file with ASE, which drops it")
