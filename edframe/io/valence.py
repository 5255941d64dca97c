"""How many electrons a density of given atoms can hold: with all of them, and with those that pseudopotentials leave.

A pseudopotential takes closed shells into its core. Which ones, by their number of electrons: the list CORES, after the
potentials of VASP (PAW PBE 64), GTH, GBRV and PseudoDojo. So silicon holds 4 (core 10), 12 (core 2) or 14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

CORES = {
    2: 3, 4: 11, 10: 11, 12: 19, 18: 19, 28: 29, 30: 37, 36: 37, 46: 47, 48: 55, 54: 55, 60: 72, 62: 72, 68: 72, 78: 79,
}  # fmt: skip
"""Electrons in a core → the lightest element that may have it."""

OPEN_CORES = {(57, 71): range(46, 70), (89, 103): range(78, 102)}
"""Lanthanides and actinides: potentials with f electrons in the core leave any number from 2 on."""

CHARGE = (1.0, 0.125, 4.0, 0.02)
"""Ions: of n electrons, at most the smaller of 1 + n/8 and 4 + n/50 may be missing or added."""

NEAR = 1e-3
"""A sum over a grid within this fraction, and 0.05 e, of a number is that number."""

TRIED = 5_000
"""Of more numbers of electrons than this, which can be those of neutral atoms, nothing is learnt any more."""


def held(number: int) -> tuple[int, ...]:
    """The numbers of electrons that the potentials of element ``number`` hold, all of its own included; ascending."""
    cores = {core for core, lightest in CORES.items() if number >= lightest}
    for (first, last), more in OPEN_CORES.items():
        if first <= number <= last:
            cores |= {core for core in more if number - core >= 2}
    return tuple(sorted({number - core for core in cores} | {number}))


def least(numbers: Iterable[int]) -> int:
    """Electrons of neutral atoms with the largest cores."""
    return sum(held(number)[0] for number in numbers)


def most(numbers: Iterable[int]) -> int:
    """Electrons of neutral atoms without cores."""
    return sum(numbers)


def ions(electrons: float) -> float:
    """By how many electrons ions may differ from neutral atoms with this number."""
    base, slope, far_base, far_slope = CHARGE
    return min(base + slope * electrons, far_base + far_slope * electrons)


def is_whole(electrons: float) -> bool:
    """Whether a sum over a grid is a whole number, within NEAR."""
    return abs(electrons - round(electrons)) <= min(NEAR * electrons, 0.05)


def is_neutral(electrons: float, numbers: Iterable[int], near: float = NEAR) -> bool:
    """Whether it is the number of electrons of neutral atoms with one potential for each element, within ``near``."""
    sums = {0}
    for number, count in Counter(numbers).items():
        sums = {before + count * each for before in sums for each in held(number)}
        if len(sums) > TRIED:
            return near == NEAR and is_whole(electrons)
    return any(abs(electrons - each) <= (min(near * each, 0.05) if near == NEAR else near * each) for each in sums)
