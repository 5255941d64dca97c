"""What can be asked of a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class Options(TypedDict, total=False):
    """Of a prediction. grid: numbers of points. spacing: largest voxel edge, Å; default: that of the training data.
    electrons: how many; default: those of the neutral atoms, less ``charge``. charge: in e; default: that of the
    structure, or 0. vacuum: Å around a molecule without a cell; default: that of the training data. progress: show a
    bar for a list."""

    grid: Sequence[int] | None
    spacing: float | None
    electrons: float | None
    charge: float | None
    vacuum: float | None
    progress: bool
