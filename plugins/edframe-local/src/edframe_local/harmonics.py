"""Real regular solid harmonics in 1, 2 and 3 dimensions, polynomials of the coordinates."""

from __future__ import annotations

from math import factorial, sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def solid_harmonics(vectors: Float[Tensor, "*points d"], largest: int) -> list[Float[Tensor, "*points _"]]:
    """R_lm of ``vectors`` ``[…, d]``: for each l up to ``largest`` a tensor ``[…, m]``.

    The sum over m of R_lm(u) R_lm(v) is (uv)^l times the Legendre polynomial P_l of the cosine between u and v for
    d = 3 (m = 2l + 1 of Racah's normalisation, Condon–Shortley phase left out), times cos(lφ) for d = 2 (m = 2, or 1
    for l = 0), and the l-th power of the product for d = 1 (l ≤ 1). So it depends on lengths and the angle alone.
    """
    return [torch.stack(rows, -1) for rows in harmonic_rows(vectors, largest)]


def harmonic_rows(vectors: Float[Tensor, "*points d"], largest: int) -> list[list[Float[Tensor, "*points"]]]:
    """The same, for each l and m a tensor ``[…]`` of its own."""
    if vectors.shape[-1] == 1:
        return [[torch.ones_like(vectors[..., 0])], [vectors[..., 0]]][: largest + 1]
    x, y = vectors[..., 0], vectors[..., 1]
    cosines, sines = [torch.ones_like(x)], [torch.zeros_like(x)]  # ρ^m cos(mφ) and ρ^m sin(mφ)
    for m in range(largest):
        cosines.append(cosines[m] * x - sines[m] * y)
        sines.append(sines[m] * x + cosines[m] * y)
    if vectors.shape[-1] == 2:
        return [cosines[:1], *(list(pair) for pair in zip(cosines[1:], sines[1:], strict=True))]
    heights = _heights(vectors[..., 2], vectors.square().sum(-1), largest)
    rows = []
    for ell in range(largest + 1):
        row = []
        for m in range(-ell, ell + 1):
            k = abs(m)
            scale = sqrt((2 if m else 1) * factorial(ell - k) / factorial(ell + k))
            row.append(scale * heights[ell, k] * (sines if m < 0 else cosines)[k])
        rows.append(row)
    return rows


def _heights(z: Tensor, squared: Tensor, largest: int) -> dict[tuple[int, int], Tensor]:
    """r^(l−m) times the m-th derivative of P_l at z/r, by the recurrence of the associated Legendre functions."""
    heights = {}
    double_factorial = 1.0
    for m in range(largest + 1):
        heights[m, m] = torch.full_like(z, double_factorial)
        double_factorial *= 2 * m + 1
        for ell in range(m + 1, largest + 1):
            below = (ell + m - 1) * squared * heights[ell - 2, m] if ell > m + 1 else 0
            heights[ell, m] = ((2 * ell - 1) * z * heights[ell - 1, m] - below) / (ell - m)
    return heights
