"""Batches for training and evaluation: densities from the dataset, channels from the featurizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edframe.data.augmentation import Motions, move
from edframe.data.sample import Sample
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Dataset, Features, Featurizer
from edframe.seeds import seed_for

KEPT_BYTES = 2 * 1024**3
"""Features and densities are kept in memory for their next visit up to this size; the rest is made again."""


@dataclass(frozen=True)
class Batch:
    """Samples on one grid. density ``[b, s, x, y, z]`` in e/Å^d, electrons ``[b]``.

    motion: source indices ``[b, point]`` of the move of all fields, see ``Motions.draw``; None: as in the dataset.
    """

    samples: tuple[Sample, ...]
    grid: Grid
    features: Features
    density: Tensor
    electrons: Tensor
    motion: Tensor | None = None

    def moved(self, index: Tensor) -> Batch:
        """Every field of an unmoved batch moved alike. ``samples`` keep their original places."""
        baseline = self.features.baseline
        features = Features(move(self.features.channels, index), None if baseline is None else move(baseline, index))
        return replace(self, features=features, density=move(self.density, index), motion=index)


class Loader:
    """Makes batches of given samples on a device."""

    def __init__(self, dataset: Dataset, featurizer: Featurizer, device: torch.device | str) -> None:
        self.dataset = dataset
        self.featurizer = featurizer
        self.device = device
        self._kept: dict[int, Batch] = {}
        self._kept_bytes = 0
        self._motions: dict[Grid, Motions] = {}

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at ``indices`` as one batch. Raises DataError when their grids differ."""
        singles = [self._single(index) for index in indices]
        grids = {single.grid for single in singles}
        if len(grids) > 1:
            raise DataError(
                f"samples {', '.join(s.samples[0].id for s in singles)} have different grids; "
                "use --set training.batch_size=1 for datasets of mixed grids"
            )
        if len(singles) == 1:
            return singles[0]
        baselines = [single.features.baseline for single in singles if single.features.baseline is not None]
        return Batch(
            samples=tuple(single.samples[0] for single in singles),
            grid=singles[0].grid,
            features=Features(
                torch.cat([single.features.channels for single in singles]),
                torch.cat(baselines) if baselines else None,
            ),
            density=torch.cat([single.density for single in singles]),
            electrons=torch.cat([single.electrons for single in singles]),
        )

    def augmented(self, batch: Batch, seed: int) -> Batch:
        """The batch with each sample moved by a random symmetry and translation of its grid."""
        if batch.grid not in self._motions:
            self._motions[batch.grid] = Motions(batch.grid, self.device)
        generator = torch.Generator().manual_seed(seed)
        return batch.moved(self._motions[batch.grid].draw(len(batch.samples), generator))

    def _single(self, index: int) -> Batch:
        if index in self._kept:
            return self._kept[index]
        sample = self.dataset[index]
        features = self.featurizer([sample.structure], sample.grid, self.device)
        batch = Batch(
            samples=(sample,),
            grid=sample.grid,
            features=features,
            density=torch.from_numpy(sample.density)[None].to(self.device),
            electrons=torch.tensor([sample.electrons], device=self.device),
        )
        size = batch.density.nbytes + features.channels.nbytes
        size += 0 if features.baseline is None else features.baseline.nbytes
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept[index] = batch
            self._kept_bytes += size
        return batch


def batch_indices(train: Sequence[int], size: int, step: int, seed: int) -> list[int]:
    """The samples of one training step: consecutive slices of a fresh permutation per epoch, without state."""
    chosen: list[int] = []
    for position in range(step * size, (step + 1) * size):
        epoch, place = divmod(position, len(train))
        order = np.random.default_rng(seed_for(seed, "batches", epoch)).permutation(len(train))
        chosen.append(train[int(order[place])])
    return chosen
