"""From a validated config to a finished run: build the parts, train or fit, evaluate, report."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from edframe.checkpoint import Checkpoint
from edframe.config import Experiment
from edframe.data.loading import Loader
from edframe.data.splits import Split, held_out, split, subset
from edframe.environments import describe_training_set
from edframe.errors import ConfigError, RunError
from edframe.evaluation import evaluate
from edframe.fitting import fit
from edframe.interfaces import Dataset, Featurizer, FittedModel, Loss
from edframe.registry import Registry
from edframe.report import write_report
from edframe.run import Run
from edframe.seeds import seed_for
from edframe.training import Interrupted, train

Show = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Parts:
    """The built components of one experiment."""

    dataset: Dataset
    featurizer: Featurizer
    model: nn.Module
    loss: Loss
    metrics: dict[str, Loss]
    split: Split


def build(experiment: Experiment, registry: Registry, advance: Callable[[int, int], None]) -> Parts:
    """Import and construct every component, with initial weights from the experiment's seed.

    What the dataset has still to do is done first; ``advance(done, total)`` tells how far it is.
    """

    dataset: Dataset = experiment.data.make(registry)
    if not dataset.ready:
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
    folds = experiment.splits
    parts = split(
        dataset.groups, folds=folds.folds, fold=folds.fold, validation=folds.validation, seed=folds.seed,
        test=held_out(dataset.holdouts, folds.test),
    )  # fmt: skip
    parts = subset(parts, experiment.training.size, experiment.seed)
    metrics = {choice.name: choice.make(registry) for choice in experiment.metrics}
    loss = experiment.loss.make(registry)
    return Parts(dataset, featurizer, model, loss, {experiment.loss.name: loss, **metrics}, parts)


def fabric_for(experiment: Experiment) -> Fabric:
    """Lightning Fabric for ``device``: one process on auto, cpu, cuda or mps; ``4xcuda`` for four with DDP.

    Raises ConfigError when the device is not there.
    """
    count, kind = _processes(experiment), experiment.device.rpartition("x")[2]
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device '{experiment.device}': this machine has no CUDA device; use --device cpu")
    if kind == "cuda" and count > torch.cuda.device_count():
        raise ConfigError(f"device '{experiment.device}': this machine has {torch.cuda.device_count()} CUDA devices")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device '{experiment.device}': this machine has no MPS device; use --device cpu")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision that was asked for
    return Fabric(
        accelerator=kind,
        devices=count,
        strategy="ddp" if count > 1 else "auto",
        precision=experiment.training.precision,
    )


def _processes(experiment: Experiment) -> int:
    return int(experiment.device.rpartition("x")[0] or 1)


def execute(
    experiment: Experiment, parts: Parts, registry: Registry, run: Run, fabric: Fabric, *, start: Checkpoint, show: Show
) -> None:
    """Train from ``start``, or fit, evaluate and report into ``run``; ``show`` gets every event.

    The process of rank 0 alone writes. Raises Interrupted or KeyboardInterrupt on a signal.
    """
    zero = fabric.is_global_zero
    began = time.perf_counter()

    def record(status: str, **facts: Any) -> None:
        if zero:
            spent = run.provenance().get("seconds", 0.0) + time.perf_counter() - began
            run.record(status=status, finished=_now(), seconds=round(spent, 1), **facts)

    if zero:
        _record_start(run, _facts(experiment, registry, parts, fabric))
    try:
        loader = Loader(parts.dataset, parts.featurizer, fabric.device, experiment.training.workers)
        header = {
            "contents": json.dumps(asdict(parts.dataset.contents)),
            "channels": json.dumps(list(parts.featurizer.channels)),
            "spacing": repr(float(parts.dataset[parts.split.train[0]].grid.spacing.max())),
        }
        if zero:  # before the first checkpoint, so that each prediction can be told how far it goes
            describe_training_set(parts.dataset, parts.split.train, run)
        if isinstance(parts.model, FittedModel):
            model = fit(parts.model, loader, parts.split, run=run, header=header, show=show)
        else:
            model = train(
                fabric, parts.model, parts.loss, loader, parts.split, experiment.training,
                seed=experiment.seed, run=run, header=header, start=start, show=show,
            )  # fmt: skip
        if zero:
            evaluate(model, loader, parts.split.test, parts.metrics, run, show)
        record("finished")
        if zero:
            write_report(run.path)
    except (Interrupted, KeyboardInterrupt):
        record("interrupted")
        raise
    except Exception as error:
        with contextlib.suppress(Exception):  # the disk may be full: the first error is the one to show
            record("failed", error=str(error))
        raise


class _Trained(Exception):
    """Raised at the end of training, before anything else is done."""


def train_only(experiment: Experiment, registry: Registry, folder: Path, show: Show) -> None:
    """Train or fit in a run directory made in ``folder``, and end there; the test samples are taken out beforehand."""

    def until_trained(event: Mapping[str, Any]) -> None:
        show(event)
        if event["event"] == "timing":  # the last word of a training; a run would go on with the test samples
            raise _Trained

    fabric = fabric_for(experiment)
    parts = build(experiment, registry, lambda done, total: None)
    parts = replace(parts, split=replace(parts.split, test=()))
    run = Run.create(folder, experiment.name, experiment.to_yaml())
    with contextlib.suppress(_Trained):
        execute(experiment, parts, registry, run, fabric, start=Checkpoint(), show=until_trained)


def _record_start(run: Run, facts: Mapping[str, Any]) -> None:
    """The first session's facts are the run's; a later one adds its time, command and what is no longer the same."""
    known = run.provenance()
    if "started" not in known:
        run.record(**facts, status="running")
        return
    if facts["dataset"] != known["dataset"]:
        raise RunError(
            f"{run.path} was made from other data (fingerprint {known['dataset']['fingerprint'][:12]}, now "
            f"{facts['dataset']['fingerprint'][:12]}); start anew by `edframe run {run.path / 'config.yaml'}`"
        )
    changed = {key: value for key, value in facts.items() if value != known.get(key)}
    run.record(status="running", resumed=[*known.get("resumed", []), changed])


def _facts(experiment: Experiment, registry: Registry, parts: Parts, fabric: Fabric) -> dict[str, Any]:
    choices = [experiment.data, experiment.featurizer, experiment.model, experiment.loss, *experiment.metrics]
    found = [registry.find(part.kind, part.name) for choice in choices for part in choice.components()]
    owners = {provided.distribution: provided.version for provided in found}
    libraries = ("edframe", "torch", "lightning-fabric", "numpy", "scipy", "pymatgen")
    # By key, whose case BibTeX ignores: two plugins may cite the same paper.
    references = {
        entry.partition("{")[2].partition(",")[0].strip().lower(): entry
        for provided in found
        for entry in provided.component.references
    }
    return {
        "command": shlex.join(["edframe", *sys.argv[1:]]),
        "versions": {name: version(name) for name in libraries} | owners | {"python": platform.python_version()},
        "git_commit": _git_commit(),
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else str(fabric.device),
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "seeds": {
            "folds": seed_for(experiment.splits.seed, "folds"),
            **{
                purpose: seed_for(experiment.seed, purpose)
                for purpose in ("weights", "batches", "augmentation", "dropout")
            },
        },
        "dataset": {
            "name": experiment.data.name,
            "fingerprint": parts.dataset.fingerprint(),
            "samples": len(parts.dataset),
            "train": len(parts.split.train),
            "validation": len(parts.split.validation),
            "test": len(parts.split.test),
        },
        "started": _now(),
        "references": list(references.values()),
    }


def _git_commit() -> str | None:
    """The commit of a source checkout of edframe, "-dirty" when it has changes; None for an installed one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run([*command, "--exclude=*"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
