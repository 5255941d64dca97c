"""Whether a field can be a density of electrons: its sum against what is known of the atoms, and what else it may be.

A density of electrons is nowhere negative beyond noise, and holds between the valence electrons of its atoms and all of
them, within the charge of an ion. An all-electron density does not integrate exactly on a grid, and its error lies
within two voxels of the nuclei; it is let pass. Where the sum does not fit, each unit of ``edframe.io.units`` is tried,
and the one that fits is named.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import DENSITY_UNITS, factor
from edframe.io.valence import ions, is_neutral, is_whole, least, most
from edframe.io.volume import Volume

NOISE = 1e-2
"""Electrons in negative values, as a fraction of all, above which a density counts as none: PAW densities of VASP are
negative next to nuclei, by 1.4e-3 in silicon."""

NUCLEUS = 2.0
"""Voxels around a nucleus in which the error of an all-electron density on a grid lies."""

EDGE = 1e-6
"""How far outside of the box an atom may be, as a fraction of a lattice vector, when it is on its face."""

SEAM = 1.0
"""How much larger than the largest change between neighbouring planes the change across a face may be."""

COARSE = 5e-2
"""By how much, as a fraction, the sum over every few points of a grid may be off, as CP2K writes them."""

SHARP = 5e-3
"""And by how much it may be above all electrons of the atoms, unless near nuclei."""

PART = re.compile(r"PARCHG|AECCAR", re.IGNORECASE)
"""In names of files that hold a part of a density: of a band, or of the cores."""


def number_of(volume: Volume, field: str = "total") -> float:
    """The sum of a field over the grid: electrons, where it is a density in e/Å³."""
    return float(volume.fields[field].sum()) * volume.grid.voxel_volume


def check(volume: Volume, name: str, known: float | None = None, *, part: bool = False) -> tuple[str, ...]:
    """What is to be said of a density of electrons. Raises DataError where ``volume`` cannot be one, with the number
    found, the likely cause and the option that cures it.

    name: of its file, for the sentence. known: how many electrons there are, where that is known. part: whether it may
    be a part of a density, of which no number is expected.
    """
    if volume.quantity != "density" or "total" not in volume.fields:
        raise DataError(not_a_density(volume, name))
    total, grid = volume.fields["total"], volume.grid
    electrons = number_of(volume)
    negative = -float(np.minimum(total, 0).sum()) * grid.voxel_volume
    if not electrons > 0 and not negative > 0:
        raise DataError(f"{name}: the total density integrates to {electrons:g} e: it is not a density of electrons")
    if negative > NOISE * abs(electrons):
        at = np.unravel_index(int(total.argmin()), total.shape)
        raise DataError(
            f"{name}: the total density is negative beyond noise, {-negative:.3g} e in all and {total.min():.3g} e/Å³ "
            f"at grid point {tuple(map(int, at))}: it is a spin density, a difference of densities, an orbital or a "
            "potential, and no density of electrons (--quantity field or potential says so)"
        )
    if known is not None or part:
        return ()
    return _judge(volume, name, electrons)


def not_a_density(volume: Volume, name: str) -> str:
    """The sentence on a volume that is not said to be a density, with the option that makes it one."""
    what = f"{name}: it holds {', '.join(volume.fields)} ({volume.quantity}), not an electron density"
    why = "".join(f"; {note}" for note in volume.notes)
    return f"{what}{why}; where it is one, say so by --quantity density (data.quantity in the dataset cube)"


def said(volume: Volume) -> str:
    """What a field holds, in a few words: ``8.0000 electrons in H2 O1 (e/bohr³), magnetisation 1.0000``."""
    if volume.quantity != "density":
        words = (f"{name} {values.min():.4g} to {values.max():.4g}" for name, values in volume.fields.items())
        return f"{volume.quantity} of {volume.structure.formula}: {', '.join(words)}"
    unit = f" ({volume.unit})" if volume.unit else ""
    first, *others = volume.fields
    more = "".join(f", {name} {number_of(volume, name):.4f}" for name in others)
    return f"{number_of(volume, first):.4f} electrons in {volume.structure.formula}{unit}{more}"


def fitting_units(volume: Volume, field: str = "total") -> list[tuple[str, float]]:
    """Units in which a field has the electrons of its neutral atoms, with their number. ``volume.unit`` is that now."""
    now = factor(volume.unit, volume.grid) if volume.unit else 1.0
    fitting = []
    for unit in DENSITY_UNITS:
        electrons = number_of(volume, field) * factor(unit, volume.grid) / now
        if _fits(electrons, volume):
            fitting.append((unit, electrons))
    return fitting


def _fits(electrons: float, volume: Volume) -> bool:
    if volume.valence is not None:
        return is_whole(electrons) and abs(electrons - volume.valence) <= min(2.0, ions(volume.valence)) + 1e-9
    return is_neutral(electrons, volume.structure.atomic_numbers)


def _judge(volume: Volume, name: str, electrons: float) -> tuple[str, ...]:
    """Notes on a density with this number of electrons. Raises DataError where it cannot be one."""
    if _fits(electrons, volume):
        return ()
    numbers = volume.structure.atomic_numbers
    fewest, all_of_them = least(numbers), most(numbers)
    if volume.valence is not None:
        fewest = all_of_them = round(volume.valence)
    low, high = fewest - ions(fewest), all_of_them + ions(all_of_them)
    holds = f"{fewest} to {all_of_them}" if fewest < all_of_them else f"{fewest}"
    number = f"{name}: the density integrates to {electrons:.4f} e in {volume.structure.formula}, which holds {holds} e"
    others = [(unit, count) for unit, count in fitting_units(volume) if unit != volume.unit]
    if others:
        unit, count = others[0]
        raise DataError(
            f"{number}: its values are probably {unit} and not {volume.unit}, because then they give {count:.4f} e; "
            f'--unit "{unit}", or --set "data.unit={unit}", takes them so'
        )
    whole = is_whole(electrons)
    outside = atoms_outside(volume.structure)
    if outside and not whole and (electrons < fewest or (electrons < high and not goes_on(volume.fields["total"]))):
        raise DataError(
            f"{number}, and {outside} of the box: it holds a region of a larger box; write the density of the whole box"
        )
    above = COARSE if volume.valence is not None else SHARP
    blurred = fewest * (1 - COARSE) <= electrons <= all_of_them * (1 + above)
    if (whole and low <= electrons <= high) or (not whole and blurred):
        note = f"{electrons:.4f} e is not a whole number: the grid is coarse, or the box cuts it off"
        return () if whole else (note,)
    if electrons > high and _far_from_nuclei(volume) <= high:
        return (f"{electrons:.4f} e instead of {all_of_them} e: an all-electron density on a grid too coarse for it",)
    raw = volume.fields["total"] * _back(volume)
    if raw.min() >= 0 and 0.7 < raw.max() <= 1.0 + 1e-6:
        cause = "its values are between 0 and 1, as those of an ELF are"
    elif electrons > high or (volume.valence is not None and electrons > fewest):
        cause = "it is in another unit, of another quantity (an orbital, a potential, an ELF), or of other atoms"
    else:
        cause = "it may be one spin of two, a spin density, one band, a part of the box, an orbital, or in another unit"
    raise DataError(
        f"{number}: {cause}; give its unit (--unit, data.unit), or take the values unchanged (--quantity field)"
    )


def atoms_outside(structure: Structure) -> str:
    """Which atoms lie outside of the box, in words: ``atoms 2 (H), 3 (H) lie outside``; empty where none does."""
    fractions = structure.frac_coords
    outside = np.flatnonzero(((fractions < -EDGE) | (fractions > 1 + EDGE)).any(axis=1))
    if not len(outside):
        return ""
    named = [f"{index + 1} ({structure[int(index)].specie.symbol})" for index in outside[:5]]
    more = f" and {len(outside) - 5} more" if len(outside) > 5 else ""
    return f"atom{'s' * (len(outside) > 1)} {', '.join(named)}{more} lie{'s' * (len(outside) == 1)} outside"


def goes_on(values: NDArray[np.float64]) -> bool:
    """Whether a field ``[x, y, z]`` changes no more across its faces than between neighbouring planes."""
    for axis in range(3):
        planes = np.moveaxis(values, axis, 0)
        steps = np.sqrt((np.diff(planes, axis=0) ** 2).mean(axis=(1, 2)))
        seam = float(np.sqrt(((planes[0] - planes[-1]) ** 2).mean()))
        if len(steps) and seam > SEAM * float(steps.max()):
            return False
    return True


def _back(volume: Volume) -> float:
    return 1 / factor(volume.unit, volume.grid) if volume.unit else 1.0


def _far_from_nuclei(volume: Volume) -> float:
    """Electrons farther than NUCLEUS voxels from every nucleus."""
    far = ~near_nuclei(volume.structure, volume.grid)
    return float(volume.fields["total"][far].sum()) * volume.grid.voxel_volume


def near_nuclei(structure: Structure, grid: Grid) -> NDArray[np.bool_]:
    """Which points ``[x, y, z]`` are within NUCLEUS voxels of a nucleus, along every axis."""
    near = np.zeros(grid.shape, bool)
    reach = int(NUCLEUS)
    for fractions in structure.frac_coords:
        at = np.rint(fractions * grid.shape).astype(int)
        rows = [np.arange(n - reach, n + reach + 1) % size for n, size in zip(at, grid.shape, strict=True)]
        near[np.ix_(*rows)] = True
    return near
