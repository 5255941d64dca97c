"""The trained model of a run, for structures without a density: atoms in, density out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core.structure import Structure
from torch import nn

from edframe.checkpoint import BEST
from edframe.config import Experiment
from edframe.data.sample import Sample
from edframe.errors import DataError, RunError
from edframe.grid import Grid
from edframe.interfaces import Contents, Featurizer

if TYPE_CHECKING:
    from edframe.registry import Registry
    from edframe.run import Run

MULTIPLE = 8
"""Points per axis are a multiple of this: a U-Net halves a grid, and fast Fourier transforms like it."""


class Predictor:
    """Featurizer and best weights of a run. Raises RunError when it has none yet."""

    def __init__(self, run: Run, experiment: Experiment, registry: Registry, device: torch.device | str) -> None:
        tensors, header = run.load_tensors(BEST)
        facts = json.loads(header["contents"])
        self.contents = Contents(**{**facts, "species": tuple(facts["species"])})
        self.spacing = float(header["spacing"])
        self.device = device
        self.name = run.path.name

        self.featurizer: Featurizer = experiment.featurizer.make(registry, self.contents)
        self.model: nn.Module = experiment.model.make(
            registry,
            channels=len(self.featurizer.channels),
            spins=self.contents.spins,
            dimension=self.contents.dimension,
        )
        self.model.load_state_dict(tensors)
        self.model.to(device).eval()

    @torch.no_grad()
    def __call__(self, structure: Structure, *, spacing: float | None = None, electrons: float | None = None) -> Sample:
        """The density of a periodic structure, as a Sample whose source names the run.

        spacing: largest voxel edge in Å; None: that of the training data. electrons: None: those of the featurizer's
        baseline, the neutral atoms. Raises DataError for a species that was not trained on, and where there is no
        baseline to count electrons by.
        """
        if self.contents.dimension != 3:
            raise RunError(f"{self.name} was trained in {self.contents.dimension} dimensions, a structure has 3")
        shape = [_points(length, spacing or self.spacing) for length in structure.lattice.abc]
        grid = Grid.of(structure.lattice.matrix, shape)
        features = self.featurizer([structure], grid, self.device)
        if electrons is None:
            if features.baseline is None:
                raise DataError(f"the featurizer of {self.name} knows no number of electrons; give --electrons")
            electrons = float(round(float(features.baseline[0, 0].sum(dtype=torch.float64)) * grid.voxel_volume, 3))
        count = torch.tensor([electrons], device=self.device)
        density = self.model(features.channels, features.baseline, grid, count)[0].float().cpu().numpy()
        source = {"title": f"{structure.formula}, predicted by edframe", "run": self.name}
        return Sample(structure.formula, structure, grid, density, electrons, source)


def _points(length: float, spacing: float) -> int:
    return MULTIPLE * max(1, int(np.ceil(length / (spacing * MULTIPLE) - 1e-6)))
