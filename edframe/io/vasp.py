"""VASP's volumetric files: CHGCAR, CHG, AECCAR0/1/2, PARCHG (densities), LOCPOT (potentials), ELFCAR (neither).

After the head of a POSCAR come one, two or four blocks: the shape of the grid, the values with x fastest, then PAW
occupancies and magnetic moments as text. A density is multiplied by the volume of the cell there, a potential is in eV,
an ELF is unchanged; the name of the file says which (https://www.vasp.at/wiki/CHGCAR, https://www.vasp.at/wiki/LOCPOT).
A CHG of a molecular dynamics has all that for each step; the last one is taken. Longer than other modules: reading and
writing are side by side.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import fortran, paw
from edframe.io.files import replacing
from edframe.io.poscar import read_head
from edframe.io.reading import Overflowed, Text
from edframe.io.volume import Quantity, Volume
from edframe.memory import release

DENSITY = {
    1: ("total",),
    2: ("total", "magnetisation"),
    4: ("total", "magnetisation_x", "magnetisation_y", "magnetisation_z"),
}
"""Names of the blocks of a density: not spin-polarised, collinear, noncollinear."""

POTENTIAL = {1: ("total",), 2: ("spin_up", "spin_down"), 4: ("total", "field_x", "field_y", "field_z")}
"""Names of the blocks of a potential; noncollinear: the scalar potential and the field that acts on the spin, eV."""

ELF = {1: ("total",), 2: ("spin_up", "spin_down")}
"""Names of the blocks of an electron localisation function."""

SLAB = 1 << 18
"""Values of a field that are held a second time."""

GRID = re.compile(r"\s*(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})\s*", re.ASCII)
"""The line with the numbers of points."""

_OCCUPANCIES = re.compile(
    r"\s*augmentation occupancies(?: \(imaginary part\))?\s*(\d+|\*+)\s*?\s(\d{1,9})\s*", re.ASCII
)
_OCCUPANCY = re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE]?[-+]\d+)?", re.ASCII)

_ZERO = re.compile(r"0?\.0+([eE][-+]00)?", re.ASCII)


@dataclass
class _Step:
    """What a file has of one step: up to the end, or to the head of the next."""

    title: str
    structure: Structure
    grid: Grid
    blocks: list[NDArray[np.float64]]
    texts: list[str]
    notes: list[str]
    last: bool = True


def read(path: Path) -> Volume:
    """The fields ``[x, y, z]``, in e/Å³ or eV, and the atoms of one file; occupancies and moments unchanged.

    Names of the fields are those of DENSITY; or, where the file's name has LOCPOT or ELFCAR in it, of POTENTIAL or ELF.
    Of several steps it is the last, and where the magnetisation or occupancies have stars, these are left out; notes
    say so. Takes little more memory than the fields. Raises DataError, with the line, for what is malformed, cut off,
    not finite or inconsistent.
    """
    quantity = quantity_of(path)
    with Text(path) as text:
        count = 1
        step = _step(text, quantity)
        while not step.last:
            before, begin = step.structure, text.number + 1
            step = _step(text, quantity)
            if step.structure.species != before.species:
                raise text.error(f"{step.structure.formula} begins after {before.formula}: the file is joined from "
                                 "several; take them apart", begin)  # fmt: skip
            count += 1
        if text.is_cut_off():
            raise text.error("the file ends inside of a number: it was cut off; copy it again")
        names = {"density": DENSITY, "potential": POTENTIAL, "field": ELF}[quantity].get(len(step.blocks))
        if names is None:
            raise text.error(f"the file has {len(step.blocks)} blocks; VASP writes 1, 2 or 4: one is missing, or one "
                             "too many")  # fmt: skip
    if count > 1:
        step.notes.append(f"it has {count} steps, of which the last is taken")
    if quantity == "field":
        step.notes.append("the name of the file says ELFCAR, so that the values are an electron localisation function, "
                          "and are left unchanged")  # fmt: skip
    return Volume(
        step.structure,
        step.grid,
        dict(zip(names, step.blocks, strict=True)),
        quantity=quantity,
        comment=step.title,
        augmentation={name: after for name, after in zip(names, step.texts, strict=True) if after},
        unit={"density": "times volume", "potential": "eV", "field": None}[quantity],
        notes=tuple(step.notes),
    )


def quantity_of(path: Path) -> Quantity:
    """What the name of one of VASP's files says that it holds."""
    name = path.name.lower()
    return "potential" if "locpot" in name else "field" if "elfcar" in name else "density"


