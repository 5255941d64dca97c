"""What the heads of files are made of: numbers, elements, a cell. Errors say what should be there, and the line."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core.periodic_table import Element

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.reading import Text

LARGEST = 1e6
"""Of any length or charge in the head of a file, in its unit. More is a damaged number, and would overflow later."""

_GHOST = re.compile(
    r"[-+]?0+|-\d{1,9}|(X|Xx|Bq|Gh|Ghost|Vac?)\d*([-_(:]\w*\)?)?|[A-Z][a-z]?[-_:](Bq|Gh)", re.IGNORECASE
)
_INTEGER = re.compile(r"[-+]?\d{1,9}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?", re.ASCII)


def next_words(text: Text, what: str) -> list[str]:
    """The words of the next line. Raises DataError at the end of the file."""
    line = text.line()
    if not line:
        raise text.error(f"the file ends where {what} should follow: it was cut off; copy it again", text.number + 1)
    return line.split()


def integer(text: Text, word: str, what: str) -> int:
    """A word as an integer of at most nine digits. Raises DataError for anything else."""
    if not _INTEGER.fullmatch(word):
        raise text.error(f"{text.shown(word)} appears where {what} should be, an integer; correct it")
    return int(word)


def floats(text: Text, words: Sequence[str], what: str) -> NDArray[np.float64]:
    """Words as numbers, ``[n]``. Raises DataError for anything else, and beyond ``LARGEST``."""
    for word in words:
        if not _NUMBER.fullmatch(word) or abs(_float(word)) > LARGEST:
            raise text.error(
                f"{text.shown(word)} appears where {what} should be, a number up to {LARGEST:g}; correct it"
            )
    return np.array([_float(word) for word in words])


def is_ghost(word: str) -> bool:
    """Whether an atomic number or symbol is of an atom without a nucleus: 0, negative, X, Bq, Gh or Gh(O)."""
    return bool(_GHOST.fullmatch(word))


def element(text: Text, word: str) -> Element:
    """The element of a symbol or atomic number. Raises DataError where there is none."""
    symbol = {"D": "H", "T": "H"}.get(word.capitalize(), word.capitalize())
    if Element.is_valid_symbol(symbol):
        return Element(symbol)
    number = integer(text, word, "an atomic number or symbol")
    if not 1 <= number <= 118:
        raise text.error(f"there is no element {number}; correct it, or take the line out and count the atoms again")
    return Element.from_Z(number)


def periodic_grid(text: Text, cell: ArrayLike, shape: Sequence[int]) -> Grid:
    """A grid of ``shape`` over ``cell`` ``[3, 3]`` in Å. Raises DataError for a cell that cannot hold atoms."""
    try:
        grid = Grid.of(cell, shape)
    except DataError as error:
        raise text.error(f"{error}; correct its vectors") from None
    if not 1e-6 < grid.volume < 1e15:
        raise text.error(
            f"the cell has a volume of {grid.volume:.3g} Å³, which no cell of atoms has; correct its vectors"
        )
    return grid


def _float(word: str) -> float:
    return float(word.replace("D", "e").replace("d", "e"))
