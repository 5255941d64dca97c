"""A field of a grid between its points."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edframe.grid import Grid


def sampled(field: NDArray[np.float64], grid: Grid, places: ArrayLike, order: int = 1) -> NDArray[np.float64]:
    """``field`` ``[x, y, z]`` at Cartesian points ``[…, 3]`` in Å, in any image; by splines of an order, 1: linear."""
    from scipy.ndimage import map_coordinates

    where = np.asarray(places, dtype=float) @ np.linalg.inv(grid.vectors) * grid.shape
    values = map_coordinates(field, where.reshape(-1, 3).T, order=order, mode="grid-wrap")
    return np.asarray(values).reshape(where.shape[:-1])
