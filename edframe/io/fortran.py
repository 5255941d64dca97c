"""Numbers as Fortran prints them in VASP's files: ``0.12345678901E+01``, eleven correctly rounded digits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edframe.io.digits import decimal

PER_LINE = 5
"""Numbers on a line."""

_DIGITS = 11
_PIECE = PER_LINE * 8192
"""Values formatted at a time: what they need stays in the processor's cache."""

_LEAST = -330
_FIRST = np.array([f" {sign}.{digit}" for sign in "0-" for digit in range(10)], "S4").view(np.uint32)
_TWO = np.array([f"{number:02d}" for number in range(100)], "S2").view(np.uint16)
_FOUR = np.array([f"{number:04d}" for number in range(10_000)], "S4").view(np.uint32)
_EXPONENTS = [f"E{power:+03d}" for power in range(_LEAST, 311)]
_EXPONENT = np.array([text[:4] for text in _EXPONENTS], "S4").view(np.uint32)
_THIRD = np.array([ord(text[4:] or "\0") for text in _EXPONENTS], np.uint8)
"""The third digit of an exponent, or a zero byte to take out again."""


def lines(values: NDArray[np.float64]) -> Iterator[bytes]:
    """Yield the text of ``values`` ``[n]``, five on a line: the bytes that pymatgen's ``Chgcar.write_file`` writes.

    An unfinished last line ends in two blanks, as there. An exponent of three digits makes a number one character
    longer, and negative zero keeps its sign (pymatgen refuses it). The values must be finite.
    """
    whole = len(values) // PER_LINE * PER_LINE
    for start in range(0, whole, _PIECE):
        yield _lines(values[start : min(start + _PIECE, whole)])
    if left := len(values) - whole:
        padded = np.zeros(PER_LINE)
        padded[:left] = values[whole:]
        words = _lines(padded).split()[:left]
        yield b" " + b"".join(word + b" " for word in words) + b" \n"


def _lines(values: NDArray[np.float64]) -> bytes:
    digits, power = decimal(values, _DIGITS)
    high, low = np.divmod(digits, 10**8)
    one, two = np.divmod(high.astype(np.int32), 100)
    upper, lower = np.divmod(low.astype(np.int32), 10_000)
    exponent = power + (1 - _LEAST)
    third = _THIRD[exponent]
    width = 18 + bool(third.any())
    text = np.empty((len(values) // PER_LINE, PER_LINE * width + 1), np.uint8)
    text[:, -1] = ord("\n")

    def put(column: int, characters: NDArray[np.unsignedinteger]) -> None:
        each = characters.reshape(len(text), PER_LINE)
        view: NDArray[np.unsignedinteger] = np.ndarray(each.shape, each.dtype, text, column, (text.shape[1], width))
        view[:] = each

    put(0, _FIRST[one + 10 * np.signbit(values)])
    put(4, _TWO[two])
    put(6, _FOUR[upper])
    put(10, _FOUR[lower])
    put(14, _EXPONENT[exponent])
    if width == 18:
        return text.tobytes()
    put(18, third)
    return text.tobytes().replace(b"\0", b"")
