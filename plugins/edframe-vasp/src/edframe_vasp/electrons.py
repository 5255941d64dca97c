"""How many electrons a density of VASP holds, from the files beside it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.io.files import either, open_bytes, plain_name

OWN = ("CHGCAR", "CHG", "vaspwave.h5", "vaspout.h5")
"""Names that VASP gives to a density, of which there is one in a folder."""


class Potential(NamedTuple):
    """One data set of a POTCAR: its element, its title, and ZVAL, the electrons that it brings."""

    element: str
    title: str
    electrons: float


def files_beside(density: Path) -> list[Path]:
    """Those of INCAR, POTCAR and OUTCAR, plain or packed, that are in the folder of ``density``."""
    return [file for name in SOURCES if (file := either(density.with_name(name)))]


def stated_electrons(density: Path, files: Iterable[Path], structure: Structure) -> tuple[float, str] | None:
    """The number of electrons and the file that gives it: ``(12.0, "POTCAR")``; None when none does.

    The first of NELECT in an INCAR, ZVAL in a POTCAR times the atoms, NELECT in an OUTCAR. They belong to a density
    that still has VASP's own name, as CHGCAR or CHG; several others may be in one folder. Raises DataError for a POTCAR
    of other elements.
    """
    if plain_name(density.name) not in OWN:
        return None
    by_name = {plain_name(file.name): file for file in files}
    for name, read in SOURCES.items():
        count = read(by_name[name], structure) if name in by_name else None
        if count is not None:
            return count, name
    return None


def potentials(potcar: Path) -> list[Potential]:
    """The data sets of a POTCAR in order: element, title and ZVAL; nothing else is read of it.

    Raises DataError when it has none, or not one ZVAL for each TITEL.
    """
    with open_bytes(potcar) as file:
        lines = [line.decode("latin-1") for line in file if b"TITEL" in line or b"ZVAL" in line]
    titles = [match[1] for line in lines if (match := re.search(r"TITEL\s*=\s*(\S.*?)\s*$", line))]
    counts = [float(match[1]) for line in lines if (match := re.search(r"ZVAL\s*=\s*(\d+\.?\d*)", line))]
    # A title is PAW_PBE Li_sv 10Sep2004, PAW O 22Mar2012 or US H1.25.
    elements = [re.match(r"(?:\S+\s+)?([A-Z][a-z]?)(?![a-z])", title) for title in titles]
    if not titles or len(titles) != len(counts) or None in elements:
        raise DataError(f"{potcar}: it is not a POTCAR with one TITEL and one ZVAL for each element")
    return [Potential(e[1], t, c) for e, t, c in zip(elements, titles, counts, strict=True) if e]


def stated_valence(density: Path, files: Iterable[Path]) -> dict[str, float] | None:
    """ZVAL of each element in the POTCAR beside a density that has VASP's own name; None without one, or where an
    element has two potentials that bring different numbers."""
    potcar = next((file for file in files if plain_name(file.name) == "POTCAR"), None)
    if potcar is None or plain_name(density.name) not in OWN:
        return None
    listed = potentials(potcar)
    valence = {potential.element: potential.electrons for potential in listed}
    return valence if all(valence[p.element] == p.electrons for p in listed) else None


def tags(incar: Path) -> dict[str, str]:
    """What an INCAR sets: tag in capitals → all that follows its ``=``; the first counts, as in VASP.

    ``#`` and ``!`` begin a comment, ``;`` ends a statement, a backslash at the end of a line continues it, and a text
    in quotation marks is one value.
    """
    with open_bytes(incar) as file:
        text = file.read().decode("latin-1").replace("\r", "")
    text = re.sub(r"[#!].*", "", re.sub(r"\\[ \t]*\n", " ", text))
    by_name: dict[str, str] = {}
    for match in re.finditer(r'(?:^|;)[ \t]*(\w+)[ \t]*=((?:"[^"]*"|[^;\n"])*)', text, re.MULTILINE):
        by_name.setdefault(match[1].upper(), match[2].strip())
    return by_name


def _from_incar(incar: Path, structure: Structure) -> float | None:
    value = tags(incar).get("NELECT")
    if value is None:
        return None
    # VASP reads the first number and leaves the words behind it.
    number = re.match(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?(?=[\s,]|$)", value)
    if number is None:
        raise DataError(f"{incar}: NELECT = {value} is not a number; correct it")
    return float(number[0].upper().replace("D", "E"))


def _from_potcar(potcar: Path, structure: Structure) -> float:
    listed = potentials(potcar)
    runs = [(symbol, len(list(run))) for symbol, run in itertools.groupby(site.specie.symbol for site in structure)]
    if [potential.element for potential in listed] == [symbol for symbol, _ in runs]:
        return sum(potential.electrons * count for potential, (_, count) in zip(listed, runs, strict=True))
    # Neighbours of one element may have different potentials in a POTCAR; where they bring the same, it is no matter.
    counts = {symbol: {p.electrons for p in listed if p.element == symbol} for symbol, _ in runs}
    if {p.element for p in listed} != set(counts) or any(len(values) > 1 for values in counts.values()):
        raise DataError(
            f"{potcar}: it has potentials for {' '.join(p.element for p in listed)}, and the density's atoms are "
            f"{' '.join(f'{symbol}{count}' for symbol, count in runs)}: it is of another calculation"
        )
    return sum(count * next(iter(counts[symbol])) for symbol, count in runs)


def _from_outcar(outcar: Path, structure: Structure) -> float | None:
    with open_bytes(outcar) as file:
        for line in file:  # far above its end, and an OUTCAR can be long
            if match := re.match(rb"\s*NELECT\s*=\s*(\d+\.?\d*)\s", line):
                return float(match[1])
    return None


SOURCES: dict[str, Callable[[Path, Structure], float | None]] = {
    "INCAR": _from_incar,
    "POTCAR": _from_potcar,
    "OUTCAR": _from_outcar,
}
"""Files that give the number of electrons, in order of trust."""
