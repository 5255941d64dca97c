"""``edframe plugins``: what is installed, and what each component does."""

from __future__ import annotations

from typing import Annotated

import typer

from edframe.cli.complete import any_component
from edframe.errors import PluginError

app = typer.Typer(help="Installed plugins and their components.", invoke_without_command=True)


@app.callback()
def plugins(context: typer.Context) -> None:
    """List all components by kind, and every plugin that cannot be used, with the reason."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from edframe.contract.component import KINDS
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    console = Console(highlight=False)
    table = Table()
    for heading in ("kind", "name", "summary", "distribution"):
        table.add_column(heading, overflow="fold")
    for kind in KINDS:
        for name in registry.names(kind):
            for provided in registry.provided[kind, name]:
                owner = f"{provided.distribution} {provided.version}"
                table.add_row(kind, name, provided.component.summary, owner)
    console.print(table)
    for (kind, name), owners in sorted(registry.provided.items()):
        if len(owners) > 1:
            listed = " and ".join(owner.distribution for owner in owners)
            console.print(
                f"conflict: {kind} '{name}' is provided by {listed}; it cannot be used until one is uninstalled",
                markup=False, soft_wrap=True,
            )  # fmt: skip
    for broken in registry.broken:
        console.print(f"broken: {broken.distribution}: {broken.reason}", markup=False, soft_wrap=True)
    for printed in registry.printed:
        console.print(
            f"prints: {printed.distribution}: it prints when it is imported ({printed.line!r}), which goes to stderr; "
            "report this to its authors",
            markup=False, soft_wrap=True,
        )  # fmt: skip


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a component.", autocompletion=any_component)],
) -> None:
    """Show what a component does, each of its options with its default, and its references."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edframe.config.experiment import BLOCKS
    from edframe.contract.component import KINDS
    from edframe.contract.registry import Registry, suggest

    registry = Registry.discover()
    kinds = [kind for kind in KINDS if (kind, name) in registry.provided]
    if not kinds:
        known = sorted({known for _, known in registry.provided})
        hint = ". `edframe plugins` lists all, and every plugin that is broken."
        raise PluginError(f"there is no component '{name}'{suggest(name, known)}{hint}")
    console = Console(highlight=False)
    keys = {kind: block for block, kind in BLOCKS.items()}
    for kind in kinds:
        provided = registry.find(kind, name)
        component = provided.component
        console.print(f"[bold]{kind} {name}[/bold] ({provided.distribution} {provided.version})")
        console.print(escape(component.summary))
        table = Table()
        for heading in ("option", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for option, field in component.config.model_fields.items():
            default = "required" if field.is_required() else repr(field.default)
            table.add_row(f"{keys[kind]}.{option}", escape(default), escape(field.description or ""))
        if component.config.model_fields:
            console.print(table)
        for reference in component.references:
            console.print(escape(reference), style="dim")
