"""Test samples on which the variants differ most, with the density that each of them predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edframe.comparison.outcome import Outcome
from edframe.config.experiment import Experiment
from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.data.loading import Batch, Loader
from edframe.grid import Grid
from edframe.predict.predictor import load_best
from edframe.runs.build import Parts, build
from edframe.runs.directory import Run
from edframe.train.featurizer import restore_featurizer
from edframe.train.loop import predict


@dataclass(frozen=True)
class Example:
    """A test sample. Densities ``[x, y, z]`` in e/Å^d; positions ``[atom, d]`` in Å; predicted, nmae: by variant.

    Predicted by each variant's run of the lowest seed, whose errors ``nmae`` are, in %.
    """

    id: str
    grid: Grid
    species: tuple[str, ...]
    positions: NDArray[np.float64]
    reference: NDArray[np.float32]
    predicted: Mapping[str, NDArray[np.float32]]
    nmae: Mapping[str, float]


@dataclass(frozen=True)
class Shown:
    """A sample as one run sees it: its batch, the predicted density ``[x, y, z]``, the NMAE in %."""

    batch: Batch
    density: NDArray[np.float32]
    nmae: float


def examples(outcomes: Sequence[Outcome], reference: str, registry: Registry, count: int = 3) -> list[Example]:
    """The samples of the first condition on which the variants differ most, the widest apart first.

    How far they are apart: the range of the sample's NMAE over the variants, each averaged over the seeds of a fold,
    divided by their mean. Only samples that all variants were tested on; of each group (mirror images, neighbours in
    time) one, because the others look the same. Each run that is needed is built once, on the CPU. A variant on other
    points than the reference, as when grids are compared, is left out. Raises RunError when a run has no weights.
    """
    here = [outcome for outcome in outcomes if outcome.condition == outcomes[0].condition]
    chosen = _widest(here, count)
    if not any(outcome.variant == reference for outcome in here):
        return []
    others = dict.fromkeys(outcome.variant for outcome in here if outcome.variant != reference)
    shown: dict[tuple[int, str], dict[str, Shown]] = {key: {} for key in chosen}
    for fold in dict.fromkeys(fold for fold, _ in chosen):
        ids = [sample for where, sample in chosen if where == fold]
        for variant in (reference, *others):
            run = min((o for o in here if (o.variant, o.fold) == (variant, fold)), key=lambda outcome: outcome.seed)
            for sample, prediction in zip(ids, predictions(run, ids, registry), strict=True):
                shown[fold, sample][variant] = prediction
    return [_example(variants, reference) for variants in shown.values()]


def _widest(outcomes: Sequence[Outcome], count: int) -> list[tuple[int, str]]:
    """Fold and id of the samples that are widest apart, one of each group."""
    errors: dict[tuple[int, str], dict[str, list[float]]] = {}
    groups: dict[str, int] = {}
    for outcome in outcomes:
        groups |= outcome.groups
        for sample, values in outcome.samples.items():
            errors.setdefault((outcome.fold, sample), {}).setdefault(outcome.variant, []).append(values["nmae"])
    variants = {outcome.variant for outcome in outcomes}
    apart = {}
    for key, by_variant in errors.items():
        if by_variant.keys() == variants:
            means = [np.mean(values) for values in by_variant.values()]
            apart[key] = np.ptp(means) / np.mean(means)
    first: dict[int, tuple[int, str]] = {}
    for key in sorted(apart, key=lambda key: -apart[key]):
        first.setdefault(groups[key[1]], key)
    return list(first.values())[:count]


def predictions(outcome: Outcome, ids: Sequence[str], registry: Registry) -> list[Shown]:
    """For each sample what the run's best weights predict."""
    _, parts = restored(outcome, registry)
    model, loader = parts.model, Loader(parts.dataset, parts.featurizer, "cpu")
    places = {name: index for index, name in enumerate(parts.dataset.ids)}
    shown = []
    with torch.no_grad():
        for sample in ids:
            batch = loader.batch([places[sample]])
            shown.append(Shown(batch, predict(model, batch)[0, 0].float().numpy(), outcome.samples[sample]["nmae"]))
    return shown


def restored(outcome: Outcome, registry: Registry) -> tuple[Experiment, Parts]:
    """The experiment of a run, and its parts with the best weights, on the CPU. Raises RunError when it has none."""
    experiment, _ = resolve(registry, outcome.run / "config.yaml")
    parts, run = build(experiment, registry, lambda done, total: None), Run(outcome.run)
    load_best(parts.model, run)
    restore_featurizer(parts.featurizer, run)
    parts.model.eval()
    return experiment, parts


def _example(shown: Mapping[str, Shown], reference: str) -> Example:
    batch = shown[reference].batch
    (sample,), grid = batch.samples, batch.grid
    alike = {variant: one for variant, one in shown.items() if one.batch.grid == grid}
    return Example(
        id=sample.id,
        grid=grid,
        species=tuple(site.specie.symbol for site in sample.structure),
        positions=sample.positions,
        reference=batch.density[0, 0].float().numpy(),
        predicted={variant: one.density for variant, one in alike.items()},
        nmae={variant: one.nmae for variant, one in alike.items()},
    )
