"""Whether a restart is worth it, by the kind of the system and the code, from measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.io.volume import Volume

Kind = Literal["molecule", "metal", "metal surface", "surface", "covalent crystal", "ionic crystal"]
VACUUM = 2e-3
"""e/Å³: an axis has a vacuum where some plane across it has a mean density below this."""
IONIC = 1.0
"""Difference of electronegativities (Pauling) above which a crystal is ionic."""


@dataclass(frozen=True)
class Outlook:
    """saving: fraction of the processor's time that a density 1% off saves; negative: it costs. basis: what was
    measured."""

    saving: float
    basis: str

    @property
    def pays(self) -> bool:
        return self.saving > 0


MEASURED: Mapping[tuple[str, Kind], Outlook] = {
    ("qe", "molecule"): Outlook(
        0.3, "H2O, norm-conserving: 8 iterations by default, 6 from it; PAW: 13 and 7; Li2O, ultrasoft: 25 and 12"
    ),
    ("qe", "covalent crystal"): Outlook(-0.06, "Si8: 7 iterations by default, 6 from it, each dearer"),
    ("qe", "metal surface"): Outlook(
        -0.05,
        "an Al slab: 22 iterations by default, 18 to 25 from it, by its error in long waves, and 30 at 3%; "
        "mixing_mode = 'local-TF' saves a third from atoms already",
    ),
    ("abinit", "molecule"): Outlook(
        -0.1,
        "H2O: 13 steps by default, 12 from it, each dearer, and the run of no steps costs a sixth; 0.5% off: 8 steps",
    ),
    ("abinit", "covalent crystal"): Outlook(-0.05, "Si8: 7 steps by default, 9 from it"),
    ("pyscf", "molecule"): Outlook(-0.1, "Li2O: 9 cycles by default, 6 and three Fock matrices from a density 1% off"),
}
"""By code and kind, at 1% NMAE; ``docs/restarts.md`` has the tables."""


def kind_of(structure: Structure, density: Volume) -> Kind:
    """What a system is, by its elements and the vacuum in its density."""
    total = density.fields["total"]
    planes = (total.mean(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
    empty = sum(bool(plane.min() < VACUUM) for plane in planes)
    elements = list(structure.composition.elements)
    metal = all(element.is_metal for element in elements)
    if empty == 3:
        return "molecule"
    if empty:
        return "metal surface" if metal else "surface"
    if metal:
        return "metal"
    values = np.array([element.X for element in elements], dtype=float)
    return "ionic crystal" if float(np.ptp(values)) > IONIC else "covalent crystal"


def outlook(code: str, kind: Kind) -> str:
    """What to expect of a restart, in a sentence."""
    case = MEASURED.get((code, kind))
    if case is None and kind == "metal":
        case = MEASURED.get((code, "metal surface"))
    if case is None:
        return f"whether a restart saves time for a {kind} has not been measured with this code"
    if not case.pays:
        return (
            f"a restart is not recommended for a {kind}: a density 1% off costs about {-100 * case.saving:.0f}% more "
            f"time than the code's own start ({case.basis})"
        )
    return f"a density 1% off saves about {100 * case.saving:.0f}% of the time of a {kind} ({case.basis})"
