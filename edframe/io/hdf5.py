"""HDF5 files, by h5py where it is installed: opened, checked, replaced whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError, imported


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The root of an HDF5 file, for reading. Raises DataError for what cannot be read, here or inside of the block."""
    h5py = imported("h5py", "formats", f"{path}")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as HDF5 ({error}): it is damaged, or another kind of file") from error


@contextlib.contextmanager
def replacing_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file to write, which becomes ``path`` when all went well. Raises DataError when it cannot be written."""
    h5py = imported("h5py", "formats", f"{path}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def array(path: Path, file: Any, name: str, axes: int) -> NDArray[np.float64]:
    """The numbers at ``name``, float64. Raises DataError for another number of axes, and for values not finite."""
    if name not in file or not hasattr(file[name], "ndim") or file[name].ndim != axes or 0 in file[name].shape:
        raise DataError(f"{path}: {name} is not there, or no array of {axes} axes")
    values = np.asarray(file[name][()], dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {name} has values that are not finite: the calculation diverged, or it is damaged")
    return values