def _step(text: Text, quantity: Quantity) -> _Step:
    title, structure = read_head(text)
    shape = _shape(text)
    grid = Grid.of(structure.lattice.matrix, shape)
    step = _Step(title, structure, grid, [], [], [])
    following: tuple[int, ...] | None = shape
    while following is not None:
        if following != shape:
            raise text.error(f"a grid of {_by(following)} after one of {_by(shape)}; all blocks have one grid")
        if len(step.blocks) == 4:
            raise text.error("a fifth block; VASP writes 1, 2 or 4")
        of = f"block {len(step.blocks) + 1}"
        try:
            values = _values(text, shape, grid.volume if quantity == "density" else 1.0, of)
        except Overflowed as error:
            if not step.blocks or quantity != "density":
                raise
            step.notes.append(f"the magnetisation is left out, and the total taken: {error}")
            step.blocks, step.texts = step.blocks[:1], step.texts[:1]
            step.last = not _skip_to_head(text)
            return step
        step.blocks.append(values)
        after, following, step.last, stars = _text_after(text, len(structure))
        step.texts.append("" if stars else after)
        if stars:
            step.notes.append(f"the PAW occupancies after {of} have stars in place of numbers, and are left out")
    return step


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
            f"{text.shown(line)} appears where the grid should be, three numbers of points; it follows the positions "
            "of as many atoms as announced",
        )
    return tuple(map(int, match.groups()))


def _values(text: Text, shape: tuple[int, ...], divisor: float, of: str) -> NDArray[np.float64]:
    """The next block ``[x, y, z]``, slab by slab, because the file has x fastest and the array z."""
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
        if divisor < 1 and not np.isfinite(slab / divisor).all():
            raise text.error(f"{of} has values too large for the volume of the cell")
        np.divide(slab.reshape(-1, shape[1], shape[0]).T, divisor, out=values[:, :, start : start + planes])
    rest = text.line()
    # Some tools for sums of densities fill the last line with zeros.
    if not all(_ZERO.fullmatch(word) for word in rest.split()):
        raise text.error(f"{text.shown(rest)} follows the last of the {total} values of {of}: there are too many")
    return values


def _text_after(text: Text, atoms: int) -> tuple[str, tuple[int, ...] | None, bool, bool]:
    """Occupancies and moments up to the next grid, and that grid; None where none follows, but the end of the file or
    the head of another step. Whether it is the end, and whether stars replace occupancies."""
    lines: list[str] = []
    header, missing, moments = 0, 0, 0
    grid, stars, last = None, False, True
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
            if missing and "*" in line:
                stars, words = True, words[:0]
                missing = max(0, missing - fortran.PER_LINE)
            if wrong := next((word for word in words if not _OCCUPANCY.fullmatch(word)), None):
                if not missing and (begun := _next_head(text, lines, line)) is not None:
                    moments -= sum(len(taken.split()) for taken in lines[len(lines) - begun :])
                    del lines[len(lines) - begun :]
                    last = False
                    break
                raise text.error(
                    f"{text.shown(wrong)} appears where an occupancy, a magnetic moment or the next grid should be: "
                    "the file is damaged, or joined from several"
                )
            if missing and len(words) > missing:
                raise text.error(f"{len(words) - missing} more than the occupancies announced on line {header}")
            missing, moments = (missing - len(words), moments) if missing else (0, moments + len(words))
        lines.append(line)
    if missing:
        raise text.error(
            f"{missing} of the occupancies announced on line {header} are missing: copy the file or make it again"
        )
    if moments not in (0, atoms, 3 * atoms) or (line and grid is None and last):
        raise text.error(
            f"{moments} numbers before this line belong to nothing: {atoms} or {3 * atoms} moments would be the last "
            "before the next grid, and more values need a larger grid"
        )
    after = "".join(lines)
    return (after if after.strip() else ""), grid, last, stars


def _next_head(text: Text, lines: Sequence[str], line: str) -> int | None:
    """Whether ``line`` is in the head of another step: how many of ``lines`` are in it too. All of them are put back.

    Its title may be blank, or numbers, so that the first word is that of a species or of Direct.
    """
    for before in (0, 5, 6):
        taken = [*lines[len(lines) - before :], line]
        if len(taken) != before + 1:
            continue
        ahead: list[str] = []
        while len(taken) + len(ahead) < 5 and (more := text.line()):
            ahead.append(more)
        counts = [len(words) for row in [*taken, *ahead][1:5] if all(map(_is_number, words := row.split()))]
        if counts == [1, 3, 3, 3]:
            text.back("".join([*taken, *ahead]))
            return before
        if ahead:
            text.back("".join(ahead))
    return None


def _skip_to_head(text: Text) -> bool:
    """Pass over the rest of a step; whether another follows."""
    lines: list[str] = []
    while line := text.line():
        if not all(map(_is_number, line.split())) and "*" not in line and _next_head(text, lines, line) is not None:
            return True
        lines = [*lines[-5:], line]
    return False


def _is_number(word: str) -> bool:
    return _OCCUPANCY.fullmatch(word) is not None or word.lstrip("+-").isdigit()


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
    """The text between the block ``name`` and the next one: occupancies, and moments before a magnetisation."""
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
        release(values)
        yield slab
