"""VASP's volumetric files: CHGCAR, CHG, AECCAR0/1/2, PARCHG (densities) and LOCPOT (potentials).

After the head of a POSCAR come one, two or four blocks: the shape of the grid, the values with x fastest, then PAW
occupancies and magnetic moments as text. A density stands there times the volume of the cell, a potential in eV as it
is; the name of the file tells which (https://www.vasp.at/wiki/CHGCAR, https://www.vasp.at/wiki/LOCPOT).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import fortran, paw
from edframe.io.files import replacing
from edframe.io.poscar import read_head
from edframe.io.reading import Text
from edframe.io.volume import Volume

DENSITY = {
    1: ("total",),
    2: ("total", "magnetisation"),
    4: ("total", "magnetisation_x", "magnetisation_y", "magnetisation_z"),
}
"""Names of the blocks of a density: not spin-polarised, collinear, noncollinear."""

POTENTIAL = {1: ("total",), 2: ("spin_up", "spin_down"), 4: ("total", "field_x", "field_y", "field_z")}
"""Names of the blocks of a potential; noncollinear: the scalar potential and the field that acts on the spin, eV."""

SLAB = 1 << 18
"""Values of a field that are held a second time."""

GRID = re.compile(r"\s*(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})\s*", re.ASCII)
"""The line with the numbers of points."""

_OCCUPANCIES = re.compile(
    r"\s*augmentation occupancies(?: \(imaginary part\))?\s*(\d+|\*+)\s*?\s(\d{1,9})\s*", re.ASCII
)
_OCCUPANCY = re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE]?[-+]\d+)?", re.ASCII)

_ZERO = re.compile(r"0?\.0+([eE][-+]00)?", re.ASCII)


def read(path: Path) -> Volume:
    """The fields ``[x, y, z]``, in e/Å³ or eV, and the atoms of one file; occupancies and moments as they stand there.

    Names of the fields are those of DENSITY, or of POTENTIAL where the file's name has LOCPOT in it. Takes
    little more memory than the fields. Raises DataError, with the line, for what is malformed, cut off, not finite or
    inconsistent.
    """
    potential = _is_potential(path)
    with Text(path) as text:
        title, structure = read_head(text)
        shape = _shape(text)
        grid = Grid.of(structure.lattice.matrix, shape)
        blocks: list[NDArray[np.float64]] = []
        texts: list[str] = []
        following: tuple[int, ...] | None = shape
        while following is not None:
            if following != shape:
                raise text.error(f"a grid of {_by(following)} after one of {_by(shape)}; all blocks have one grid")
            if len(blocks) == 4:
                raise text.error("a fifth block; VASP writes 1, 2 or 4")
            blocks.append(_values(text, shape, 1.0 if potential else grid.volume, f"block {len(blocks) + 1}"))
            after, following = _text_after(text, len(structure))
            texts.append(after)
        if text.is_cut_off():
            raise text.error("the file ends inside of a number: it was cut off; copy it anew")
        if len(blocks) == 3:
            raise text.error("the file has 3 blocks; VASP writes 1, 2 or 4: one is missing, or one too many")
    names = (POTENTIAL if potential else DENSITY)[len(blocks)]
    return Volume(
        structure,
        grid,
        dict(zip(names, blocks, strict=True)),
        quantity="potential" if potential else "density",
        comment=title,
        augmentation={name: after for name, after in zip(names, texts, strict=True) if after},
        unit="eV" if potential else "times volume",
    )


def write(path: Path, volume: Volume) -> None:
    """Write a density or potential as VASP does: pymatgen's ``Chgcar.write_file`` gives the same head and values.

    That form has 6 decimals for the cell and the positions, which is a loss where they have more, and 11 digits for the
    values. Augmentation text is written with its headers in VASP's columns; before each further block of a density come
    the moments of the atoms, see ``edframe.io.paw``. Raises DataError for fields that VASP's files do not have,
    for values that are not finite, and for sites of more than one species.
    """
    structure, names = volume.structure, _names(path, volume)
    if not structure.is_ordered:
        raise DataError(f"{path}: a site is shared by several species, which VASP's files cannot say; order them first")
    if volume.grid.dimension != 3 or not np.allclose(
        structure.lattice.matrix, volume.grid.vectors, rtol=1e-6, atol=1e-6
    ):
        raise DataError(f"{path}: the lattice of the atoms is not the cell of the grid; a CHGCAR has one cell for both")
    factor = volume.grid.volume if volume.quantity == "density" else 1.0
    with replacing(path) as file:
        file.write(_head(volume).encode())
        for name in names:
            file.write("   {}   {}   {}\n".format(*volume.grid.shape).encode())
            for slab in _slabs(volume.fields[name], factor):
                if not np.isfinite(slab).all():
                    raise DataError(f"{path}: the field '{name}' has values that are not finite")
                file.writelines(fortran.lines(slab))
            file.write(_behind(volume, name, names).encode())


def _is_potential(path: Path) -> bool:
    return "locpot" in path.name.lower()


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _shape(text: Text) -> tuple[int, ...]:
    while (line := text.line()) and not line.strip():
        pass
    match = GRID.fullmatch(line)
    if not match or not all(map(int, match.groups())):
        raise text.error(
            f"{text.shown(line)} stands where the grid should be, three numbers of points; it follows the positions of "
            "as many atoms as announced",
        )
    return tuple(map(int, match.groups()))


def _values(text: Text, shape: tuple[int, ...], divisor: float, of: str) -> NDArray[np.float64]:
    """The next block ``[x, y, z]``, slab by slab, for the file has x fastest and the array z."""
    total = shape[0] * shape[1] * shape[2]
    if not text.has_room_for(total):
        raise text.error(f"a grid of {_by(shape)} needs {total} values, and the file is too short to hold them")
    values = np.empty(shape)
    plane = shape[0] * shape[1]
    planes = min(max(1, SLAB // plane), shape[2])
    held = np.empty(planes * plane)
    for start in range(0, shape[2], planes):
        slab = held[: (min(start + planes, shape[2]) - start) * plane]
        text.numbers(slab, start * plane, total, of)
        slab /= divisor
        if not np.isfinite(slab).all():
            raise text.error(f"{of} has values too large for the volume of the cell")
        values[:, :, start : start + planes] = slab.reshape(-1, shape[1], shape[0]).T
    rest = text.line()
    # Some tools for sums of densities fill the last line with zeros.
    if not all(_ZERO.fullmatch(word) for word in rest.split()):
        raise text.error(f"{text.shown(rest)} follows the last of the {total} values of {of}: there are too many")
    return values


def _text_after(text: Text, atoms: int) -> tuple[str, tuple[int, ...] | None]:
    """Occupancies and moments up to the next grid, and that grid; None at the end of the file."""
    lines: list[str] = []
    header, missing, moments = 0, 0, 0
    grid = None
    while line := text.line():
        if match := _OCCUPANCIES.fullmatch(line):
            if missing or moments:
                break
            header, missing = text.number, int(match[2])
        elif not missing and (match := GRID.fullmatch(line)):
            grid = tuple(map(int, match.groups()))
            break
        else:
            words = line.split()
            if wrong := next((word for word in words if not _OCCUPANCY.fullmatch(word)), None):
                raise text.error(
                    f"{text.shown(wrong)} stands where an occupancy, a magnetic moment or the next grid should be: the "
                    "file is damaged, or joined from several"
                )
            if missing and len(words) > missing:
                raise text.error(f"{len(words) - missing} more than the occupancies announced on line {header}")
            missing, moments = (missing - len(words), moments) if missing else (0, moments + len(words))
        lines.append(line)
    if missing:
        raise text.error(
            f"{missing} of the occupancies announced on line {header} are missing: copy the file anew, or make it again"
        )
    if moments not in (0, atoms, 3 * atoms) or (line and grid is None):
        raise text.error(
            f"{moments} numbers before this line belong to nothing: {atoms} or {3 * atoms} moments would be the last "
            "before the next grid, and more values need a larger grid"
        )
    after = "".join(lines)
    return (after if after.strip() else ""), grid


def _names(path: Path, volume: Volume) -> tuple[str, ...]:
    """The fields in the order of the file."""
    if volume.quantity != ("potential" if _is_potential(path) else "density"):
        raise DataError(
            f"{path}: it would be read as a {'potential' if _is_potential(path) else 'density'}, not as a "
            f"{volume.quantity}; potentials need a name with LOCPOT in it, densities one without"
        )
    known = POTENTIAL if volume.quantity == "potential" else DENSITY
    names = known.get(len(volume.fields), ())
    if set(names) != set(volume.fields):
        choices = "; ".join(", ".join(choice) for choice in known.values())
        raise DataError(
            f"{path}: fields {', '.join(volume.fields)} do not go into a {volume.quantity}; choices: {choices}"
        )
    return names


def _behind(volume: Volume, name: str, names: tuple[str, ...]) -> str:
    """What stands between the block ``name`` and the next one: occupancies, and moments before a magnetisation."""
    text = paw.in_columns(volume.augmentation.get(name, ""))
    if name == names[-1]:
        return text
    if text and not text.endswith("\n"):
        text += "\n"
    if volume.quantity == "density" and not paw.has_moments(text, len(volume.structure)):
        text += paw.block(paw.moments(volume, names[names.index(name) + 1]))
    return text


def _head(volume: Volume) -> str:
    structure = volume.structure
    species = [(symbol, len(list(sites))) for symbol, sites in itertools.groupby(s.specie.symbol for s in structure)]
    lines = [" ".join(volume.comment.splitlines()), "   1.00000000000000"]
    lines += [" {:12.6f}{:12.6f}{:12.6f}".format(*vector) for vector in structure.lattice.matrix]
    lines += ["".join(f"{symbol:5}" for symbol, _ in species), "".join(f"{count:6}" for _, count in species), "Direct"]
    lines += ["{:10.6f}{:10.6f}{:10.6f}".format(*fractions) for fractions in structure.frac_coords]
    return "\n".join([*lines, " "]) + "\n"


def _slabs(values: NDArray[np.float64], factor: float) -> Iterator[NDArray[np.float64]]:
    """The values times ``factor``, x fastest, in pieces of whole lines: planes by fives."""
    planes = fortran.PER_LINE * max(1, SLAB // (fortran.PER_LINE * values.shape[0] * values.shape[1]))
    for start in range(0, values.shape[2], planes):
        slab = values[:, :, start : start + planes].flatten(order="F")
        with np.errstate(over="ignore"):
            slab *= factor
        yield slab
