"""The trained model of a run, for structures without a density: atoms in, density out.

Longer than other modules because a prediction is one object: what it loads, how it predicts, and what it warns of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from torch import Tensor, nn

from edframe.config.experiment import Experiment
from edframe.contract.guards import check_features
from edframe.data.basis import Basis, any_basis, as_given, in_reduced_basis, reduced
from edframe.data.filling import Filling
from edframe.data.level import Level
from edframe.data.valence import Valence
from edframe.errors import DataError, RunError
from edframe.grid import Grid, Region
from edframe.interfaces import Contents, Features, Featurizer, JudgingFeaturizer, TiledFeaturizer, TiledModel
from edframe.io.patterns import PREDICTED
from edframe.memory import out_of_memory_as
from edframe.predict.grids import grid_of
from edframe.predict.in_tiles import InTiles, Processes, each_density
from edframe.predict.memory import Need, too_large
from edframe.predict.novelty import Novelty, TrainingSet
from edframe.predict.symmetry import Symmetrised
from edframe.predict.tiles import Tile, tiles
from edframe.runs.tensors import numbers, positive
from edframe.sample import Sample
from edframe.train.checkpoint import BEST, require_finite
from edframe.train.featurizer import restore_featurizer

if TYPE_CHECKING:
    from edframe.contract.registry import Registry
    from edframe.runs.directory import Run

TINY = 1e-4
"""Electrons that are no charge."""
GAIN = 0.8
"""Part of the time for the whole grid that several processes may take for its tiles, which also see halos."""


@dataclass(frozen=True)
class Inputs:
    """What a model sees of one structure: features on a grid, and how many electrons the density is to hold."""

    grid: Grid
    features: Features
    electrons: float


class Predictor:
    """Featurizer and best weights of a run. Raises RunError when it has none yet.

    spacing, vacuum: voxel edge and empty space around the atoms in the training data, Å; vacuum is None for crystals.
    coulomb, low_g: Coulomb energy of the error on the validation samples, all of it and its long waves, in eV per
    electron; None where it is not known. judged: the factor of errors that the featurizer expects.
    symmetrise: average over the symmetries of each structure's cell, see ``Symmetrised``.
    """

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        registry: Registry,
        device: torch.device | str,
        *,
        symmetrise: bool = False,
    ) -> None:
        tensors, header = run.load_tensors(BEST)
        with run.reading(BEST):
            facts = numbers(header["contents"])
            self.contents = Contents(**{**facts, "species": tuple(facts["species"])})
            self.spacing = positive(header["spacing"], "spacing")
            self.valence = Valence.load(numbers(header["valence"])) if "valence" in header else None
            self.level = Level.of_header(header)
            self.filling = Filling.load(header)
            self.coulomb, self.low_g, self.judged = (_error(header, name) for name in ("coulomb", "low_g", "judged"))
            self.vacuum: float | None = numbers(header.get("vacuum", "null"))
        self.device = device
        self.name = run.path.name
        self.training_set = TrainingSet.load(run)
        self._named = experiment
        self._label = registry.find("featurizer", experiment.featurizer.name).label
        self.featurizer: Featurizer = experiment.featurizer.make(registry, self.contents)
        restore_featurizer(self.featurizer, run)
        self.model: nn.Module = experiment.model.make(
            registry,
            channels=len(self.featurizer.channels),
            spins=self.contents.spins,
            dimension=self.contents.dimension,
        )
        _restore(self.model, tensors, run)
        if symmetrise:
            self.model = Symmetrised(self.model)
        self.model.to(device).eval()

    def __call__(
        self,
        structure: Structure,
        *,
        shape: Sequence[int] | None = None,
        spacing: float | None = None,
        electrons: float | None = None,
        charge: float = 0.0,
        memory: float | None = None,
        folder: Path | None = None,
        processes: Processes | None = None,
        x_fastest: bool = False,
    ) -> Sample:
        """The density of a periodic structure, as a Sample whose source names the run.

        shape: numbers of points; None: by spacing. spacing: largest voxel edge in Å; None: that of the training data.
        electrons: None: those of the neutral atoms, by the training data, less ``charge``. memory: bytes that may be
        taken; None: what is free. Where the whole grid does not fit, it is predicted in tiles, also by other
        ``processes``, and the density is an array in a file without a name in ``folder``, with ``x_fastest`` in another
        order, see ``edframe.predict.in_tiles``. Raises DataError for a species that was not trained on, and where the
        training data do not determine the electrons.
        """
        grid = self.grid(structure, shape, spacing)
        parts = self.tiled(grid, memory, processes)
        density: NDArray[Any]
        if parts is None:
            inputs = self.inputs(structure, grid, electrons, charge, memory)
            density, number = self.density(inputs), inputs.electrons
        else:
            number = self.number(structure, None, grid, electrons, charge)
            tiled = [InTiles(self, structure, grid)]
            (density,) = each_density(tiled, parts, number, folder, processes, x_fastest=x_fastest)
        return predicted_sample(
            structure, grid, density, number, self.doubts(structure, grid, number), self.name, self.level
        )

    def grid(self, structure: Structure, shape: Sequence[int] | None, spacing: float | None) -> Grid:
        """The grid that is asked for, see a call. Raises DataError for what cannot be one."""
        if self.contents.dimension != 3:
            raise RunError(f"{self.name} was trained in {self.contents.dimension} dimensions, a structure has 3")
        return grid_of(structure, shape, spacing, self.spacing)

    def remark(self, grid: Grid) -> str:
        """What ``grid`` keeps the model from, see ``edframe.data.basis``; empty: nothing."""
        return self.basis(grid).obstacle

    def charged(self, structure: Structure, electrons: float) -> Structure:
        """The structure with the charge that so many electrons give it, for featurizers that look at it."""
        charge = 0.0 if self.filling is None or self.valence is None else self.valence.count(structure) - electrons
        if abs(charge) < TINY:
            return structure
        ion = structure.copy()
        ion.set_charge(charge)
        return ion

    def doubts(self, structure: Structure, grid: Grid, electrons: float) -> list[str]:
        """What makes a prediction less certain that ``grid`` or the number of electrons shows, in sentences."""
        remark = self.remark(grid)
        said = [remark] if remark else []
        if self.filling is None or self.valence is None:
            return said
        neutral = self.valence.count(structure)
        return said + self.filling.doubts(structure.composition.formula, electrons, neutral)

    @property
    def members(self) -> Sequence[Predictor]:
        """Itself, as an ensemble has several."""
        return (self,)

    @property
    def inner(self) -> nn.Module:
        """The model itself, where it is symmetrised too."""
        return self.model.model if isinstance(self.model, Symmetrised) else self.model

    @property
    def symmetrised(self) -> bool:
        """Whether densities are averages over the symmetries of the cell."""
        return isinstance(self.model, Symmetrised)

    def need(self, grid: Grid, memory: float | None, members: int = 1) -> Need:
        """The memory that a density on ``grid`` takes. members: of an ensemble."""
        sizes = len(self.featurizer.channels), self.contents.spins
        return Need.of(self.model, *sizes, grid, self.device, memory, members)

    @torch.no_grad()
    def inputs(
        self,
        structure: Structure,
        grid: Grid,
        electrons: float | None,
        charge: float = 0.0,
        memory: float | None = None,
        members: int = 1,
    ) -> Inputs:
        """What the model sees of a structure; arguments and errors as of a call. members: of an ensemble."""
        self.need(grid, memory, members).require(self.whole)
        if self.filling is not None and (charge or electrons is not None):
            structure = self.charged(structure, self.number(structure, None, grid, electrons, charge))
        with out_of_memory_as(too_large(grid)):
            features = self.featurizer([structure], grid, self.device)
        check_features(features, self.featurizer.channels, grid, 1, self._label)
        return Inputs(grid, features, self.number(structure, features, grid, electrons, charge))

    def tiled(
        self, grid: Grid, memory: float | None, processes: Processes | None = None, members: int = 1
    ) -> list[Tile] | None:
        """The tiles of ``grid``, in the model's basis, where it does not fit into the memory and its tiles do, or where
        ``processes`` are sooner done with them; else None."""
        model = self.inner
        if self.whole or not isinstance(model, TiledModel):
            return None
        need, count = self.need(grid, memory, members), 1 if processes is None else processes.count
        if need.fits and count == 1:
            return None
        points = need.tile(count)
        parts = tiles(self.basis(grid).grid, model, points, count)
        largest = max(math.prod(tile.seen.shape) for tile in parts)
        late = need.fits and -(-len(parts) // count) * largest > GAIN * grid.points
        return None if largest > points or late else parts

    @property
    def whole(self) -> str:
        """Why there are no tiles, in a sentence; empty where there are."""
        if not isinstance(self.inner, TiledModel):
            return f"there are no tiles of it, because the model {self._named.model.name} sees the whole grid at once"
        if not isinstance(self.featurizer, TiledFeaturizer):
            return f"there are no tiles of it, because the featurizer {self._named.featurizer.name} gives whole grids"
        return ""

    def basis(self, grid: Grid) -> Basis:
        """The basis of ``grid`` that the model is called in."""
        return as_given(grid) if any_basis(self.model) else reduced(grid)

    def features_on(self, structure: Structure, grid: Grid) -> Callable[[Region], Features]:
        """The features on a part of ``grid``."""
        assert isinstance(self.featurizer, TiledFeaturizer)
        on = self.featurizer.tiled(structure, grid, self.device)

        def features(region: Region) -> Features:
            made = on(region)
            check_features(made, self.featurizer.channels, grid.part(region), 1, self._label)
            return made

        return features

    def number(
        self, structure: Structure, features: Features | None, grid: Grid, electrons: float | None, charge: float
    ) -> float:
        """The electrons of the density; arguments and errors as of a call. features: None: not known."""
        if electrons is None:
            electrons = self._neutral(structure, features, grid) - charge
        if not electrons > 0:
            raise DataError(f"{structure.formula} with a charge of {charge:g} has no electrons, {electrons:g}")
        return electrons

    def _neutral(self, structure: Structure, features: Features | None, grid: Grid) -> float:
        """The electrons of the neutral atoms; in a run of an older edframe, those of the featurizer's baseline."""
        if self.valence is not None:
            return self.valence.count(structure)
        if features is None or features.baseline is None:
            raise DataError(f"{self.name}, of an older edframe, knows no number of electrons; give --electrons")
        return float(round(float(features.baseline[0, 0].sum(dtype=torch.float64)) * grid.voxel_volume, 3))

    @torch.no_grad()
    def density(self, inputs: Inputs) -> NDArray[np.float32]:
        """The density ``[s, x, y, z]`` in e/Å³."""
        count = torch.tensor([inputs.electrons], device=self.device)
        features = inputs.features
        with out_of_memory_as(too_large(inputs.grid)):
            density = in_reduced_basis(self.model, features.channels, features.baseline, inputs.grid, count)[0]
        return np.asarray(density.float().cpu().numpy())

    def expected(self, sample: Sample) -> float | None:
        """The NMAE in % to expect of a prediction; None where the featurizer gives no such number."""
        if self.judged is None or not isinstance(self.featurizer, JudgingFeaturizer):
            return None
        error = self.featurizer.expected_error(sample.structure, sample.grid)
        return None if error is None else 100 * self.judged * error / sample.electrons

    def novelty(self, structure: Structure) -> Novelty | None:
        """The atom farthest from the training set; None where that is not known, as for a run of an older edframe."""
        return None if self.training_set is None else self.training_set.judge(structure)


