"""Computations at points that also need sums over the whole grid, on the grid or on one part of it after the other.

They are written as generators: one yields what its part adds to the sums, is sent the sums over all parts, and so on,
and returns the values at the points of its part.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

Summing = Generator[Tensor, Tensor, Tensor]
"""Yields sums ``[b, n]`` float64 over its part, is sent those over all, and returns ``[b, s, x, y, z]``."""


def on_whole(steps: Summing) -> Float[Tensor, "b s *grid"]:
    """The values where the part is the whole grid."""
    try:
        sums = next(steps)
        while True:
            sums = steps.send(sums)
    except StopIteration as end:
        values: Tensor = end.value
        return values


def on_parts(parts: Callable[[], Iterable[Summing]]) -> Iterator[Float[Tensor, "b s *part"]]:
    """The values of each part in order. ``parts`` is called once for each sum and once more, so that one part at a time
    is in memory; the steps of all are as many."""
    known: list[Tensor] = []
    while True:
        total = None
        for steps in parts():
            try:
                sums = next(steps)
                for each in known:
                    sums = steps.send(each)
            except StopIteration as end:
                yield end.value
            else:
                total = sums if total is None else total + sums
        if total is None:
            return
        known.append(total)
