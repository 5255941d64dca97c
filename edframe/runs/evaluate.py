"""Evaluate a trained model on held-out samples: metrics per sample, their summary, and a few predictions to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edframe.data.loading import Batch, Loader
from edframe.grid import in_dimension
from edframe.interfaces import Loss
from edframe.metrics.convergence import unconverged
from edframe.metrics.standard import is_isolated, nmae, standard, units
from edframe.metrics.summary import summarise
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Metric, Progress, Results, Show
from edframe.train.loop import predict


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Loader,
    indices: Sequence[int],
    losses: Mapping[str, Loss],
    run: Run,
    show: Show,
) -> None:
    """Log an event for each of ``indices``, as it is evaluated, and the results over all; keep the worst, median and
    best predictions. Samples that the run has an event of, because it was stopped here, are not evaluated again.

    ``losses`` are evaluated as metrics under their names; their diagnostics are logged with each sample, and solves
    that did not converge are counted. Intervals treat the samples of one group as one draw.
    """
    model.eval()
    ids, groups = loader.dataset.ids, loader.dataset.groups
    known = {event.id: event for event in run.events() if isinstance(event, Evaluated)}
    batches = loader.stream([index] for index in indices if ids[index] not in known)
    evaluated: list[Evaluated] = []
    for index in indices:
        event = known.get(ids[index])
        if event is None:
            record, extras = measured(model, next(batches), losses)
            event = Evaluated(ids[index], record, int(groups[index]), extras)
            run.log(event)
        evaluated.append(event)
        show(Progress("evaluation", len(evaluated), len(indices)))
    records = [event.metrics for event in evaluated]
    dimension = loader.dataset.contents.dimension
    own = {name: in_dimension(loss.unit, dimension) for name, loss in losses.items()}
    named_units = {**units(dimension), **own, "baseline_nmae": "%"}
    drawn = [groups[i] for i in indices]
    summaries = {name: summarise([record[name] for record in records], groups=drawn) for name in records[0]}
    metrics = {name: Metric(named_units[name], **summary.to_dict()) for name, summary in summaries.items()}
    results = Results(len(indices), metrics)
    ranked = sorted(range(len(indices)), key=lambda i: records[i]["nmae"])
    for role, place in (("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1])):
        _keep(model, loader.batch([indices[place]]), role, records[place]["nmae"], run)
    warnings = unconverged([event.diagnostics for event in evaluated], "evaluation")
    run.log(*warnings, results)
    for warning in warnings:
        show(warning)
    show(results)


def measured(model: nn.Module, batch: Batch, losses: Mapping[str, Loss]) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics of a batch of one sample, and the diagnostics of the losses, each after the loss's name and a dot."""
    predicted = predict(model, batch)
    positions = batch.samples[0].positions
    values = standard(predicted, batch.density, batch.grid, torch.from_numpy(positions)[None], batch.electrons)
    if not is_isolated(batch.density[0, 0].double().cpu().numpy(), batch.grid):
        values["dipole_error"] = values["dipole_error"] * torch.nan
    diagnostics: dict[str, Tensor] = {}
    for name, loss in losses.items():
        values[name], extras = loss.with_diagnostics(predicted, batch.density, batch.grid)
        diagnostics |= {f"{name}.{key}": extra for key, extra in extras.items()}
    if batch.features.baseline is not None:
        values["baseline_nmae"] = nmae(batch.features.baseline, batch.density)
    return (
        {name: float(value) for name, value in values.items()},
        {name: float(extra) for name, extra in diagnostics.items()},
    )


def _keep(model: nn.Module, batch: Batch, role: str, error: float, run: Run) -> None:
    sample = batch.samples[0]
    tensors = {"predicted": predict(model, batch)[0], "reference": batch.density[0]}
    if batch.features.baseline is not None:
        tensors["baseline"] = batch.features.baseline[0]
    metadata = {
        "id": sample.id,
        "role": role,
        "grid": json.dumps(sample.grid.to_dict()),
        "species": json.dumps([site.specie.symbol for site in sample.structure]),
        "positions": json.dumps(sample.structure.cart_coords.tolist()),
        "electrons": repr(sample.electrons),
        "nmae": repr(error),
    }
    on_cpu = {key: tensor.cpu() for key, tensor in tensors.items()}
    run.save_tensors(f"predictions/{role}.safetensors", on_cpu, metadata)  # not by id, which may not be a file name
