"""Real regular solid harmonics in 1, 2 and 3 dimensions, polynomials of the coordinates."""

from __future__ import annotations

from functools import lru_cache
from math import factorial, sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def orders(dimension: int, largest: int) -> list[int]:
    """How many m each l up to ``largest`` has."""
    more = {1: [1], 2: [2] * largest, 3: [2 * ell + 1 for ell in range(1, largest + 1)]}[dimension]
    return [1, *more][: largest + 1]


def solid_harmonics(vectors: Float[Tensor, "*points d"], largest: int) -> list[Float[Tensor, "*points _"]]:
    """R_lm of ``vectors`` ``[…, d]``: for each l up to ``largest`` a tensor ``[…, m]``, m from −l to l for d = 3.

    The sum over m of R_lm(u) R_lm(v) is (uv)^l times the Legendre polynomial P_l of the cosine between u and v for
    d = 3 (m = 2l + 1 of Racah's normalisation, Condon–Shortley phase left out), times cos(lφ) for d = 2 (m = 2, or 1
    for l = 0), and the l-th power of the product for d = 1 (l ≤ 1). So it depends on lengths and the angle alone.
    """
    dimension = vectors.shape[-1]
    parts = torch.split(harmonic_rows(vectors.movedim(-1, 0), largest), orders(dimension, largest))
    if dimension == 3:
        parts = tuple(part[[*range(2 * ell, ell, -1), *range(ell + 1)]] for ell, part in enumerate(parts))
    return [part.movedim(0, -1) for part in parts]


def harmonic_rows(vectors: Float[Tensor, "d *points"], largest: int) -> Float[Tensor, "lm *points"]:
    """The same for ``vectors`` ``[d, …]``, one (l, m) after the other: of each l the cosines, then the sines of mφ."""
    dimension, *points = vectors.shape
    rows = vectors.new_empty(sum(orders(dimension, largest)), *points)
    rows[0] = 1
    if dimension == 1:
        rows[1:] = vectors
        return rows
    x, y = vectors[:2]
    waves = vectors.new_empty(2, largest + 1, *points)  # ρ^m cos(mφ) and ρ^m sin(mφ)
    waves[0, 0], waves[1, 0] = 1, 0
    cosines, sines = waves.unbind()
    for m in range(largest):
        torch.mul(waves[:, m], x, out=waves[:, m + 1])
        cosines[m + 1].addcmul_(sines[m], y, value=-1)
        sines[m + 1].addcmul_(cosines[m], y)
    if dimension == 2:
        rows[1:] = waves[:, 1:].transpose(0, 1).flatten(0, 1)
        return rows
    z, squared = vectors[2], vectors.square().sum(0)
    below, heights = None, torch.ones_like(z)[None]  # r^(l−m) d^m P_l(z/r) for each m, normalised
    for ell in range(1, largest + 1):
        first, second, last = _recurrence(ell, vectors.dtype, vectors.device)
        lines = vectors.new_empty(ell + 1, *points)
        lines[ell] = last
        torch.mul(heights, z, out=lines[:ell]).mul_(first.view(-1, *[1] * len(points)))
        if below is not None:
            lines[: ell - 1].addcmul_(below * squared, second.view(-1, *[1] * len(points)), value=-1)
        below, heights = heights, lines
        start = ell * ell
        torch.mul(lines, cosines[: ell + 1], out=rows[start : start + ell + 1])
        torch.mul(lines[1:], sines[1 : ell + 1], out=rows[start + ell + 1 : start + 2 * ell + 1])
    return rows


@lru_cache(maxsize=64)
def _recurrence(ell: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, float]:
    """What the heights of l − 1, times z, and of l − 2, times r², are multiplied with, ``[m]``, and that of m = l: the
    recurrence of the associated Legendre functions, with Racah's normalisation in it."""

    def scale(of: int, m: int) -> float:
        return sqrt((2 if m else 1) * factorial(of - m) / factorial(of + m))

    first = [(2 * ell - 1) / (ell - m) * scale(ell, m) / scale(ell - 1, m) for m in range(ell)]
    second = [(ell + m - 1) / (ell - m) * scale(ell, m) / scale(ell - 2, m) for m in range(ell - 1)]
    last = scale(ell, ell) * factorial(2 * ell) / (2**ell * factorial(ell))
    return *(torch.tensor(each, dtype=dtype, device=device) for each in (first, second)), last
