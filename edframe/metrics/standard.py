"""How far a predicted density is from its reference: pure functions of a batch, and their summary over samples.

Every function takes densities ``[b, s, x, y, z]`` in e/Å^d (d = 1, 2 or 3 trailing axes; s = 1, or 2 with the
magnetisation second), judges the total density, channel 0, and returns float64 ``[b]``. Sums are taken in
float64: an electron count from 10⁶ float32 voxels is otherwise wrong in the fifth digit. Torch is not imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edframe.grid import Grid, density_unit
from edframe.metrics.basins import basin_electrons
from edframe.metrics.coulomb import LOW_G, coulomb_energy

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = [
    "DESCRIPTIONS",
    "LOW_DENSITY",
    "UNITS",
    "basin_error",
    "centre_of_atoms",
    "coulomb_error",
    "dipole_error",
    "electron_count_error",
    "is_isolated",
    "low_density_nmae",
    "low_g_error",
    "nmae",
    "rmse",
    "standard",
    "units",
]

LOW_DENSITY = 0.05
"""Default bound of the low-density region, e/Å^d. In three dimensions 0.05 e/Å³ = 0.0074 e/bohr³: outside of
bonds and cores, inside the usual van der Waals surface of 0.001 e/bohr³, so the region still holds electrons."""

VACUUM = 2e-3
"""e/Å^d. An axis has a vacuum where the mean density of some lattice plane across it is below this."""

DESCRIPTIONS = {
    "nmae": "normalised mean absolute error, ∫|ρ−ρ̂| / ∫ρ",
    "rmse": "root of the mean squared error over the cell",
    "electron_count_error": "difference of the electron counts, |∫ρ̂ − ∫ρ|",
    "dipole_error": "length of the difference of the dipole moments, |∫r(ρ̂−ρ)|; none in a crystal or a slab",
    "low_density_nmae": f"NMAE where ρ < {LOW_DENSITY} e/Å^d, relative to the electrons there",
    "basin_error": "difference of the electrons nearest to an atom, |ΔN|, mean over the atoms",
    "coulomb_error": "½∫∫ δρ(r) δρ(r′) / |r−r′| of the error δρ, per electron",
    "low_g_error": f"the part of the Coulomb energy that is in waves of |G| < {LOW_G:g} Å⁻¹",
}
"""What each metric is, for tables."""


def units(dimension: int = 3) -> dict[str, str]:
    """Unit of each metric on grids of ``dimension`` axes, for tables."""
    return {
        "nmae": "%",
        "rmse": density_unit(dimension),
        "electron_count_error": "e",
        "dipole_error": "e·Å",
        "low_density_nmae": "%",
        "basin_error": "e",
        "coulomb_error": "eV/e",
        "low_g_error": "eV/e",
    }


UNITS = units()
"""Unit of each metric in three dimensions."""


def nmae(predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"]) -> Float[Tensor, "b"]:
    """∫|ρ−ρ̂| / ∫ρ in %, ``[b]``."""
    p, r = _total(predicted), _total(reference)
    return 100 * (p - r).abs().sum(1) / r.sum(1)


def rmse(predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"]) -> Float[Tensor, "b"]:
    """√⟨(ρ−ρ̂)²⟩ over all voxels in e/Å^d, ``[b]``. It falls when vacuum is added; NMAE does not."""
    return (_total(predicted) - _total(reference)).square().mean(1).sqrt()


def electron_count_error(
    predicted: Float[Tensor, "b s *grid"], electrons: Float[Tensor, "b"], grid: Grid
) -> Float[Tensor, "b"]:
    """|∫ρ̂ − N| in electrons, ``[b]``; ``electrons`` is N ``[b]``."""
    return (_total(predicted).sum(1) * grid.voxel_volume - electrons.double()).abs()


def dipole_error(
    predicted: Float[Tensor, "b s *grid"],
    reference: Float[Tensor, "b s *grid"],
    grid: Grid,
    centres: Float[Tensor, "b d"],
) -> Float[Tensor, "b"]:
    """|∫ r (ρ̂−ρ) dV| in e·Å, ``[b]``.

    centres: ``[b, d]`` in Å, the middle of the atoms (see ``centre_of_atoms``). On periodic axes each voxel counts at
    its image nearest to the centre: fractional coordinates relative to it lie in [−½, ½). Where both
    densities hold the same number of electrons the result depends on the centre only through where the cell is cut,
    which is to be in the vacuum; in a crystal without vacuum a dipole is not defined and the value is
    only a measure of asymmetry.
    """
    difference = _total(predicted) - _total(reference)
    shaped = difference.reshape(-1, *grid.shape)
    origins = centres.to(difference) @ difference.new_tensor(np.linalg.inv(grid.vectors))
    moments = difference.new_empty(len(difference), grid.dimension)
    for axis, (n, periodic) in enumerate(zip(grid.shape, grid.periodic, strict=True)):
        fractions = difference.new_tensor(np.arange(n) / n)[None] - origins[:, axis, None]
        if periodic:
            fractions = fractions - (fractions + 0.5).floor()
        # The moment along one lattice vector needs only the marginal of the difference on that axis.
        others = tuple(i + 1 for i in range(grid.dimension) if i != axis)
        marginal = shaped.sum(others) if others else shaped
        moments[:, axis] = (fractions * marginal).sum(1)
    cartesian = moments @ moments.new_tensor(grid.vectors) * grid.voxel_volume
    return cartesian.square().sum(1).sqrt()


def low_density_nmae(
    predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], threshold: float = LOW_DENSITY
) -> Float[Tensor, "b"]:
    """NMAE over the voxels where the reference is below ``threshold`` (e/Å^d), in % of the electrons there, ``[b]``.

    NMAE is dominated by voxels near nuclei; this looks at the rest. nan where that region holds no electrons.
    """
    p, r = _total(predicted), _total(reference)
    low = r < threshold
    return 100 * ((p - r).abs() * low).sum(1) / (r * low).sum(1)


def basin_error(
    predicted: Float[Tensor, "b s *grid"],
    reference: Float[Tensor, "b s *grid"],
    grid: Grid,
    positions: Float[Tensor, "b n d"],
) -> Float[Tensor, "b"]:
    """Mean over the atoms of |∫ (ρ̂−ρ) dV| over the points nearest to each, in electrons, ``[b]``.

    positions: ``[b, n, d]`` in Å. Charge moved from one atom to another counts at both, so twice over n; charge moved
    about within the surroundings of an atom does not count. See ``edframe.metrics.basins``.
    """
    difference = predicted[:, 0].double() - reference[:, 0].double()
    pairs = zip(difference, positions, strict=True)
    return difference.new_tensor([float(basin_electrons(d, grid, atoms).abs().mean()) for d, atoms in pairs])


def coulomb_error(
    predicted: Float[Tensor, "b s *grid"],
    reference: Float[Tensor, "b s *grid"],
    grid: Grid,
    below: float | None = None,
) -> Float[Tensor, "b"]:
    """½ ∫∫ δρ(r) δρ(r′) / |r − r′| of δρ = ρ̂ − ρ over the electrons of the reference, in eV, ``[b]``.

    below: Å⁻¹; only waves with a smaller |G| count; None: all. nan on a line, where it is not defined. See
    ``edframe.metrics.coulomb``.
    """
    electrons = _total(reference).sum(1) * grid.voxel_volume
    if grid.dimension == 1:
        return electrons * np.nan
    return coulomb_energy(predicted[:, 0].double() - reference[:, 0].double(), grid, below) / electrons


def low_g_error(
    predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
) -> Float[Tensor, "b"]:
    """The part of ``coulomb_error`` in waves of |G| < 1 Å⁻¹, in eV per electron, ``[b]``.

    These are the waves that a self-consistent field is slow to mend. On periodic axes shorter than 2π Å there are none.
    """
    return coulomb_error(predicted, reference, grid, LOW_G)


def standard(
    predicted: Float[Tensor, "b s *grid"],
    reference: Float[Tensor, "b s *grid"],
    grid: Grid,
    positions: Float[Tensor, "b n d"],
    electrons: Float[Tensor, "b"] | None = None,
) -> dict[str, Float[Tensor, "b"]]:
    """All metrics of this module by name, each ``[b]``; the names are the keys of UNITS and DESCRIPTIONS.

    positions: of the atoms, ``[b, n, d]`` in Å. electrons: ``[b]``; None: the integral of the reference.
    """
    if electrons is None:
        electrons = _total(reference).sum(1) * grid.voxel_volume
    centres = positions.new_tensor(np.stack([centre_of_atoms(atoms, grid) for atoms in positions.cpu().numpy()]))
    return {
        "nmae": nmae(predicted, reference),
        "rmse": rmse(predicted, reference),
        "electron_count_error": electron_count_error(predicted, electrons, grid),
        "dipole_error": dipole_error(predicted, reference, grid, centres),
        "low_density_nmae": low_density_nmae(predicted, reference),
        "basin_error": basin_error(predicted, reference, grid, positions),
        "coulomb_error": coulomb_error(predicted, reference, grid),
        "low_g_error": low_g_error(predicted, reference, grid),
    }


def centre_of_atoms(positions: ArrayLike, grid: Grid) -> NDArray[np.float64]:
    """Middle of the atoms, ``[d]`` in Å, as far as can be from the largest gap between them on each periodic axis.

    positions: ``[n, d]`` in Å, in any image. The mean of the positions would lie in the vacuum for a molecule
    that straddles the boundary; the middle of the box left by the largest gaps does not, nor does it depend on
    the order of the atoms.
    """
    fractions = np.asarray(positions, dtype=float) @ np.linalg.inv(grid.vectors)
    middle = np.empty(grid.dimension)
    for axis, periodic in enumerate(grid.periodic):
        x = np.sort(fractions[:, axis] % 1.0 if periodic else fractions[:, axis])
        if periodic:
            gaps = np.diff(x, append=x[0] + 1.0)
            widest = int(np.argmax(gaps))
            middle[axis] = (x[widest] + gaps[widest] / 2 + 0.5) % 1.0
        else:
            middle[axis] = (x[0] + x[-1]) / 2
    return np.asarray(middle @ grid.vectors)


def is_isolated(total: NDArray[np.float64], grid: Grid) -> bool:
    """Whether there is a vacuum along each periodic axis, as around a molecule in a box: only then is there a dipole.

    total: the density ``[x, y, z]`` in e/Å^d.
    """
    for axis, periodic in enumerate(grid.periodic):
        others = tuple(other for other in range(grid.dimension) if other != axis)
        if periodic and float(total.mean(axis=others).min()) >= VACUUM:
            return False
    return True


def _total(density: Tensor) -> Tensor:
    """Channel 0 of ``[b, s, …]`` in float64, flat: ``[b, voxels]``."""
    return density[:, 0].double().flatten(1)
