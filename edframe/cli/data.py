"""``edframe data``: datasets, what is in them, and the slow work of making them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from edframe.cli import options
from edframe.cli.complete import component_names
from edframe.cli.signals import raise_interrupts

if TYPE_CHECKING:
    from edframe.interfaces import Dataset

app = typer.Typer(help="Datasets: list, describe, build.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a dataset.", autocompletion=component_names("dataset"))]


@app.command("list")
def list_() -> None:
    """List the installed datasets."""
    from edframe.registry import Registry

    registry = Registry.discover()
    for name in registry.names("dataset"):
        typer.echo(f"{name:<12} {registry.get('dataset', name).summary}")


@app.command("info")
def info(name: Name, settings: options.Settings = None) -> None:
    """Show what a dataset holds, how it was made, and its fingerprint."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    dataset = _open(name, settings)
    contents = dataset.contents
    rows = {
        "samples": len(dataset),
        "groups kept together": len(set(dataset.groups)),
        "species": ", ".join(contents.species),
        "spin channels": contents.spins,
        **dataset.describe(),
        "fingerprint": dataset.fingerprint(),
    }
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(escape(str(key)), escape(str(value)))
    Console(highlight=False).print(table)


@app.command("build")
def build(
    name: Name,
    settings: options.Settings = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Redo the DFT calculations themselves.")] = False,
    workers: Annotated[int, typer.Option("--workers", help="Parallel workers; 0: one per core.")] = 0,
) -> None:
    """Do a dataset's slow work once and cache it. Ctrl-C loses nothing: the same command continues."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    dataset = _open(name, settings)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn()) as progress:
        task = progress.add_task(f"{name}: {'DFT' if recompute else 'densities'}", total=len(dataset))
        try:
            raise_interrupts()
            dataset.build(
                lambda done, total: progress.update(task, completed=done, total=total),
                recompute=recompute,
                workers=workers or os.cpu_count() or 1,
            )
        except KeyboardInterrupt:
            progress.stop()
            typer.echo("Stopped; what is done is kept, and the same command continues.", err=True)
            raise typer.Exit(130) from None
        progress.update(task, completed=len(dataset), total=len(dataset))


def _open(name: str, settings: list[str] | None) -> Dataset:
    """A dataset with the options ``--set data.key=value``."""
    from edframe.registry import Registry

    registry = Registry.discover()
    choice = options.resolved(registry, None, {"data": name}, settings).data
    dataset: Dataset = registry.get(choice.kind, choice.name).load()(choice.options)
    return dataset
