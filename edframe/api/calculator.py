"""An ASE calculator: density, dipole and charges of atoms, by a trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ase.calculators.calculator import Calculator, all_changes

from edframe.api.density import Density


class EdframeCalculator(Calculator):
    """``atoms.calc = trained.calculator()``: dipole in e·Å and charges in e (Voronoi), as ASE's properties, and the
    density by ``get_density``. There are no energies and no forces."""

    implemented_properties = [  # noqa: RUF012  # as ASE has it
        "dipole",
        "charges",
    ]

    def __init__(self, predict: Callable[[Any], Density]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE has no types
        self._predict = predict
        self._density: Density | None = None

    def get_density(self, atoms: Any = None) -> Density:
        """The predicted density of ``atoms``; None: of those that this calculator is attached to or saw last."""
        atoms = self.atoms if atoms is None else atoms
        if self._density is None or self._changed(atoms):
            self.calculate(atoms, ["charges"], all_changes)
        assert self._density is not None
        return self._density

    def _changed(self, atoms: Any) -> bool:
        return bool(self.calculation_required(atoms, ["charges"]))  # type: ignore[no-untyped-call]

    def calculate(self, atoms: Any = None, properties: Any = ("charges",), system_changes: Any = all_changes) -> None:
        """Predict, and keep the density until the atoms change."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        if system_changes or self._density is None:
            self._density = self._predict(self.atoms)
        if "charges" in properties:
            self.results["charges"] = self._density.charges()
        if "dipole" in properties:
            dipole = self._density.dipole
            if dipole is not None:  # of a crystal it is not defined, and ASE says that it is not there
                self.results["dipole"] = dipole
