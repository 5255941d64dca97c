"""Density matrices as they are stored: symmetric, so one triangle, in single precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Lower triangle of a symmetric matrix ``[orbital, orbital]`` as float32 ``[pair]``."""
    return matrix[np.tril_indices(len(matrix))].astype(np.float32)


def unpack(packed: NDArray[np.float32]) -> NDArray[np.float64]:
    """The symmetric float64 matrix ``[orbital, orbital]`` of a packed lower triangle."""
    n = int((np.sqrt(8 * len(packed) + 1) - 1) / 2)
    matrix = np.zeros((n, n))
    matrix[np.tril_indices(n)] = packed
    return matrix + np.tril(matrix, -1).T
