"""Batches for training and evaluation: densities from the dataset, channels from the featurizer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from edframe.contract.guards import check_features
from edframe.data.augmentation import Motions, move
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Dataset, Features, Featurizer
from edframe.sample import Sample
from edframe.seeds import seed_for

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KEPT_BYTES = 2 * 1024**3
"""Features and densities stay in memory for their next visit up to this size; the rest is made again."""

AHEAD = 2
"""Batches per worker that are read before they are asked for."""


@dataclass(frozen=True)
class Batch:
    """Samples on one grid. density ``[b, s, x, y, z]`` in e/Å^d, electrons ``[b]``.

    motion: source indices ``[b, point]`` of the move of all fields, see ``Motions.draw``; None: as in the dataset.
    """

    samples: tuple[Sample, ...]
    grid: Grid
    features: Features
    density: Float[Tensor, "b s *grid"]
    electrons: Float[Tensor, "b"]
    motion: Int[Tensor, "b point"] | None = None

    def moved(self, index: Int[Tensor, "b point"]) -> Batch:
        """Every field of an unmoved batch moved alike. ``samples`` keep their original places."""
        baseline = self.features.baseline
        features = Features(move(self.features.channels, index), None if baseline is None else move(baseline, index))
        return replace(self, features=features, density=move(self.density, index), motion=index)


class Loader:
    """Makes batches of given samples on a device; ``workers`` threads read samples ahead, 0: none.

    label: what errors call the featurizer.
    """

    def __init__(
        self,
        dataset: Dataset,
        featurizer: Featurizer,
        device: torch.device | str,
        workers: int = 0,
        *,
        label: str = "the featurizer",
    ) -> None:
        self.dataset = dataset
        self.featurizer = featurizer
        self.device = torch.device(device)
        self.workers = workers
        self.label = label
        self._pool = ThreadPoolExecutor(workers, "edframe-reader") if workers else None
        self._reading: dict[int, Future[tuple[Sample, Tensor]]] = {}
        self._kept: dict[int, Batch] = {}
        self._kept_bytes = 0
        self._motions: dict[Grid, Motions] = {}

    def stream(self, batches: Iterable[Sequence[int]], seeds: Iterable[int] | None = None) -> Iterator[Batch]:
        """The batches of given indices in turn, the next ones being read meanwhile. Raises what ``batch`` raises.

        seeds: one for each batch, which is then augmented by it; None: samples stay as they are.
        """
        ahead: deque[Sequence[int]] = deque()
        coming = iter(batches)
        motions = None if seeds is None else iter(seeds)
        while True:
            for indices in islice(coming, AHEAD * self.workers + 1 - len(ahead)):
                self._read_ahead(indices)
                ahead.append(indices)
            if not ahead:
                return
            batch = self.batch(ahead.popleft())
            yield batch if motions is None else self.augmented(batch, next(motions))

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at ``indices`` as one batch. Raises DataError when their grids differ."""
        singles = [self._single(index) for index in indices]
        grids = {single.grid for single in singles}
        if len(grids) > 1:
            raise DataError(
                f"samples {', '.join(s.samples[0].id for s in singles)} have different grids, though the dataset's "
                "`buckets` label them alike; use --set training.batch_size=1"
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
        reading = self._reading.pop(index, None)
        sample, density = self._read(index) if reading is None else reading.result()
        features = self.featurizer([sample.structure], sample.grid, self.device)
        check_features(features, self.featurizer.channels, sample.grid, 1, self.label)
        batch = Batch(
            samples=(sample,),
            grid=sample.grid,
            features=features,
            density=density[None].to(self.device, non_blocking=True),
            electrons=torch.tensor([sample.electrons], device=self.device),
        )
        size = batch.density.nbytes + features.channels.nbytes
        size += 0 if features.baseline is None else features.baseline.nbytes
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept[index] = batch
            self._kept_bytes += size
        return batch

    def _read_ahead(self, indices: Sequence[int]) -> None:
        if self._pool is not None:
            for index in indices:
                if index not in self._kept and index not in self._reading:
                    self._reading[index] = self._pool.submit(self._read, index)

    def _read(self, index: int) -> tuple[Sample, Tensor]:
        """A sample and its density, in memory that a GPU can fetch while other work goes on."""
        sample = self.dataset[index]
        density = torch.from_numpy(sample.density)
        return sample, density.pin_memory() if self.device.type == "cuda" else density


class Schedule:
    """The samples of each training step, from a seed alone, without state.

    buckets: the label of each sample's grid, see ``Dataset.buckets``. With one grid, batches are consecutive slices
    of a fresh permutation per epoch. With several, each batch has samples of one grid: in every epoch the permutation
    is dealt to the grids, cut into batches, the last of each grid perhaps smaller, and the batches are shuffled.
    share: every batch has a multiple of that many samples, one for each process; a smaller one repeats some.
    """

    def __init__(self, train: Sequence[int], buckets: Sequence[int], size: int, seed: int, share: int = 1) -> None:
        self.train = np.asarray(train)
        self.buckets = np.asarray(buckets)[self.train]
        self.size = size
        self.seed = seed
        self.share = share
        counts = np.unique(self.buckets, return_counts=True)[1]
        self._alike = len(counts) == 1
        self._per_epoch = int(np.ceil(counts / size).sum())
        self._drawn = lru_cache(maxsize=2)(self._draw)
        self._dealt = lru_cache(maxsize=2)(self._deal)

    def __call__(self, step: int) -> list[int]:
        """The indices of step ``step``, from 0."""
        if self._alike:
            positions = (divmod(p, len(self.train)) for p in range(step * self.size, (step + 1) * self.size))
            return [self._drawn(epoch)[place] for epoch, place in positions]
        epoch, place = divmod(step, self._per_epoch)
        return self._dealt(epoch)[place]

    def _draw(self, epoch: int) -> list[int]:
        order = self._generator(epoch).permutation(len(self.train))
        return [int(i) for i in self.train[order]]

    def _deal(self, epoch: int) -> list[list[int]]:
        generator = self._generator(epoch)
        order = generator.permutation(len(self.train))
        batches = []
        for label in np.unique(self.buckets):
            members = [int(i) for i in self.train[order[self.buckets[order] == label]]]
            for start in range(0, len(members), self.size):
                batch = members[start : start + self.size]
                lacking = -len(batch) % self.share
                batches.append(batch + (batch * lacking)[:lacking])
        return [batches[place] for place in generator.permutation(len(batches))]

    def _generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng(seed_for(self.seed, "batches", epoch))
