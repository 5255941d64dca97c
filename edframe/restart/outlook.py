"""Whether a restart is worth it, by the kind of the system and the code, from measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.io.volume import Volume

Kind = Literal["molecule", "ionic molecule", "metal", "metal surface", "surface", "covalent crystal", "ionic crystal"]
VACUUM = 2e-3
"""e/Å³: an axis has a vacuum where some plane across it has a mean density below this."""
IONIC = 1.0
"""Difference of electronegativities (Pauling) above which a crystal is ionic, and a molecule with a metal."""


@dataclass(frozen=True)
class Outlook:
    """measure: of the error, in eV per electron. savings: error → fraction of the processor's time that was saved;
    negative: it costs. Between and beyond them the saving follows the logarithm of the error, and stays at its ends.
    basis: what was measured."""

    measure: Literal["coulomb", "low_g"]
    savings: Mapping[float, float]
    basis: str

    def saving(self, error: float) -> float:
        """Fraction of the time that a density with this error saves."""
        errors = sorted(self.savings)
        logs = np.log(errors)
        return float(np.interp(np.log(max(error, 1e-12)), logs, [self.savings[each] for each in errors]))


ONE_PERCENT: Mapping[str, float] = {"coulomb": 1e-3, "low_g": 7e-5}
"""Errors, in eV per electron, of densities with smooth noise of 1% NMAE: H2O and Li2O, an Al slab."""

MEASURED: Mapping[tuple[str, Kind], Outlook] = {
    ("qe", "molecule"): Outlook(
        "coulomb",
        {2.5e-4: 0.19, 9e-4: 0.11, 2.5e-3: 0.14, 7e-3: 0.11},
        "H2O, norm-conserving: 8 iterations by default, 5 to 6 at 3e-4 to 1e-3 eV/e, 7 at 6e-3; with PAW 12, and "
        "7 to 8 at 1e-3 to 3e-3; ethanol, ultrasoft: 12, and 9 at 7e-3; the prediction by krr included",
    ),
    ("qe", "ionic molecule"): Outlook(
        "coulomb",
        {7.5e-4: 0.56, 1.7e-3: 0.52},
        "Li2O, ultrasoft: 36 iterations by default, 11 at 7e-4 eV/e and 13 at 2e-3, ten geometries; the prediction by "
        "krr included",
    ),
    ("qe", "ionic crystal"): Outlook(
        "coulomb", {1.6e-4: 0.17, 8e-4: 0.1}, "NaCl: 12 iterations by default, 7 at 2e-4 eV/e and 8 at 8e-4"
    ),
    ("qe", "covalent crystal"): Outlook(
        "coulomb",
        {4e-4: -0.09, 1.5e-3: -0.03},
        "Si8: 9 iterations by default, 8 to 10 at 4e-4 to 1.5e-3 eV/e, and 4 from its own density, each dearer",
    ),
    ("qe", "metal surface"): Outlook(
        "low_g",
        {3.9e-5: 0.23, 7.1e-5: 0.1, 2.8e-3: -0.39},
        "an Al slab: 22 iterations by default, 16, 18 and 30 at 4e-5, 7e-5 and 3e-3 eV/e below 1 Å⁻¹; "
        "mixing_mode = 'local-TF' takes 16 from free atoms, a fifth of the time less, and helps with a density, too",
    ),
    ("abinit", "molecule"): Outlook(
        "coulomb",
        {2.3e-4: -0.01, 1.5e-3: -0.2, 3e-3: -0.19, 1e-2: -0.33},
        "H2O: 13 steps by default, 8 at 2e-4 eV/e, 10 to 12 at 1.5e-3 to 3e-3, each dearer; ethanol: 14, and 12 at "
        "1e-2; the run of no steps costs a quarter",
    ),
    ("abinit", "ionic molecule"): Outlook(
        "coulomb",
        {4.4e-3: -0.25},
        "Li2O: 14 steps by default, 11 at 4e-3 eV/e and 6 from its own density, and the run of no steps costs a third",
    ),
    ("abinit", "ionic crystal"): Outlook(
        "coulomb",
        {2.1e-4: -0.37},
        "NaCl: 9 steps by default, 7 at 2e-4 eV/e and 3 from its own density, and the run of no steps costs a third",
    ),
    ("abinit", "covalent crystal"): Outlook(
        "coulomb", {1.2e-3: -0.24}, "Si8: 9 steps by default, 7 at 1.2e-3 eV/e, and the run of no steps costs a fifth"
    ),
    ("abinit", "metal surface"): Outlook(
        "low_g",
        {1.9e-5: -0.02},
        "an Al slab, two geometries: 17 steps by default, 11 to 12 at 2e-5 eV/e below 1 Å⁻¹, each dearer, and the run "
        "of no steps costs a sixth",
    ),
    ("pyscf", "ionic molecule"): Outlook(
        "coulomb",
        {7.6e-4: -0.01, 1e-3: 0.04},
        "periodic Li2O: 10 cycles by default, 6 to 7 and three Fock matrices at 1e-3 eV/e",
    ),
    ("pyscf", "molecule"): Outlook(
        "coulomb",
        {1e-3: 0.07, 3.3e-3: -0.03, 9e-3: -0.05},
        "periodic H2O: 8 cycles by default, 5 and three Fock matrices at 1e-3 to 3e-3 eV/e; ethanol: 10, and 7 at "
        "9e-3; ten molecules of QM9 with molecules-hcnof, whose prediction takes as long as six cycles: 11, and 6 "
        "to 7 and half as much time again; molecules that are not periodic: no time saved",
    ),
    ("gpaw", "molecule"): Outlook(
        "coulomb",
        {1.3e-3: -0.04, 2.9e-3: -0.02},
        "H2O: 10 iterations by default, 7 to 8 and five passes at 1e-3 to 3e-3 eV/e",
    ),
    ("gpaw", "ionic molecule"): Outlook(
        "coulomb", {1.2e-3: -0.05}, "Li2O: 12 iterations by default, 11 and five passes at 1e-3 eV/e"
    ),
}
"""By code and kind: what densities of known error and predictions by krr saved in ``docs/results/restarts.md``."""


NEAREST: Mapping[Kind, Kind] = {"metal": "metal surface"}
"""Where a kind was not measured, the kind whose measurements are taken."""


def kind_of(structure: Structure, density: Volume) -> Kind:
    """What a system is, by its elements and the vacuum in its density."""
    total = density.fields["total"]
    planes = (total.mean(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
    empty = sum(bool(plane.min() < VACUUM) for plane in planes)
    elements = list(structure.composition.elements)
    metal = all(element.is_metal for element in elements)
    values = np.array([element.X for element in elements], dtype=float)
    ionic = float(np.ptp(values)) > IONIC
    if empty == 3:
        return "ionic molecule" if ionic and any(element.is_metal for element in elements) else "molecule"
    if empty:
        return "metal surface" if metal else "surface"
    if metal:
        return "metal"
    return "ionic crystal" if ionic else "covalent crystal"


def outlook(code: str, kind: Kind, coulomb: float | None = None, low_g: float | None = None) -> str:
    """What to expect of a restart, in a sentence. coulomb, low_g: of the model on its validation samples, eV per
    electron; None: not known, and a density 1% off is taken."""
    case = MEASURED.get((code, kind)) or MEASURED.get((code, NEAREST.get(kind, kind)))
    if case is None:
        return f"whether a restart saves time for this kind of system, {kind}, has not been measured with this code"
    known = {"coulomb": coulomb, "low_g": low_g}[case.measure]
    saving = 100 * case.saving(ONE_PERCENT[case.measure] if known is None else known)
    where = " below 1 Å⁻¹" if case.measure == "low_g" else ""
    whose = (
        "a density 1% off (the error of this one is not known)"
        if known is None
        else f"a density of the model's Coulomb error{where} on its validation samples, {known:.1e} eV per electron,"
    )
    system = f"an {kind}" if kind.startswith("i") else f"a {kind}"
    if round(saving) <= 0:
        costs = (
            "saves no time" if round(saving) == 0 else f"costs about {-saving:.0f}% more time than the code's own start"
        )
        return f"a restart is not recommended for {system}: {whose} {costs} ({case.basis})"
    return f"{whose} saves about {saving:.0f}% of the time of {system} ({case.basis})"
