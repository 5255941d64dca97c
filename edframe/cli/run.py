"""``edframe run``: train and evaluate one composition."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edframe.cli import options
from edframe.cli.progress import progress, stopping_keeps_what_is_done
from edframe.cli.signals import raise_interrupts
from edframe.errors import RunError, command

if TYPE_CHECKING:
    from edframe.config.experiment import Experiment
    from edframe.contract.registry import Registry
    from edframe.runs.directory import Run
    from edframe.runs.events import Event, Progress


def run(
    config: options.Config = None,
    data: options.Data = None,
    featurizer: options.Featurizer = None,
    model: options.Model = None,
    loss: options.Loss = None,
    settings: options.Settings = None,
    fold: options.Fold = None,
    device: options.Device = None,
    track: options.Track = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Continue a stopped run, to the same result."),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder in which the run directory is made.")] = Path("runs"),
) -> None:
    """Train and evaluate one composition; write its numbers, checkpoints and report to a run directory.

    Values come from the defaults, then CONFIG, then the component flags, then --set. A component flag replaces
    that component's whole block.

    Examples:

      edframe run --loss sinkhorn

      edframe run configs/quick.yaml --loss l2 --set training.steps=100

      edframe run --resume runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c
    """
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    if resume is None:
        blocks = {"data": data, "featurizer": featurizer, "model": model, "loss": loss}
        _execute(options.resolved(registry, config, blocks, settings, fold, device), registry, runs, None, track)
        return
    if any(value is not None for value in (config, data, featurizer, model, loss, settings, fold)):
        raise RunError(
            "--resume continues a run with its own config.yaml; only --device may be given with it, and --track"
        )
    from edframe.runs.directory import Run

    existing = Run.open(resume)
    if existing.provenance().get("status") == "finished":
        typer.echo(f"{resume} is finished; {command('edframe', 'report', resume)} writes its report again")
        return
    experiment = options.resolved(registry, resume / "config.yaml", {}, device=device)
    _execute(experiment, registry, runs, existing, track)


def _execute(
    experiment: Experiment, registry: Registry, runs: Path, existing: Run | None, track: Sequence[str] | None
) -> None:
    from edframe.cli.display import Display
    from edframe.runs.build import build, fabric_for
    from edframe.runs.directory import Run
    from edframe.runs.execute import execute
    from edframe.tracking import opened, require
    from edframe.train.checkpoint import Checkpoint
    from edframe.train.loop import Interrupted

    # Whatever can be wrong with the input shows before anything is written and other processes start.
    require(track or ())
    fabric = fabric_for(experiment)
    zero = fabric.is_global_zero
    raise_interrupts()
    made, parts = existing, None
    with contextlib.ExitStack() as held:
        if zero and existing:
            held.enter_context(existing.alone())
        start = Checkpoint.load(existing) if existing else Checkpoint()
        if zero:
            with stopping_keeps_what_is_done(), progress(f"{experiment.data.name}: densities") as advance:
                parts = build(experiment, registry, advance)
            if made is None:
                made = Run.create(runs, experiment.name, experiment.to_yaml())
                held.enter_context(made.alone())
        fabric.launch()  # other processes wait here until the data are there
        parts = parts or build(experiment, registry, lambda done, total: None)
        directory = cast("Run", fabric.broadcast(made))
        display = held.enter_context(Display(experiment, directory.path, quiet=not zero))
        try:
            with opened((track or ()) if zero else (), directory, start.step) as tracked:

                def show(event: Event | Progress) -> None:
                    display.show(event)
                    tracked(event)

                execute(experiment, parts, registry, directory, fabric, start=start, show=show)
            display.reported(directory.path / "report.html")
        except (Interrupted, KeyboardInterrupt) as stop:
            display.stopped(stop)
            # Other processes end well, for Fabric kills rank 0 when one does not.
            raise typer.Exit(130 if zero else 0) from None
