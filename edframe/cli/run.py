"""``edframe run``: train and evaluate one composition."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edframe.cli import options
from edframe.errors import RunError

if TYPE_CHECKING:
    from edframe.config import Experiment
    from edframe.registry import Registry
    from edframe.run import Run


def run(
    config: options.Config = None,
    data: options.Data = None,
    featurizer: options.Featurizer = None,
    model: options.Model = None,
    loss: options.Loss = None,
    settings: options.Settings = None,
    fold: options.Fold = None,
    device: options.Device = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Continue a stopped run, to the same result."),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder in which the run directory is made.")] = Path("runs"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train and evaluate one composition; write its numbers, checkpoints and report to a run directory.

    Values come from the defaults, then CONFIG, then the component flags, then --set. A component flag replaces
    that component's whole block.

    Examples:

      edframe run --loss sinkhorn

      edframe run configs/quick.yaml --loss l2 --set training.steps=100

      edframe run --resume runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c
    """
    from edframe.config import resolve
    from edframe.registry import Registry

    registry = Registry.discover()
    if resume is not None:
        given = [config, data, featurizer, model, loss, settings, fold]
        if any(value is not None for value in given):
            raise RunError("--resume continues a run with its own config.yaml; only --device may be given with it")
        from edframe.run import Run

        existing = Run.open(resume)
        own_flags = {} if device is None else {"device": device}
        experiment, _ = resolve(registry, resume / "config.yaml", flags=own_flags)
        if existing.provenance().get("status") == "finished":
            typer.echo(f"{resume} is finished; its report is {resume / 'report.html'}")
            return
        _execute(experiment, registry, existing, resume=True)
        return
    by_flag: dict[str, str | int | None] = {"splits.fold": fold, "device": device}
    flags = {key: value for key, value in by_flag.items() if value is not None}
    choices = options.chosen(data=data, featurizer=featurizer, model=model, loss=loss)
    experiment, notes = resolve(registry, config, choices, settings or [], flags)
    for note in notes:
        typer.echo(f"Note: {note}.", err=True)
    _execute(experiment, registry, runs, resume=False)


def _execute(experiment: Experiment, registry: Registry, where: Path | Run, *, resume: bool) -> None:
    from edframe.cli.display import Display
    from edframe.experiment import execute, fabric_for
    from edframe.run import Run
    from edframe.training import Interrupted

    fabric = fabric_for(experiment)
    fabric.launch()
    made: Any = None
    if fabric.is_global_zero:
        made = Run.create(where, experiment.name, experiment.to_yaml()) if isinstance(where, Path) else where
    directory: Run = fabric.broadcast(made)
    with Display(experiment, directory.path, quiet=not fabric.is_global_zero) as display:
        try:
            execute(experiment, registry, directory, fabric, resume=resume, show=display.show)
        except (Interrupted, KeyboardInterrupt) as stop:
            if fabric.is_global_zero:
                display.stopped(stop, directory.path)
            sys.exit(130)
