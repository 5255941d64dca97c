"""Predictions in tiles, in this process or in several: by one model or the members of an ensemble, also symmetrised.

What is kept of the whole grid lies in files. A symmetrised density is the mean over the cell's operations: the atoms
are moved by each, and the density of these is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.basis import Basis
from edframe.grid import Grid, Region
from edframe.interfaces import Features, TiledModel
from edframe.memory import out_of_memory_as
from edframe.predict.layers import added, fields_of, held, kept, layers
from edframe.predict.memory import too_large
from edframe.predict.on_disk import chunks, in_file
from edframe.predict.tiles import Tile

if TYPE_CHECKING:
    from edframe.predict.predictor import Predictor


@dataclass(frozen=True)
class Piece:
    """A tile of a prediction. member: of an ensemble. turn: which operation of the cell moves the atoms before.

    held: the electrons of the baseline's positive part on the whole grid; None without a baseline.
    """

    tile: Tile
    member: int
    turn: int
    shape: tuple[int, ...]
    electrons: float
    held: float | None


@dataclass
class Processes:
    """Others that compute tiles. count: how many. fields: the number of a piece and its fields, as they come. used:
    whether they did."""

    count: int
    fields: Callable[[Sequence[Piece]], Iterator[tuple[int, NDArray[np.float32]]]]
    used: bool = False


class InTiles:
    """The tiles of one structure on ``grid`` by one predictor, the ``member`` of an ensemble."""

    def __init__(self, predictor: Predictor, structure: Structure, grid: Grid, member: int = 0) -> None:
        model = predictor.inner
        assert isinstance(model, TiledModel)
        self.predictor, self.model, self.structure, self.member = predictor, model, structure, member
        self.basis: Basis = predictor.basis(grid)
        self._ready: tuple[int, Callable[[Region], Features]] | None = None

    @cached_property
    def turns(self) -> list[NDArray[np.int64] | None]:
        """The operations that are averaged over; None: that which moves nothing."""
        return [None, *self.basis.grid.symmetries()[1:]] if self.predictor.symmetrised else [None]

    def features(self, turn: int) -> Callable[[Region], Features]:
        """The features of the moved atoms on a part of the grid; those of the last ``turn`` are kept ready."""
        if self._ready is None or self._ready[0] != turn:
            self._ready = None
            self._ready = turn, self.predictor.features_on(self._placed(turn), self.basis.grid)
        return self._ready[1]

    def pieces(self, parts: Sequence[Tile], electrons: float) -> list[Piece]:
        """All that is to be computed."""
        grid = self.basis.grid
        whole = held(self.features(0), grid)
        numbers = range(len(self.turns))
        return [Piece(tile, self.member, turn, grid.shape, electrons, whole) for turn in numbers for tile in parts]

    @torch.no_grad()
    def fields(self, piece: Piece) -> NDArray[np.float32]:
        """The model's fields at the inner points of a piece."""
        on, device = self.features(piece.turn), self.predictor.device
        return fields_of(self.model, on, self.basis.grid, piece.tile, piece.electrons, piece.held, device)

    def forget(self) -> None:
        """Let go of what is kept ready."""
        self._ready = None

    def _placed(self, turn: int) -> Structure:
        """The atoms in the model's basis, moved so that the point p of the grid sees what W p saw before."""
        given, operation, grid = self.structure, self.turns[turn], self.basis.grid
        if operation is None and self.basis.same:
            return given
        lattice = Lattice(grid.vectors)
        fractions = lattice.get_fractional_coords(given.cart_coords)
        if operation is not None:
            shape = np.array(grid.shape)
            fractions = fractions @ np.linalg.inv(operation * shape / shape[:, None]).T
        return Structure(lattice, given.species, fractions)


@torch.no_grad()
def each_density(
    members: Sequence[InTiles],
    parts: Sequence[Tile],
    electrons: float,
    folder: Path | None,
    processes: Processes | None,
    *,
    x_fastest: bool = False,
) -> Iterator[NDArray[np.float64]]:
    """The density ``[s, x, y, z]`` in e/Å³ of each member in turn, in files without names in ``folder``.

    x_fastest: their order, see ``in_file``; where points are not in place, it is that of memory. Raises RunError where
    there is not enough memory.
    """
    groups = _grouped(members, parts, electrons, processes)
    for member in members:
        grid, basis = member.basis.grid, member.basis
        order = x_fastest and basis.same and not member.predictor.symmetrised
        density: NDArray[np.float64] | None = None
        with out_of_memory_as(too_large(basis.given)):
            for turn in member.turns:
                fields = kept(next(groups), grid, folder, x_fastest=order)
                made = layers(member.model, fields, grid, electrons, member.predictor.device)
                share = 1 / len(member.turns)
                density = added(density, made, basis, folder, turn=turn, share=share, x_fastest=order)
        assert density is not None
        member.forget()
        yield density


def mean_and_deviation(
    each: Iterator[NDArray[np.float64]], folder: Path | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of arrays in files and their standard deviation, by B. P. Welford, Technometrics 4, 419 (1962)."""
    mean = next(each)
    squares = in_file(mean.shape, np.float64, folder, x_fastest=not mean.flags.c_contiguous)
    count = 1
    for array in each:
        count += 1
        for values, average, square in chunks(array, mean, squares):
            away = values - average
            average += away / count
            square += away * (values - average)
    for (square,) in chunks(squares):
        np.sqrt(square / (count - 1), out=square)
    return mean, squares


def total(array: NDArray[np.float64]) -> float:
    """The sum of the first channel of an array in a file."""
    return sum(float(part.sum()) for (part,) in chunks(array[:1]))


def _grouped(
    members: Sequence[InTiles], parts: Sequence[Tile], electrons: float, processes: Processes | None
) -> Iterator[Iterator[tuple[Tile, NDArray[np.float32]]]]:
    """For each turn of each member in order, its tiles and their fields as they come; take all before the next."""
    if processes is None:
        for member in members:
            pieces = member.pieces(parts, electrons)
            for start in range(0, len(pieces), len(parts)):
                yield ((piece.tile, member.fields(piece)) for piece in pieces[start : start + len(parts)])
        return
    pieces = []
    for member in members:
        pieces += member.pieces(parts, electrons)
        member.forget()
    processes.used, done = True, processes.fields(pieces)
    early: dict[int, list[tuple[Tile, NDArray[Any]]]] = {}

    def group(number: int) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        ready = early.pop(number, [])
        missing = len(parts) - len(ready)
        yield from ready
        while missing:
            index, values = next(done)
            if index // len(parts) == number:
                missing -= 1
                yield pieces[index].tile, values
            else:  # of the next group, begun while the last tiles of this one are computed
                early.setdefault(index // len(parts), []).append((pieces[index].tile, values))

    for number in range(len(pieces) // len(parts)):
        yield group(number)
    next(done, None)  # lets the processes end
