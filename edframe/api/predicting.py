"""A trained model, for atoms without a density."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from edframe.api.density import Density
from edframe.api.options import Options
from edframe.errors import DataError

if TYPE_CHECKING:
    from edframe.api.atoms import AtomsLike
    from edframe.api.calculator import EdframeCalculator
    from edframe.interfaces import Contents


def load(path: str | Path, *, device: str | None = None, symmetrise: bool = False) -> Trained:
    """The trained model of a run directory, of an ensemble's, or the installed one of this name.

    device: auto, cpu, cuda or mps; None: that of the run. symmetrise: average over the symmetries of each cell. Raises
    RunError where there is no such run, or it has no trained model yet.
    """
    from edframe.predict.ensemble import predictor_of
    from edframe.predict.files import saved

    return Trained(predictor_of(saved(Path(path).expanduser()), device, symmetrise=symmetrise))


class Trained:
    """Atoms in, densities out; made by ``edframe.load``."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self._first = getattr(predictor, "members", [predictor])[0]  # an ensemble has members, of one training set

    @property
    def contents(self) -> Contents:
        """What the training data hold: species, largest structure, spin channels, dimension."""
        contents: Contents = self._first.contents
        return contents

    @property
    def spacing(self) -> float:
        """Voxel edge of the training data, Å, which predictions have unless another is given."""
        return float(self._first.spacing)

    @overload
    def __call__(self, atoms: Sequence[Any], **options: Unpack[Options]) -> list[Density]: ...

    @overload
    def __call__(self, atoms: AtomsLike, **options: Unpack[Options]) -> Density: ...

    def __call__(self, atoms: Any, **options: Unpack[Options]) -> Density | list[Density]:
        """The density of atoms: a pymatgen Structure or Molecule, ase.Atoms, or a path; a list of them gives a list.

        options: see ``Options``. A prediction far from the training data says so in ``notes``. Raises DataError for a
        species that was not trained on, and for atoms that are no structure.
        """
        if unknown := set(options) - set(Options.__annotations__):
            raise DataError(
                f"there is no option {', '.join(sorted(unknown))}; options: {', '.join(Options.__annotations__)}"
            )
        if not isinstance(atoms, list | tuple):
            return self._one(atoms, options)
        if not atoms:
            raise DataError("the list of structures is empty; give at least one")
        return [self._checked(each, number, options) for number, each in _shown(atoms, options.get("progress", False))]

    def calculator(self, **options: Unpack[Options]) -> EdframeCalculator:
        """An ASE calculator with the properties dipole and charges, and ``get_density``; options as of a call."""
        from edframe.api.calculator import EdframeCalculator

        return EdframeCalculator(lambda atoms: self._one(atoms, options))

    def _one(self, atoms: AtomsLike, options: Options) -> Density:
        from edframe.api.atoms import structure_of
        from edframe.io.boxes import vacuum_for
        from edframe.io.structures import charge_of
        from edframe.predict.predictor import warnings_of

        structure = structure_of(atoms, vacuum_for(options.get("vacuum"), self._first.vacuum))
        electrons, charge = options.get("electrons"), options.get("charge")
        if electrons is not None and charge is not None:
            raise DataError("electrons says how many there are, and charge that they differ; give one of the two")
        if charge is None:
            charge = charge_of(structure) if electrons is None else 0.0
        predicted = self._predictor(
            structure, shape=options.get("grid"), spacing=options.get("spacing"), electrons=electrons, charge=charge
        )
        sample = predicted[0] if isinstance(predicted, tuple) else predicted
        density = Density.of(sample, warnings_of(sample, self._predictor.novelty(structure)))
        if not isinstance(predicted, tuple):
            return replace(density, expected_nmae=self._predictor.expected(sample))
        _, spread, expected = predicted
        return replace(density, spread=spread, expected_nmae=expected)

    def _checked(self, atoms: AtomsLike, number: int, options: Options) -> Density:
        try:
            return self._one(atoms, options)
        except DataError as error:
            raise DataError(f"structure {number}: {error}") from error


def _shown(items: Sequence[Any], progress: bool) -> Iterable[tuple[int, Any]]:
    """Numbered items, with a bar where it is wanted."""
    if not progress:
        return enumerate(items)
    from rich.progress import track

    return track(list(enumerate(items)), description="predicting")
