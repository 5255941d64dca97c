"""What the values of a file are: density, potential or another field, and in which unit.

What a user says is taken. Else the format decides (CHGCAR, LOCPOT, ELFCAR), or the words of a title, label or name; and
where a format leaves the unit of a density open, as XSF does, that in which the atoms have their electrons is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.io.electrons import fitting_units, number_of
from edframe.io.units import DENSITY_UNITS, ENERGY_UNITS, factor, unit_named
from edframe.io.valence import is_neutral, is_whole
from edframe.io.volume import Quantity, Volume

OTHERS = {
    "an electron localisation function": r"elf|elfcar|electron locali[sz]ation|lol",
    "a potential": r"(?<!pseudo )(?<!pseudo)potential(?! energy)|esp|locpot|v ?hartree|vxc|v xc|v ext",
    "a spin density": r"spin ?dens(ity)?|spin ?polari[sz]ation|magneti[sz]ation|spindens|eldens spin",
    "an orbital": r"(molecular )?orbital(?! free)|wave ?functions?|psi|homo|lumo|(?-i:MO) ?[#=]? ?\d+|wannier function",
    "a difference of densities": r"(density|charge) difference|difference density|deformation|d(elta)? ?rho|cdd|Δρ",
    "a derivative of the density": r"laplacian|rdg|reduced (density )?gradient|density gradient|kinetic energy density",
}
"""Words for what is not a density of electrons. Whole words; - _ and . count as blanks. MO is not Mo."""

MEANT = ("a potential", "an orbital")
"""What a title may also mention where its values are a density, as in 'density, ML potential': the electrons decide."""

UNITS: Mapping[Quantity, tuple[str, ...]] = {"density": DENSITY_UNITS, "potential": ENERGY_UNITS}
"""Units in which each quantity may be said to be."""

COARSE = 1e-2
"""How far, as a fraction, the sum over a coarse grid may be from the electrons of neutral atoms."""

ANISOTROPY = 1e-6
"""By how much a magnetisation may be larger than the density at a point, as a fraction of the largest value."""


def other_quantity(texts: Mapping[str, str]) -> str | None:
    """A note on what the texts of a file (``{"title": …}``) say that its values are, where that is no density."""
    for where, text in texts.items():
        plain = " ".join(re.split(r"[\s_\-.,;:()]+", text))
        density = re.search(r"(?<!\w)density(?!\w)", plain, re.IGNORECASE)
        for what, words in OTHERS.items():
            if density and what in MEANT:
                continue
            if match := re.search(rf"(?<!\w)({words})(?!\w)", plain, re.IGNORECASE):
                return f"the {where} says '{match[0]}', so that the values are {what}, and are left unchanged"
    return None


def meant(volume: Volume, path: Path, unit: str | None, quantity: Quantity | None, *, open_unit: bool) -> Volume:
    """``volume``, as read, with its values in e/Å³ or eV, as ``unit`` and ``quantity`` say, or by its electrons.

    Raises DataError for a unit of another quantity, and where the unit of a density is open and the electrons do not
    determine it.
    """
    if quantity is not None and quantity not in get_args(Quantity):
        raise DataError(f"there is no quantity '{quantity}'; choices: {', '.join(get_args(Quantity))}")
    given = unit_named(unit) if unit is not None else None
    wanted = quantity or ("density" if given in DENSITY_UNITS else "potential" if given in ENERGY_UNITS else None)
    if wanted is None:
        return _decided(volume, path) if volume.quantity == "density" and volume.unit is None else volume
    if given is not None and wanted != "field" and given not in UNITS[wanted]:
        raise DataError(f"{path}: {unit} is not a unit of a {wanted}; leave one of the two out, or correct it")
    if given is not None and wanted == "field":
        raise DataError(f"{path}: a field is taken unchanged; leave --unit out, or name another --quantity")
    raw = _scaled(volume, 1 / factor(volume.unit, volume.grid) if volume.unit else 1.0)
    said = replace(raw, quantity=wanted, unit=None, notes=_without_hints(volume))
    if wanted == "field":
        return said
    if wanted == "potential":
        usual = volume.unit if volume.unit in ENERGY_UNITS else "eV" if volume.unit != "e/bohr³" else "hartree"
    else:
        said = _as_density(said)
        usual = volume.unit if volume.unit in DENSITY_UNITS else ""
    taken = given or usual
    if not taken:
        return _decided(said, path)
    return replace(_scaled(said, factor(taken, said.grid)), unit=taken)


def _decided(volume: Volume, path: Path) -> Volume:
    """A density in the one of e/bohr³ and e/Å³ in which its atoms have their electrons."""
    fitting = [(unit, count) for unit, count in fitting_units(volume) if unit in ("e/bohr³", "e/Å³")]
    if not fitting:
        fitting = _nearly(volume)
    numbers = {unit: number_of(volume) * factor(unit, volume.grid) for unit in ("e/bohr³", "e/Å³")}
    both = " or ".join(f"{count:.4f} e in {unit}" for unit, count in numbers.items())
    if len(fitting) != 1:
        others = [(unit, count) for unit, count in fitting_units(volume) if unit not in numbers]
        fits = f", and {others[0][1]:.4f} e in {others[0][0]}" if others and not fitting else ""
        unit = others[0][0] if fits else "e/bohr³"
        raise DataError(
            f"{path}: this format does not give the unit, and the electrons of {volume.structure.formula} do not "
            f'determine it: there would be {both}{fits}; --unit "{unit}" (or data.unit) says that it is a density, '
            "--quantity field or potential that it is not one"
        )
    chosen, count = fitting[0]
    note = f"the unit is taken to be {chosen}, which makes {count:.4f} e ({both})"
    return replace(_scaled(volume, factor(chosen, volume.grid)), unit=chosen, notes=(*volume.notes, note))


def _nearly(volume: Volume) -> list[tuple[str, float]]:
    """Units in which an ion or an all-electron density on a coarse grid has its electrons."""
    from edframe.io.electrons import check

    fitting = []
    for unit in ("e/bohr³", "e/Å³"):
        scale = factor(unit, volume.grid)
        trial = replace(_scaled(volume, scale), unit=unit)
        try:
            check(trial, "")
        except DataError:
            continue
        # An ELF has any sum, and is never above 1.
        electrons, numbers = number_of(trial), volume.structure.atomic_numbers
        elf = float(volume.fields["total"].max()) <= 1.0 + 1e-6
        if is_whole(electrons) or is_neutral(electrons, numbers, COARSE) or not elf:
            fitting.append((unit, electrons))
    return fitting


def _as_density(volume: Volume) -> Volume:
    """Fields of a file that are said to be a density, by the names of one: the total, and perhaps the magnetisation.

    Two fields are total and magnetisation where the second is nowhere larger than the first, else up and down. Of
    others, the first is the density.
    """
    if "total" in volume.fields:
        return volume
    fields = list(volume.fields.values())
    names = ", ".join(volume.fields)
    if len(fields) == 2:
        first, second = fields
        bound = ANISOTROPY * float(np.abs(first).max())
        spin = bool((np.abs(second) <= np.abs(first) + bound).all())
        if spin and (second.min() < 0 or _more_neutral(first, first + second, volume)):
            return replace(
                volume,
                fields={"total": first, "magnetisation": second},
                notes=(*volume.notes, f"of the fields {names} the first is the total, the second the magnetisation"),
            )
        return replace(
            volume,
            fields={"total": first + second, "magnetisation": first - second},
            notes=(*volume.notes, f"the fields {names} are taken for the densities of both spins"),
        )
    rest = f", and the other {len(fields) - 1} are left out" if len(fields) > 1 else ""
    note = f"the first field, of {names}, is taken for the density{rest}"
    return replace(volume, fields={"total": fields[0]}, notes=(*volume.notes, note) if rest else volume.notes)


def _more_neutral(one: NDArray[np.float64], other: NDArray[np.float64], volume: Volume) -> bool:
    """Whether ``one`` has, in some unit, the electrons of the neutral atoms, and ``other`` has not in the same."""
    numbers = volume.structure.atomic_numbers
    for unit in DENSITY_UNITS:
        scale = factor(unit, volume.grid) * volume.grid.voxel_volume
        if is_neutral(float(one.sum()) * scale, numbers):
            return True
        if is_neutral(float(other.sum()) * scale, numbers):
            return False
    return True


def _scaled(volume: Volume, scale: float) -> Volume:
    if scale == 1.0:
        return volume
    with np.errstate(over="ignore"):
        fields = {name: values * scale for name, values in volume.fields.items()}
    return replace(volume, fields=fields)


def _without_hints(volume: Volume) -> tuple[str, ...]:
    return tuple(note for note in volume.notes if "are left unchanged" not in note)
