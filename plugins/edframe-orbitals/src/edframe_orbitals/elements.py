"""Where the fit of an element starts: orbitals after Slater's rules, and the energies of its valence shells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edframe.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float

GAUSSIANS = (1.6, 0.48, 0.15, 0.043)
"""Exponents in units of ζ², of an orbital r exp(−ζr)."""
GAUSSIANS_1S = (8.4, 1.8, 0.49, 0.16)
"""The same of exp(−ζr)."""
LEVELS: dict[str, tuple[float, float]] = {
    "H": (-13.6, 0.0), "He": (-24.6, 0.0),
    "Li": (-5.4, -3.5), "Be": (-10.0, -6.0), "B": (-15.2, -8.5), "C": (-21.4, -11.4), "N": (-26.0, -13.4),
    "O": (-32.3, -14.8), "F": (-40.0, -18.1), "Ne": (-43.2, -20.0),
    "Na": (-5.1, -3.0), "Mg": (-9.0, -4.5), "Al": (-12.3, -6.5), "Si": (-17.3, -9.2), "P": (-18.6, -14.0),
    "S": (-20.0, -13.3), "Cl": (-30.0, -15.0), "Ar": (-35.0, -17.0),
}  # fmt: skip
"""Ionisation energies of the s and p shell, eV, as extended Hückel theory takes them."""


def known(species: tuple[str, ...]) -> None:
    """Raises DataError for an element without valence shells of s and p alone."""
    strange = [symbol for symbol in species if symbol not in LEVELS]
    if strange:
        raise DataError(
            f"the featurizer orbitals has orbitals of H to Ar, and none of {', '.join(strange)}; use local-network"
        )


def slater(number: int) -> float:
    """ζ in 1/bohr of the valence shell of the atomic number ``number``, by Slater's rules; of H that in molecules."""
    if number <= 2:
        return 1.24 if number == 1 else 1.7
    inner, core = (2, 0) if number <= 10 else (8, 2)
    own = number - inner - core
    return (number - 0.35 * (own - 1) - 0.85 * inner - 1.0 * core) / (2 if number <= 10 else 3)


def start(number: int) -> tuple[Float[Tensor, "2 g"], Float[Tensor, "2 g"]]:
    """Exponents in 1/bohr² and coefficients of normalised Gaussians, of the s and the p orbital of an element.

    The coefficients are those nearest to r^k exp(−ζr), k = l in the first period and 1 in others.
    """
    zeta = slater(number)
    shape = torch.tensor(GAUSSIANS_1S if number <= 2 else GAUSSIANS, dtype=torch.float64)
    scale = zeta**2 if number <= 10 else (zeta * 0.7) ** 2
    exponents = torch.stack([shape * scale, shape * scale])
    r = torch.linspace(0.02, 12 / zeta, 400, dtype=torch.float64)
    rows = []
    for ell in (0, 1):
        radial = torch.exp(-exponents[ell][None] * r[:, None] ** 2) * norms(exponents[ell], ell) * r[:, None] ** ell
        wanted = r ** (ell if number <= 2 else 1) * torch.exp(-zeta * r)
        rows.append(torch.linalg.lstsq(radial * r[:, None], (wanted * r)[:, None]).solution[:, 0])
    return exponents, torch.stack(rows)


def norms(exponents: Float[Tensor, "*g"], ell: int) -> Float[Tensor, "*g"]:
    """Of Gaussians exp(−αr²) (l = 0) and x exp(−αr²) (l = 1), so that their square integrates to one."""
    norm = (2 * exponents / torch.pi) ** 0.75
    return norm if ell == 0 else 2 * exponents.sqrt() * norm
