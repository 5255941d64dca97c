"""Featurizers that are fitted to the training samples: fitted once, saved with the checkpoints, restored from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

from edframe.errors import DataError, RunError
from edframe.interfaces import Dataset, Featurizer, FittedFeaturizer
from edframe.runs.directory import Run
from edframe.runs.events import FeaturizerFit, Progress, Show
from edframe.sample import Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FITTED = "checkpoints/featurizer.safetensors"
"""Written whole before the first checkpoint, and never again: it belongs to every checkpoint of the run."""


class Samples(Sequence[Sample]):
    """Some samples of a dataset, each read when it is asked for; ``seen(done, total)`` reports progress."""

    def __init__(
        self, dataset: Dataset, indices: Sequence[int], seen: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        self._dataset, self._indices, self._seen = dataset, tuple(indices), seen
        self._reads = 0

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Samples: ...

    def __getitem__(self, index: int | slice) -> Sample | Samples:
        if isinstance(index, slice):
            return Samples(self._dataset, self._indices[index])
        sample = self._dataset[self._indices[index]]
        self._seen(self._reads % len(self) + 1, len(self))
        self._reads += 1
        return sample


def fit_featurizer(
    featurizer: Featurizer,
    dataset: Dataset,
    train: Sequence[int],
    *,
    fabric: Fabric,
    run: Run,
    show: Show,
) -> None:
    """Fit a FittedFeaturizer to the samples at ``train`` and save it in the run; one that is saved there is restored.

    The first process fits, the others wait for it. Logs what that is, as a "featurizer" event of step 0. Other
    featurizers stay as they are.
    """
    if not isinstance(featurizer, FittedFeaturizer):
        return
    if fabric.is_global_zero and not (run.path / FITTED).exists():
        began = time.perf_counter()

        def seen(done: int, total: int) -> None:
            show(Progress("fitting the featurizer", done, total))

        numbers = dict(featurizer.fit(Samples(dataset, train, seen)))
        event = FeaturizerFit(len(train), time.perf_counter() - began, numbers)
        run.log(event)
        show(event)
        run.save_tensors(FITTED, featurizer.state(), {})
    fabric.barrier()
    restore_featurizer(featurizer, run)


def restore_featurizer(featurizer: Featurizer, run: Run) -> None:
    """Give a FittedFeaturizer what it found in a run; others stay as they are.

    Raises RunError when it is not there, or does not fit the featurizer.
    """
    if not isinstance(featurizer, FittedFeaturizer):
        return
    state, _ = run.load_tensors(FITTED)
    try:
        featurizer.restore(state)
    except (DataError, KeyError, RuntimeError, ValueError) as error:
        raise RunError(
            f"{run.path / FITTED} does not fit the featurizer ({error}), because its plugin has changed; install the "
            f"versions named in provenance.json, or repeat the run by {run.again}"
        ) from error
