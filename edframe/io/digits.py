"""Floating point numbers as text, by the million: correctly rounded, as C and Python print them.

Digits are found in double arithmetic, whose error is bounded. Where a value is too near to the middle of two decimals
for that bound, Python's exact formatting decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_LEAST = -330
_POWERS = np.array([float(f"1e{k}") for k in range(_LEAST, 309)])
_PIECE = 1 << 15
_FIRST = np.array([f"{sign}{n // 10}.{n % 10}" for sign in " -" for n in range(100)], "S4").view(np.uint32)
_FOUR = np.array([f"{n:04d}" for n in range(10_000)], "S4").view(np.uint32)
_EXPONENT = np.array([f"E{k:+03d}" for k in range(-99, 100)], "S4").view(np.uint32)


def scientific(
    rows: NDArray[np.float64], digits: int, width: int, scale: float = 1.0, per_line: int = 6
) -> Iterator[bytes]:
    """Yield the text of ``rows`` ``[row, n]`` times ``scale``, as ``f"{value:{width}.{digits - 1}E}"`` writes each.

    digits: 6, 10 or 14. A line ends after ``per_line`` numbers and after each row. A size below 1e-99 is written as 0,
    because three digits of exponent would leave no blank before it. Raises ValueError for 1e99 and above and for NaN.
    """
    step = max(1, _PIECE // rows.shape[1])
    for start in range(0, len(rows), step):
        piece = rows[start : start + step] * scale
        if not np.abs(piece).max() < 1e99:
            raise ValueError("a value is not finite, or too large for an exponent of two digits")
        piece[np.abs(piece) < 1e-99] = 0.0
        yield _lines(piece, digits, width, per_line).tobytes()


def decimal(values: NDArray[np.float64], digits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the sizes of ``values`` ``[n]``, the first ``digits`` digits as integers, and the powers of ten of the first.

    digits: 2 to 14. Rounded to nearest, ties of the exact binary value to even. Zero has digits 0 and power 0. The
    values must be finite.
    """
    size = np.abs(values)
    safe = (size >= 1e-280) & (size < 1e290)  # all powers of ten in use are normal numbers
    exact = np.flatnonzero(~safe & (size > 0))
    rest = size[exact]
    size[~safe] = 1.0
    power = np.floor(np.log10(size)).astype(np.int64)
    size *= _POWERS[(digits - 1 - _LEAST) - power]
    rounded = np.rint(size)
    # Two roundings, of the power of ten and of the product, move it by less than one part in 2**52.
    near = np.flatnonzero(np.abs(size - rounded) > 0.5 - 10.0**digits * 2.0**-52)
    whole = rounded.astype(np.int64)
    # The logarithm rounds too. Below a power of ten, that gives one digit more or less, of a value that rounds to it.
    carried = whole >= 10**digits
    whole[carried] = 10 ** (digits - 1)
    power += carried
    whole[values == 0] = 0
    for index, value in zip([*near, *exact], [*np.abs(values[near]), *rest], strict=True):
        front, back = f"{value:.{digits - 1}e}".split("e")
        whole[index], power[index] = int(front.replace(".", "")), int(back)
    return whole, power


def _lines(values: NDArray[np.float64], digits: int, width: int, per_line: int) -> NDArray[np.uint8]:
    """``[row, n]`` to ``[row, characters and line ends]``."""
    rows, n = values.shape
    full, left = divmod(n, per_line)
    text = np.full((rows, n * width + full + bool(left)), ord(" "), np.uint8)
    text[:, per_line * width :: per_line * width + 1] = ord("\n")
    text[:, -1] = ord("\n")
    row, line, edge = text.shape[1], per_line * width + 1, full * per_line

    def put(column: int, characters: NDArray[np.uint32]) -> None:
        four = characters.reshape(rows, n)
        lines: NDArray[np.uint32] = np.ndarray((rows, full, per_line), np.uint32, text, column, (row, line, width))
        lines[:] = four[:, :edge].reshape(rows, full, per_line)
        if left:
            last: NDArray[np.uint32] = np.ndarray((rows, left), np.uint32, text, column + full * line, (row, width))
            last[:] = four[:, edge:]

    whole, power = decimal(values.ravel(), digits)
    put(width - 4, _EXPONENT[power + 99])
    for column in range(width - 8, width - digits - 3, -4):
        whole, four = np.divmod(whole, 10_000)
        put(column, _FOUR[four])
    put(width - digits - 6, _FIRST[whole + 100 * (values.ravel() < 0)])
    return text
