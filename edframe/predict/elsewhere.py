"""Tiles of one prediction in other processes: which hold its model and its structure, and send back fields."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edframe.grid import Grid
from edframe.jobs import run_jobs
from edframe.predict.files import Asked, frames_of, opened
from edframe.predict.in_tiles import InTiles, Piece, Processes

SPLIT = 16
"""Workers that are reckoned with on a cluster."""


@dataclass(frozen=True)
class Work:
    """A piece of the prediction of a frame of a file."""

    asked: Asked
    path: Path
    frame: int
    piece: Piece


def processes(asked: Asked, path: Path, frame: int) -> Processes | None:
    """Those that are asked for; None: this one alone."""
    if asked.workers == 1 and asked.scheduler is None:
        return None

    def fields(pieces: Sequence[Piece]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        works = [Work(asked, path, frame, piece) for piece in pieces]
        function = "edframe.predict.elsewhere:fields_of_piece"
        with contextlib.closing(run_jobs(function, works, workers=asked.workers, scheduler=asked.scheduler)) as done:
            for index, result in done:
                if isinstance(result, Exception):
                    raise result
                yield index, result

    return Processes(SPLIT if asked.scheduler is not None else asked.workers, fields)


def fields_of_piece(work: Work) -> NDArray[np.float32]:
    """What ``InTiles.fields`` gives; for a process of its own."""
    piece = work.piece
    changed = work.path.stat().st_mtime_ns
    return _tiled(work.asked, work.path, changed, work.frame, piece.shape, piece.member).fields(piece)


@lru_cache(maxsize=1)
def _tiled(asked: Asked, path: Path, changed: int, frame: int, shape: tuple[int, ...], member: int) -> InTiles:
    predictor = opened(asked.run, asked.device, asked.symmetrise).members[member]
    structure = frames_of(path, asked.vacuum).structures[frame]
    return InTiles(predictor, structure, Grid.of(structure.lattice.matrix, shape), member)
