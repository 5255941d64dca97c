"""Carry out an experiment whose parts are built: train or fit, evaluate, report."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from edframe.config.experiment import Experiment
from edframe.contract.registry import Registry
from edframe.data.filling import Filling
from edframe.data.level import Level
from edframe.data.loading import Loader
from edframe.data.valence import Valence
from edframe.errors import DataError
from edframe.interfaces import FittedModel
from edframe.io.boxes import vacuum_around
from edframe.predict.novelty import describe_training_set
from edframe.report import write_report
from edframe.runs.build import Parts, build, fabric_for
from edframe.runs.directory import Run
from edframe.runs.evaluate import evaluate
from edframe.runs.events import Show
from edframe.runs.provenance import facts_of, now, record_start
from edframe.train.checkpoint import Checkpoint
from edframe.train.featurizer import Samples, fit_featurizer
from edframe.train.fit import fit
from edframe.train.loop import Interrupted, train


def execute(
    experiment: Experiment, parts: Parts, registry: Registry, run: Run, fabric: Fabric, *, start: Checkpoint, show: Show
) -> None:
    """Train from ``start``, or fit, evaluate and report into ``run``; ``show`` gets every event.

    The process of rank 0 alone writes. Raises Interrupted or KeyboardInterrupt on a signal, RunError when the disk is
    full: a run whose report alone could not be written is finished.
    """
    with _recorded(experiment, parts, registry, run, fabric) as record:
        model, loader = learn(experiment, parts, run, fabric, start=start, show=show)
        if fabric.is_global_zero:
            evaluate(model, loader, parts.split.test, parts.metrics, run, show)
        record("finished")
    if fabric.is_global_zero:
        write_report(run.path)


def train_only(experiment: Experiment, registry: Registry, folder: Path, show: Show) -> Run:
    """Train or fit in a run directory made in ``folder``, and end there: the test samples are not looked at."""
    fabric = fabric_for(experiment)
    parts = build(experiment, registry, lambda done, total: None)
    parts = replace(parts, split=replace(parts.split, test=()))
    run = Run.create(folder, experiment.name, experiment.to_yaml())
    with _recorded(experiment, parts, registry, run, fabric) as record:
        learn(experiment, parts, run, fabric, start=Checkpoint(), show=show)
        record("trained")
    return run


def learn(
    experiment: Experiment, parts: Parts, run: Run, fabric: Fabric, *, start: Checkpoint, show: Show
) -> tuple[nn.Module, Loader]:
    """The model with its best weights, trained from ``start`` or fitted, and the loader of its samples."""
    dataset, train_on = parts.dataset, parts.split.train
    valence = Valence.of(Samples(dataset, train_on), dataset.contents.species)
    wrong = valence.contradiction(parts.featurizer.electrons) if parts.featurizer.electrons else None
    if wrong:
        raise DataError(
            f"the featurizer '{experiment.featurizer.name}' superposes atoms with {wrong}; use --featurizer atoms, "
            "which fits its atoms to the data"
        )
    fit_featurizer(parts.featurizer, dataset, train_on, fabric=fabric, run=run, show=show)
    workers = experiment.training.workers
    loader = Loader(dataset, parts.featurizer, fabric.device, workers, label=parts.featurizer_label)
    header = {
        "contents": json.dumps(asdict(dataset.contents)),
        "channels": json.dumps(list(parts.featurizer.channels)),
        "spacing": repr(float(dataset[train_on[0]].grid.spacing.max())),
        "valence": json.dumps(asdict(valence)),
        "level": json.dumps(asdict(Level.of(Samples(dataset, train_on)))),
        "vacuum": json.dumps(vacuum_around(dataset[train_on[0]].structure)),
    }
    filling = Filling.of(Samples(dataset, train_on), valence, dataset.contents.spins)
    header |= {} if filling is None else filling.header()
    if fabric.is_global_zero:  # before the first checkpoint, so that the novelty of each prediction can be judged
        describe_training_set(dataset, train_on, run)
    if isinstance(parts.model, FittedModel):
        return fit(parts.model, parts.loss, loader, parts.split, run=run, header=header, show=show), loader
    model = train(
        fabric, parts.model, parts.loss, loader, parts.split, experiment.training,
        seed=experiment.seed, run=run, header=header, start=start, show=show,
    )  # fmt: skip
    return model, loader


@contextlib.contextmanager
def _recorded(
    experiment: Experiment, parts: Parts, registry: Registry, run: Run, fabric: Fabric
) -> Iterator[Callable[[str], None]]:
    """Writes the start of a session, and its end with the status that the yielded function is given, or by the error
    that ended it."""
    began = time.perf_counter()

    def record(status: str, **facts: Any) -> None:
        if fabric.is_global_zero:
            spent = run.provenance().get("seconds", 0.0) + time.perf_counter() - began
            run.record(status=status, finished=now(), seconds=round(spent, 1), **facts)

    if fabric.is_global_zero:
        record_start(run, facts_of(experiment, registry, parts, fabric))
    try:
        yield record
    except (Interrupted, KeyboardInterrupt):
        record("interrupted")
        raise
    except Exception as error:
        with contextlib.suppress(Exception):  # the disk may be full: the first error is the one to show
            record("failed", error=str(error))
        raise
