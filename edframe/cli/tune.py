"""``edframe tune``: search for the options with which an experiment validates best."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edframe.cli import options
from edframe.cli.progress import progress, stopping_keeps_what_is_done
from edframe.cli.signals import raise_interrupts

if TYPE_CHECKING:
    import optuna

    from edframe.config.experiment import Experiment
    from edframe.tuning.space import Space


def tune(
    config: options.Config = None,
    data: options.Data = None,
    featurizer: options.Featurizer = None,
    model: options.Model = None,
    loss: options.Loss = None,
    settings: options.Settings = None,
    fold: options.Fold = None,
    device: options.Device = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Finished trials in all, earlier ones included.")] = 20,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KEY", help="Search this option or block alone, as in model. May be repeated."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=WHERE",
            help="Search an option elsewhere: a list, or {low: 0.1, high: 1.0, log: true}. May be repeated.",
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Cut trials short that are worse than the median at that step.")
    ] = True,
    study: Annotated[
        Path | None,
        typer.Option("--study", metavar="DIR", help="Folder to make or continue; default: tuning/<name>-<hash>."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Trials side by side, in processes; 0: one per core.")] = 1,
    scheduler: options.Scheduler = None,
) -> None:
    """Search for the options with which an experiment validates best; write them as a recipe for `edframe run`.

    The search is over the options for which components declare ranges, except those that CONFIG or --set gives. Each
    trial trains with other values, and is judged by its best NMAE on the validation samples; the test samples are not
    used. After Ctrl-C the same command continues, with all finished trials.

    Examples:

      edframe tune configs/quick.yaml --trials 30

      edframe tune --loss l2 --only training.learning_rate --only model --workers 4

      edframe tune --vary "training.learning_rate={low: 1e-3, high: 1e-2, log: true}"
    """
    from edframe.contract.registry import Registry
    from edframe.tuning.journal import BEST, PICTURE, finished, library
    from edframe.tuning.space import chosen

    library()
    registry = Registry.discover()
    blocks = {"data": data, "featurizer": featurizer, "model": model, "loss": loss}
    layers = options.merged(config, blocks, settings, fold, device)
    experiment, space = chosen(layers, registry, only or [], vary or [])

    from edframe.interfaces import FittedModel
    from edframe.runs.build import build
    from edframe.tuning.study import tune

    raise_interrupts()
    with stopping_keeps_what_is_done():
        with progress(f"{experiment.data.name}: densities") as advance:
            parts = build(experiment, registry, advance)
        if isinstance(parts.model, FittedModel) and not only:  # a closed form knows no steps, and no loss but its own
            space = {key: where for key, where in space.items() if not key.startswith(("training.", "loss."))} or space
        folder = study or Path("tuning") / f"{experiment.name}-{_hash(experiment, space)}"
        typer.echo(f"{folder}: {', '.join(space)}")
        with progress("trials") as advance:

            def show(trial: optuna.trial.FrozenTrial | None, done: int) -> None:
                if trial is not None:
                    typer.echo(_line(trial, space))
                advance(min(done, trials), trials)

            processes = workers or os.cpu_count() or 1
            tuned = tune(
                experiment, space, registry, folder, trials, show, prune=prune, workers=processes, scheduler=scheduler
            )

    from edframe.files import whole
    from edframe.tuning.figure import figure
    from edframe.tuning.study import importances

    mattered = importances(tuned, space)
    with whole(folder / PICTURE) as file:
        file.write(figure(finished(tuned), mattered))
    _summary(tuned, space, experiment, mattered)
    typer.echo(f"figure: {folder / PICTURE}\nedframe run {shlex.quote(str(folder / BEST))}")


def _hash(experiment: Experiment, space: Space) -> str:
    """Of all that a result depends on, so that the same command finds its study again, on any device."""
    from edframe.tuning.space import to_plain

    content = [{**experiment.dump(), "device": ""}, {key: to_plain(where) for key, where in space.items()}]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def _line(trial: optuna.trial.FrozenTrial, space: Space) -> str:
    """A finished trial: its error, its values, and why there is no more to it."""
    from edframe.tuning.figure import reached
    from edframe.tuning.study import values_of

    if "error" in trial.user_attrs:
        result = f"failed: {trial.user_attrs['error']};"
    elif trial.state.name == "PRUNED":
        result = f"{reached(trial):6.2f} %, cut short at step {trial.last_step};"
    else:
        result = f"{trial.value:6.2f} %;"
    names = {key: key.rpartition(".")[2] for key in space}
    short = {key: name for key, name in names.items() if list(names.values()).count(name) == 1}
    values = ", ".join(f"{short.get(key, key)} {_shown(value)}" for key, value in values_of(trial, space).items())
    return f"trial {trial.number:>3}: {result} {values}"


def _summary(study: optuna.Study, space: Space, experiment: Experiment, importances: dict[str, float]) -> None:
    """The best trial beside the values that the search began with."""
    from rich.console import Console
    from rich.table import Table

    from edframe.tuning.journal import finished
    from edframe.tuning.space import value_at
    from edframe.tuning.study import completed, values_of

    best, base = study.best_trial, experiment.dump()
    ended = f"{len(finished(study))} trials, {len(completed(study))} trained to the end"
    typer.echo(f"{ended}; best: trial {best.number}, validation NMAE {best.value:.2f} %")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("option")
    for heading in ("began with", "best", *(["importance"] if importances else [])):
        table.add_column(heading, justify="right")
    for key, value in values_of(best, space).items():
        shares = [f"{importances[key]:.0%}"] if importances else []
        table.add_row(key, _shown(value_at(base, key)), _shown(value), *shares)
    Console(highlight=False).print(table)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
