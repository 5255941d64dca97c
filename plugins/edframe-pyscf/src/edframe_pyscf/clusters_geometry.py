"""Geometries of (Li₂O)ₙ, n = 1 to 4: relaxed clusters and displaced versions of them, each size in a box of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe_pyscf.levels import PBE_DZVP

LEVEL = PBE_DZVP
"""Level of theory of the densities: that of ``li-o-li``."""

SIZES = (1, 2, 3, 4)
SAMPLES = 12
"""Configurations of each size: number 0 is relaxed, the others are displaced."""

BLOCK = 8
"""Grids have a multiple of this many points along each axis, so that a U-Net can halve them three times."""

FILE = Path(__file__).parent / "data" / "li2o_clusters.json"


@dataclass(frozen=True)
class Cluster:
    """One size. species: Li first. sides ``[xyz]`` of its periodic box, Å. positions ``[sample, atom, xyz]``, Å, about
    the centre of the box. point_group: Schoenflies symbol of the relaxed one."""

    species: tuple[str, ...]
    sides: NDArray[np.float64]
    positions: NDArray[np.float64]
    point_group: str

    @property
    def electrons(self) -> int:
        """Valence electrons: O 6, Li 3 each."""
        return sum(6 if symbol == "O" else 3 for symbol in self.species)

    def shape(self, voxel: float) -> tuple[int, ...]:
        """The fewest points along each axis that are at most ``voxel`` Å apart and a multiple of 8."""
        return tuple(int(n) * BLOCK for n in np.ceil(self.sides / (BLOCK * voxel) - 1e-9))


@cache
def clusters() -> dict[int, Cluster]:
    """All sizes, by the number of Li₂O units. Raises DataError when the file of the package is damaged."""
    try:
        stored = json.loads(FILE.read_text(encoding="utf-8"))
        return {
            int(n): Cluster(
                tuple(entry["species"]), np.array(entry["sides"]), np.array(entry["positions"]), entry["point_group"]
            )
            for n, entry in stored.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"li2o-clusters: {FILE} is damaged ({error}); reinstall edframe-pyscf") from error


def sample_id(n: int, sample: int) -> str:
    """The name of one configuration, e.g. ``li2o-3-07``."""
    return f"li2o-{n}-{sample:02d}"


def chosen(sizes: Sequence[int], samples: int) -> list[tuple[int, int]]:
    """(n, sample) of the first ``samples`` configurations of each size."""
    return [(n, sample) for n in sizes for sample in range(samples)]
