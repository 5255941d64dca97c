"""The runs of ``plane.md``: what ``plane.yaml`` asks for, each trained in a folder that is thrown away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from convex_model import Array
from convex_study import FOLDS, TESTS, measured, parts, short
from torch import Tensor, nn

from edframe.config.experiment import Experiment
from edframe.config.resolve import merge, validate, varied
from edframe.contract.registry import Registry
from edframe.data.loading import Loader
from edframe.metrics.standard import nmae
from edframe.runs.build import Parts, build, fabric_for
from edframe.runs.directory import Run
from edframe.runs.events import Event, Show, Step, Validation
from edframe.runs.execute import learn
from edframe.train.checkpoint import Checkpoint
from edframe.train.loop import predict
from edframe.train.peak_memory import forget_peak, peak_memory

RECIPE = Path(__file__).with_name("plane.yaml")
TOGETHER = 16
"""Samples that are predicted at once."""
MEASURED = 100
"""Steps of a training whose cost is measured."""


@dataclass(frozen=True)
class Planned:
    """A run by its labels in the recipe."""

    condition: str
    loss: str
    seed: int

    @property
    def key(self) -> str:
        """Of the row."""
        return f"{self.condition}; {self.loss}; {self.seed}"


def recipe() -> dict[str, Any]:
    return dict(yaml.safe_load(RECIPE.read_text(encoding="utf-8")))


def planned(recipe: dict[str, Any]) -> Iterator[Planned]:
    """Every run, in the order of the recipe, and within a part of it seed by seed, so that pairs are whole."""
    for part in recipe["runs"]:
        for seed in range(part.get("from", 0), part["seeds"]):
            for condition in part["conditions"]:
                yield from (Planned(condition, loss, seed) for loss in part["losses"])


def experiment_of(plan: Planned, recipe: dict[str, Any], registry: Registry) -> Experiment:
    """Its configuration, in full. Raises ConfigError."""
    default = validate(merge()[0], registry).dump()
    chosen = {**recipe["base"], **recipe["conditions"][plan.condition], **recipe["losses"][plan.loss]}
    return varied(default, {**chosen, "seed": plan.seed, "splits.fold": plan.seed % FOLDS}, registry, plan.key)


def carry_out(plan: Planned, recipe: dict[str, Any], registry: Registry) -> tuple[dict[str, Any], dict[str, Array]]:
    """A row, and the metrics of each test sample, of the averaged weights at the end of the training.

    At the end, not where the NMAE of the validation samples is least: that choice would favour l1.
    """
    experiment, events, begun = experiment_of(plan, recipe, registry), [], time.process_time()
    built = build(experiment, registry, lambda done, total: None)
    model, loader = trained(experiment, built, events.append)
    seconds = time.process_time() - begun
    validations = [event for event in events if isinstance(event, Validation)]
    steps = [event.seconds for event in events if isinstance(event, Step)]
    row: dict[str, Any] = {
        "key": plan.key, "condition": plan.condition, "loss": plan.loss, "seed": plan.seed,
        "fold": plan.seed % FOLDS, "seconds": short(seconds), "step_ms": short(1e3 * float(np.median(np.diff(steps)))),
        "validation_loss": [short(event.loss or 0.0) for event in validations],
        "validation_nmae": [short(event.nmae) for event in validations],
    }  # fmt: skip
    each: dict[str, Array] = {}
    size = experiment.training.size or 0
    train, *tests = parts(built.dataset, size, plan.seed % FOLDS, plan.seed)
    assert tuple(train) == built.split.train, "the convex study and the runs have other training samples"
    for test, indices in zip(TESTS, tests, strict=True):
        values = evaluated(model, loader, tested(indices))
        each |= {f"{test} {name}": value for name, value in values.items()}
        row[test] = {name: short(float(value.mean())) for name, value in values.items()}
    return row, each


def trained(experiment: Experiment, built: Parts, show: Show) -> tuple[nn.Module, Loader]:
    """The model with the averaged weights of the end, and the loader of its samples."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "plane", experiment.to_yaml())
        model, loader = learn(experiment, built, run, fabric_for(experiment), start=Checkpoint(), show=show)
        last = Checkpoint.load(run).tensors
    model.load_state_dict(
        {name.removeprefix("average."): value for name, value in last.items() if name.startswith("average.")}
    )
    return model, loader


def cost(loss: str) -> dict[str, float]:
    """Processor ms of a training step, the median, and the most MB in use during training above that before it: of a
    loss from fitted atoms, by one thread."""
    torch.set_num_threads(1)
    registry, device, times = Registry.discover(), torch.device("cpu"), []
    full = experiment_of(Planned("atoms, 25", loss, 0), recipe(), registry)
    steps = dict.fromkeys(("training.steps", "training.evaluate_every", "training.checkpoint_every"), MEASURED)
    experiment = varied(full.dump(), steps, registry, "the cost")
    built = build(experiment, registry, lambda done, total: None)

    def show(event: Event) -> None:
        if isinstance(event, Step):
            times.append(time.process_time())

    forget_peak(device)
    before = peak_memory(device)
    trained(experiment, built, show)
    return {"ms": short(1e3 * float(np.median(np.diff(times)))), "mb": short((peak_memory(device) - before) / 1e6)}


def tested(indices: Sequence[int]) -> Sequence[int]:
    """Every second one of what the convex study tests, because runs differ more than samples do."""
    return indices[::2]


@torch.no_grad()
def evaluated(model: nn.Module, loader: Loader, indices: Sequence[int]) -> dict[str, Array]:
    """The metrics of each sample, and the NMAE of the baseline where there is one."""
    model.eval()
    every: list[dict[str, Array]] = []
    for start in range(0, len(indices), TOGETHER):
        batch = loader.batch(indices[start : start + TOGETHER])
        predicted, reference = predict(model, batch).double(), batch.density.double()
        atoms: Tensor = torch.stack([torch.from_numpy(sample.positions) for sample in batch.samples])
        values = measured(predicted, reference, atoms, batch.grid)
        if batch.features.baseline is not None:
            values["baseline_nmae"] = nmae(batch.features.baseline, reference).numpy()
        every.append(values)
    return {name: np.concatenate([values[name] for values in every]) for name in every[0]}
