"""``edframe models`` and ``edframe export``: trained models that are installed, and a run made into such a one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edframe.cli.complete import model_names

app = typer.Typer(help="Trained models that are installed.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context) -> None:
    """List the trained models that are installed, with the elements and the level that they are for."""
    if context.invoked_subcommand is None:
        listed()


@app.command("list")
def listed() -> None:
    """List the trained models that are installed, with the elements and the level that they are for."""
    from rich.console import Console
    from rich.table import Table

    from edframe.contract.registry import Registry
    from edframe.predict.pretrained import require_models

    registry = Registry.discover()
    require_models(registry)
    table = Table()
    for heading in ("name", "elements", "level", "for", "licence"):
        table.add_column(heading, overflow="fold")
    for _, owners in sorted(registry.shipped.items()):
        for one in owners:
            model = one.model
            table.add_row(
                f"{model.name} {model.version}", " ".join(model.species), model.level, model.summary, model.licence
            )
    Console(highlight=False).print(table)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Of a trained model.", autocompletion=model_names)]) -> None:
    """Show the card of a trained model: what it is for, its errors, and where it fails. Its files are checked."""
    from edframe.contract.registry import Registry
    from edframe.predict.pretrained import card, folder_of

    shipped = Registry.discover().model(name)
    typer.echo(card(shipped.model).rstrip())
    if shipped.model.remote:
        typer.echo(f"\nIts files are fetched from {shipped.model.source} when it is first used.")
        return
    folder = folder_of(shipped)
    size = sum((folder / file).stat().st_size for file in shipped.model.files)
    typer.echo(f"\n{shipped.label}, {size / 1e6:.2g} MB, {len(shipped.model.files)} files as its distribution states.")


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a finished run, or of an ensemble.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the model, such as my-crystals.")],
    domain: Annotated[str, typer.Option("--domain", help="What it is for, one sentence of its card.")],
    licence: Annotated[str, typer.Option("--licence", help="Of the weights, by its SPDX name.")] = "MIT",
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="An existing distribution with several models, which it joins."),
    ] = None,
) -> None:
    """Make a distribution of a trained model, in the new folder edframe-NAME: weights, model card, test.

    Who installs it predicts by its name, and publishes it like any plugin. With --into, the model becomes one of those
    of an existing distribution, in a folder NAME with its record; a model of that name there is replaced.

    Examples:

      edframe export runs/20260101T120000Z-mine my-crystals --domain "Oxides."

      pip install ./edframe-my-crystals

      edframe predict my-crystals POSCAR CHGCAR
    """
    from edframe.contract.registry import Registry
    from edframe.scaffold.export import export as made
    from edframe.scaffold.export import export_into

    if into is not None:
        typer.echo(f"{export_into(run, name, into, domain=domain, licence=licence)} is made; complete its card.md")
        return
    folder = made(run, name, Path(), Registry.discover(), domain=domain, licence=licence)
    typer.echo(f"{folder} is made; complete the model card, card.md beside the weights. Next:")
    for line in (f"pip install ./{folder}", f"edframe models show {name}", f"edframe predict {name} STRUCTURE FILE"):
        typer.echo(f"  {line}")
