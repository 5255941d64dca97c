"""Densities that were computed once, kept on disk as one Zarr array with a chunk per sample."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import zarr
from numpy.typing import NDArray

from edframe.errors import DataError


def cache_folder() -> Path:
    """Where edframe keeps what it can make again: ``$EDFRAME_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("EDFRAME_CACHE") or platformdirs.user_cache_dir("edframe"))


class DensityCache:
    """A float32 array ``[sample, s, x, y, z]`` on disk that is filled sample by sample, in any order.

    A sample counts as present only after its values are on disk, so a build that was killed continues from its last
    ``flush``. Raises DataError when the folder cannot be written.
    """

    def __init__(self, folder: Path, samples: int, shape: tuple[int, ...]) -> None:
        self.folder = folder
        try:
            group = zarr.open_group(folder, mode="a")
            self._values: Any = group.require_array(
                "density", shape=(samples, *shape), chunks=(1, *shape), dtype="float32", compressors=None
            )
            self._present: Any = group.require_array(
                "present", shape=(samples,), chunks=(samples,), dtype="bool", fill_value=False
            )
            self.present: NDArray[np.bool_] = np.asarray(self._present[:])
        except (OSError, TypeError, ValueError) as error:
            raise DataError(
                f"the cache {folder} cannot be used ({error}); delete it, or set EDFRAME_CACHE to another folder"
            ) from error

    def missing(self) -> list[int]:
        """Indices not yet on disk."""
        return [int(i) for i in np.flatnonzero(~self.present)]

    def put(self, index: int, density: NDArray[np.float32]) -> None:
        """Write one sample ``[s, x, y, z]``. Raises DataError when the disk is full."""
        self._write(self._values, index, density)
        self.present[index] = True

    def flush(self) -> None:
        """Note on disk which samples are there. Raises DataError when the disk is full."""
        self._write(self._present, slice(None), self.present)

    def get(self, index: int) -> NDArray[np.float32]:
        """Read one sample ``[s, x, y, z]``. Raises DataError when its file is damaged."""
        try:
            return np.asarray(self._values[index])
        except (OSError, ValueError) as error:
            raise DataError(f"the cache {self.folder} is damaged ({error}); delete it") from error

    def _write(self, array: Any, where: int | slice, values: NDArray[Any]) -> None:
        try:
            array[where] = values
        except OSError as error:
            raise DataError(
                f"the cache {self.folder} cannot be written ({error.strerror or error}); free some space, or set "
                "EDFRAME_CACHE to another folder; what is there is kept"
            ) from error
