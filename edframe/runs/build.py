"""The parts of an experiment, built from its validated configuration: where a value of it becomes code."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from edframe.config.experiment import Experiment
from edframe.contract.registry import Registry
from edframe.data.splits import Split, held_out, split, subset
from edframe.errors import ConfigError, PluginError
from edframe.interfaces import Dataset, Featurizer, FittedModel, Loss
from edframe.metrics.standard import UNITS
from edframe.runs.events import RESERVED
from edframe.seeds import seed_for

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Parts:
    """The built components of one experiment."""

    dataset: Dataset
    featurizer: Featurizer
    model: nn.Module
    loss: Loss
    metrics: dict[str, Loss]
    split: Split
    featurizer_label: str = "the featurizer"
    """What errors call it."""


def build(experiment: Experiment, registry: Registry, advance: Callable[[int, int], None]) -> Parts:
    """Import and construct every component, with initial weights from the experiment's seed.

    All factories are imported first; then what the dataset has still to do is done, and ``advance(done, total)``
    reports progress.
    """
    experiment.import_factories(registry)
    dataset: Dataset = experiment.data.make(registry)
    folds = experiment.splits
    if not dataset.ready:
        if folds.test is None and (expected := dataset.expected_groups) is not None:
            _divide(experiment, expected)  # too few samples are known before any is made
        dataset.build(advance, workers=os.cpu_count() or 1)
    contents = dataset.contents
    featurizer: Featurizer = experiment.featurizer.make(registry, contents)
    torch.manual_seed(seed_for(experiment.seed, "weights"))
    model = experiment.model.make(
        registry, channels=len(featurizer.channels), spins=contents.spins, dimension=contents.dimension
    )
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model '{experiment.model.name}' is not an nn.Module, which is what `run` can train")
    if isinstance(model, FittedModel) and _processes(experiment) > 1:
        raise ConfigError(
            f"device '{experiment.device}': model '{experiment.model.name}' is fitted in one process; use --device "
            f"{experiment.device.rpartition('x')[2]}"
        )
    parts = _divide(experiment, dataset.groups, held_out(dataset.holdouts, folds.test))
    for choice in (experiment.loss, *experiment.metrics):
        if choice.name in RESERVED | UNITS.keys() | {"baseline_nmae"}:
            label = registry.find("loss", choice.name).label
            raise PluginError(f"{label} has the name of something else among the metrics of a sample: rename it")
    metrics = {choice.name: choice.make(registry) for choice in experiment.metrics}
    loss = experiment.loss.make(registry)
    label = registry.find("featurizer", experiment.featurizer.name).label
    return Parts(dataset, featurizer, model, loss, {experiment.loss.name: loss, **metrics}, parts, label)


def _divide(experiment: Experiment, groups: Sequence[int], test: Sequence[int] | None = None) -> Split:
    """The parts of a run. Raises DataError where one would be empty."""
    options = experiment.splits
    parts = split(
        groups, folds=options.folds, fold=options.fold, validation=options.validation, seed=options.seed, test=test
    )
    return subset(parts, experiment.training.size, experiment.seed)


def fabric_for(experiment: Experiment) -> Fabric:
    """Lightning Fabric for ``device``: one process on auto, cpu, cuda or mps; ``4xcuda`` for four with DDP.

    Raises ConfigError when the device is not there.
    """
    from lightning_fabric import Fabric  # imports a third of what a prediction otherwise does

    device_for(experiment)
    count, kind = _processes(experiment), experiment.device.rpartition("x")[2]
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision that was asked for
    return Fabric(
        accelerator=kind,
        devices=count,
        strategy="ddp" if count > 1 else "auto",
        precision=experiment.training.precision,
    )


def device_for(experiment: Experiment) -> torch.device:
    """The first device of ``device``, on which one process computes. Raises ConfigError when it is not there."""
    count, kind = _processes(experiment), experiment.device.rpartition("x")[2]
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device '{experiment.device}': this machine has no CUDA device; use --device cpu")
    if kind == "cuda" and count > torch.cuda.device_count():
        raise ConfigError(f"device '{experiment.device}': this machine has {torch.cuda.device_count()} CUDA devices")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device '{experiment.device}': this machine has no MPS device; use --device cpu")
    if kind == "auto":
        kind = "mps" if torch.backends.mps.is_available() else "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cpu") if kind == "cpu" else torch.device(kind, 0)


def _processes(experiment: Experiment) -> int:
    return int(experiment.device.rpartition("x")[0] or 1)
