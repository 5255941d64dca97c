"""Overlaps of contracted Gaussians of s and p type, in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def overlaps(
    exponents: Float[Tensor, "a 2 g"], coefficients: Float[Tensor, "a 2 g"], positions: Float[Tensor, "a 3"]
) -> Float[Tensor, "4*a 4*a"]:
    """Of the orbitals s, x, y, z of each atom with those of each other. positions in bohr, exponents in 1/bohr².

    coefficients: of exp(−αr²) and x exp(−αr²), without norms. By the product theorem: the centre of two Gaussians is
    P = (αA + βB)/(α + β), and moments about it are those of a Gaussian of exponent α + β.
    """
    apart = positions[:, None] - positions[None]
    squared = apart.square().sum(-1)[:, :, None, None]

    def product(first: int, second: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a, b = exponents[:, first][:, None, :, None], exponents[:, second][None, :, None, :]
        p = a + b
        both = coefficients[:, first][:, None, :, None] * coefficients[:, second][None, :, None, :]
        return a, b, p, both * torch.exp(-a * b / p * squared) * (math.pi / p) ** 1.5

    ss = product(0, 0)[3].sum((-1, -2))
    a, _, p, value = product(0, 1)
    sp = (value * a / p).sum((-1, -2))[..., None] * apart  # s at A, p at B
    a, b, p, value = product(1, 1)
    along = -(value * a * b / p**2).sum((-1, -2))[..., None, None] * apart[..., :, None] * apart[..., None, :]
    pp = along + (value / (2 * p)).sum((-1, -2))[..., None, None] * torch.eye(3, dtype=apart.dtype)
    upper = torch.cat([ss[..., None, None], sp[..., None, :]], 3)
    lower = torch.cat([sp.transpose(0, 1)[..., None], pp], 3)
    return torch.cat([upper, lower], 2).permute(0, 2, 1, 3).reshape(4 * len(positions), -1)
