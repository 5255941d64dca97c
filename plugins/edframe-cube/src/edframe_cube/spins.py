"""Cubes of one spin each, which come in pairs: by their names, ``SPIN1_CHG.cube`` and ``SPIN2_CHG.cube``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edframe.errors import DataError
from edframe.io import Volume, read

WORDS = (
    ("up", "down"), ("up", "dn"), ("up", "dw"), ("alpha", "beta"), ("majority", "minority"), ("spin1", "spin2"),
    ("spin0", "spin1"), ("spin[_-]?1", "spin[_-]?2"), ("sp1", "sp2"), ("s1", "s2"), ("chgs1", "chgs2"), ("Da", "Db"),
)  # fmt: skip
"""Words in names, of both spins: of ABACUS (SPIN1_CHG, chgs1), Octopus (sp1), Psi4 (Da), and others."""


def pairs(files: Sequence[Path]) -> dict[Path, Path]:
    """The file of the other spin, by that of the first, of those in ``files`` whose names differ in such a word."""
    known = {_key(file, file.name): file for file in files}
    partners: dict[Path, Path] = {}
    for first, second in WORDS:
        for file in files:
            for match in re.finditer(rf"(?<![a-zA-Z0-9])({first})(?![a-zA-Z0-9])", file.name, _case(first)):
                other = known.get(
                    _key(file, file.name[: match.start()] + _like(match[1], second) + file.name[match.end() :])
                )
                if other and other != file and not {file, other} & (partners.keys() | set(partners.values())):
                    partners[file] = other
    return partners


def read_pair(up: Path, down: Path, unit: str | None) -> Volume:
    """Density and magnetisation of two files, one of each spin. Raises DataError where their atoms or grids differ."""
    first, second = (read(file, unit=unit, quantity="density") for file in (up, down))
    same = (
        first.grid.shape == second.grid.shape
        and np.allclose(first.grid.vectors, second.grid.vectors, atol=1e-4)
        and first.structure.species == second.structure.species
        and np.allclose(first.structure.cart_coords, second.structure.cart_coords, atol=1e-4)
    )
    if not same:
        raise DataError(
            f"{up} and {down.name} are the densities of both spins by their names, and of other atoms or another grid; "
            "rename one of them, or name them one by one"
        )
    one, other = first.fields["total"], second.fields["total"]
    return replace(
        first,
        fields={"total": one + other, "magnetisation": one - other},
        notes=(*first.notes, f"both spins are added: {up.name} + {down.name}"),
    )


def _case(word: str) -> re.RegexFlag:
    return re.NOFLAG if word[0].isupper() else re.IGNORECASE


def _like(word: str, other: str) -> str:
    """``other`` with the separator of ``word``, as in spin_1 and spin_2."""
    separator = re.search(r"[_-]", word)
    return other.replace("[_-]?", separator[0] if separator else "")


def _key(file: Path, name: str) -> tuple[Path, str]:
    return file.parent, name.lower()