def predicted_sample(
    structure: Structure,
    grid: Grid,
    density: NDArray[np.float32] | NDArray[np.float64],
    electrons: float,
    doubts: Sequence[str],
    name: str,
    level: Level,
) -> Sample:
    """A predicted density ``[s, x, y, z]`` as a Sample whose source names the run or the ensemble and the level."""
    source = {"title": f"{structure.formula}, {PREDICTED}", "run": name, **level.source}
    notes = {"notes": [*doubts]} if doubts else {}
    return Sample(structure.formula, structure, grid, density, electrons, source | notes)


def warnings_of(sample: Sample, novelty: Novelty | None) -> list[str]:
    """What makes a prediction less certain: the notes of its sample, and atoms far from the training set."""
    return [*sample.source.get("notes", ()), *([str(novelty)] if novelty is not None and novelty.far else [])]


def load_best(model: nn.Module, run: Run) -> None:
    """Give a model the best weights of a run. Raises RunError when there are none, or none that fit it."""
    _restore(model, run.load_tensors(BEST)[0], run)


def _restore(model: nn.Module, tensors: Mapping[str, Tensor], run: Run) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(
            f"the weights in {run.path / BEST} do not fit the model, because its plugin has changed; install the "
            f"versions named in provenance.json, or repeat the run by {run.again}"
        ) from error
    require_finite(model, str(run.path / BEST))


def _error(header: Mapping[str, str], name: str) -> float | None:
    """A mean error in the header of a checkpoint; None in a run of an older edframe."""
    return float(header[name]) if name in header else None
