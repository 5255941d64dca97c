"""Products of sums over neighbours that do not change under rotations: Σ_m A_ilm A_jlm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Squares:
    """Those of some (l, i, j), i ≤ j the places of channels in A.

    runs: (l, i, end): of j from i to before ``end`` each, one after the other. row: where (l, i, j) is.
    """

    runs: Sequence[tuple[int, int, int]]
    row: Mapping[tuple[int, int, int], int]

    @classmethod
    def of(cls, wanted: Sequence[tuple[int, int, int]]) -> Squares:
        """Of all ``wanted``, and of some between these."""
        ends: dict[tuple[int, int], int] = {}
        for ell, i, j in wanted:
            ends[ell, i] = max(ends.get((ell, i), 0), j + 1)
        runs = [(ell, i, end) for (ell, i), end in sorted(ends.items())]
        every = [(ell, i, j) for ell, i, end in runs for j in range(i, end)]
        return cls(runs, {square: number for number, square in enumerate(every)})

    def __call__(self, moments: Sequence[Float[Tensor, "_ _ n"]]) -> Float[Tensor, "k n"]:
        """From the A of each l, ``[c, m, n]``. Nothing is differentiated."""
        rows = moments[0].new_empty(len(self.row), moments[0].shape[2])
        singles = [of_one.unbind() for of_one in moments]
        results = torch.split(rows, [end - i for _, i, end in self.runs])
        for (ell, i, end), result in zip(self.runs, results, strict=True):
            if len(singles[ell][i]) == 1:
                torch.mul(moments[ell][i:end, 0], singles[ell][i], out=result)
            else:
                torch.sum(moments[ell][i:end] * singles[ell][i], 1, out=result)
        return rows
