"""Anderson mixing of a batch of fixed-point iterations (Anderson 1965; Walker and Ni 2011, type II)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

REGULARISATION = 1e-8
"""Added to the Gram matrix, relative to its diagonal: differences of residuals become nearly dependent."""

KEPT = torch.float32
"""Precision of the differences: they only correct the float64 iterate, and are most of the memory of a solve."""


TINY = 1e-38
"""Squares of norms below are not divided by."""


class AndersonMixing:
    """The next iterate of x = G(x): G(x) less the combination of past differences that cancels most of G(x) − x.

    Samples are mixed independently. weight: ``[b, N]``, the mass that belongs to each component of the residual.
    memory: number of past differences. relaxation: fraction of the residual that a step goes.
    """

    def __init__(self, weight: Float[Tensor, "b n"], memory: int, relaxation: float) -> None:
        batch, size = weight.shape
        self._memory = memory
        self._relaxation = relaxation
        self._root = weight.to(KEPT).sqrt_()
        # Differences of residuals, and the residual itself in the last place; all times the root of the weight.
        self._residuals = weight.new_zeros((batch, memory + 1, size), dtype=KEPT)
        self._images = weight.new_zeros((batch, memory, size), dtype=KEPT)  # differences of G(x)
        self._best = [math.inf] * batch
        self._correction: Tensor | None = None
        self._count = -1

    def keep(self, samples: Bool[Tensor, "b"]) -> None:
        """Go on with some ``samples`` of the batch only (bool, ``[b]``)."""
        self._best = [best for best, kept in zip(self._best, samples.tolist(), strict=True) if kept]
        for name in ("_root", "_residuals", "_images", "_correction"):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name)[samples])

    def advance(self, x: Float[Tensor, "b *grid"], residual: Float[Tensor, "b *grid"]) -> None:
        """Make x the next iterate, from G(x) − x; both ``[b, n1, …, nd]``, overwritten."""
        x.add_(self.step(residual))

    def step(self, residual: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """The difference of the next iterate and this one, from G(x) − x, in its place."""
        if self._relaxation != 1:
            residual.mul_(self._relaxation)
        flat = residual.flatten(1)
        last = self._residuals[:, -1]
        if self._count < 0:
            torch.mul(flat, self._root, out=last)
        else:
            slot = self._count % self._memory
            difference, image = self._residuals[:, slot], self._images[:, slot]
            torch.neg(last, out=difference)
            torch.mul(flat, self._root, out=last)
            difference.add_(last)
            # G(x') − G(x) = residual' + x' − G(x), and x' − G(x) is minus the last correction: in float64, since a far
            # move has corrections of which little is left.
            if self._correction is None:
                image.copy_(flat)
            elif flat.dtype == KEPT:
                torch.sub(flat, self._correction, out=image)
            else:
                image.copy_(flat - self._correction)
            self._correction = torch.bmm(self._coefficients(), self._images)[:, 0]
            flat.sub_(self._correction)
        self._count += 1
        return residual

    def _coefficients(self) -> Tensor:
        """Of the differences, ``[b, 1, memory]``: the least squares solution for the residual.

        In Python's numbers: there are so few that each operation of torch would take as long as all of them.
        """
        products = torch.bmm(self._residuals, self._residuals.mT).tolist()
        rows = []
        for sample, gram in enumerate(products):
            *right, size = gram.pop()
            # A step that made things much worse is not worth extrapolating from: take the plain one.
            plain = not size <= 4 * self._best[sample]
            self._best[sample] = min(self._best[sample], size)
            rows.append([[0.0] * self._memory if plain else _least_squares([row[:-1] for row in gram], right)])
        return torch.tensor(rows, dtype=KEPT, device=self._images.device)


def _least_squares(gram: list[list[float]], right: list[float]) -> list[float]:
    """x with ``gram`` x = ``right``, by elimination, after scaling to a diagonal of one; 0 where that is too small."""
    count = range(len(right))
    scale = [1 / math.sqrt(gram[i][i]) if gram[i][i] > TINY else 0.0 for i in count]
    rows = [[gram[i][j] * scale[i] * scale[j] for j in count] + [right[i] * scale[i]] for i in count]
    for i in count:
        rows[i][i] = 1 + REGULARISATION
    for i in count:
        for k in range(i + 1, len(right)):
            factor = rows[k][i] / rows[i][i]
            for j in range(i + 1, len(right) + 1):
                rows[k][j] -= factor * rows[i][j]
    solution = [0.0] * len(right)
    for i in reversed(count):
        known = sum(rows[i][j] * solution[j] for j in range(i + 1, len(right)))
        solution[i] = (rows[i][-1] - known) / rows[i][i]
    solution = [x * factor for x, factor in zip(solution, scale, strict=True)]
    return solution if all(map(math.isfinite, solution)) else [0.0] * len(right)
