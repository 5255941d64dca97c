"""Arrays in files without names, for what is kept of a grid that memory does not hold."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.memory import by_words, release

AT_ONCE = 2**21
"""Values that are gone through at once."""


def in_file(shape: tuple[int, ...], kind: type[Any], folder: Path | None, *, x_fastest: bool = False) -> NDArray[Any]:
    """An array ``[channel, x, y, z]`` of zeros in a file without a name, which goes with it.

    folder: None: that for temporary files. x_fastest: the order of the points in the file, in place of z fastest.
    Raises DataError where the disk has no room.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    stored = (shape[0], *shape[:0:-1]) if x_fastest else shape
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process without a word
                os.posix_fallocate(file.fileno(), 0, size)
            array = np.memmap(file, kind, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=stored)
    except OSError as error:
        raise DataError(
            f"{folder or tempfile.gettempdir()} has no room for {by_words(size)}, which a prediction in tiles keeps "
            f"there meanwhile ({error.strerror or error}); choose another folder, or a coarser grid by --spacing"
        ) from error
    return np.moveaxis(array, range(1, len(shape)), range(len(shape) - 1, 0, -1)) if x_fastest else array


def chunks(*arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Parts of arrays of one shape and order in their files, in that order; their memory is let go after each."""
    stored = [array if array.flags.c_contiguous else np.moveaxis(array, (1, 2, 3), (3, 2, 1)) for array in arrays]
    flat = [array.reshape(-1) for array in stored]
    for start in range(0, len(flat[0]), AT_ONCE):
        yield tuple(array[start : start + AT_ONCE] for array in flat)
        for array in arrays:
            release(array)
