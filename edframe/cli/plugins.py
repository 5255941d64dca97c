"""``edframe plugins``: what is installed, what each component does, new ones, and whether they keep their promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edframe.cli import options
from edframe.cli.complete import any_component, kinds
from edframe.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from edframe.contract.registry import Provided, Registry
    from edframe.testing import Subject

app = typer.Typer(help="Installed plugins and their components; new ones.", invoke_without_command=True)


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


@app.command("new")
def new(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="loss, featurizer, model or dataset.", autocompletion=kinds)
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the component, such as my-loss.")],
) -> None:
    """Make a distribution with a component of your own, in the new folder edframe-NAME.

    It works as it is, has tests, a licence and a workflow, and says at the top of its code what to change.

    Examples:

      edframe plugins new loss my-loss

      pip install -e ./edframe-my-loss

      edframe run --loss my-loss
    """
    from edframe.contract.registry import Registry
    from edframe.scaffold.make import FLAGS, make

    made = make(kind, name, Registry.discover(), Path())
    code = made / "src" / made.name.replace("-", "_") / f"{kind}.py"
    typer.echo(f"{made} is made; {code} says what to change. Next:")
    for command in (f"pip install -e ./{made}", f"edframe plugins check {name}", f"edframe run {FLAGS[kind]} {name}"):
        typer.echo(f"  {command}")


@app.command("check")
def check(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Name of a component, or of a distribution.", autocompletion=any_component)
    ],
    settings: options.Settings = None,
) -> None:
    """Check that a component keeps the promises of its kind; a line for each check, exit status 1 if one fails.

    Examples:

      edframe plugins check sinkhorn

      edframe plugins check edframe-lp

      edframe plugins check cube --set "data.files=[cubes/*.cube]"
    """
    from edframe.contract.registry import Registry
    from edframe.testing.run import outcomes

    registry = Registry.discover()
    matches = _named(name, registry)
    broken = [one for one in registry.broken if one.distribution == name]
    for one in broken:
        typer.echo(f"broken: {one.distribution}: {one.reason}")
    given = _settings(settings, {provided.component.kind for provided in matches})
    failed = len(broken)
    for provided in matches:
        subject = _subject(provided, given, registry)
        typer.echo(f"{provided.label}:")
        counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
        for outcome in outcomes(subject):
            counts[outcome.status] += 1
            reason = " ".join(outcome.reason.split())
            typer.echo(f"  {outcome.status}  {outcome.check}" + (f": {reason}" if reason else ""))
            if outcome.error and context.find_root().params["debug"]:
                raise outcome.error
        failed += counts["failed"]
        typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
    if failed:
        raise typer.Exit(1)


def _named(name: str, registry: Registry) -> list[Provided]:
    """The components of that name, or all of the distribution of that name. Raises PluginError when there are none."""
    from edframe.contract.registry import suggest

    every = [provided for owners in registry.provided.values() for provided in owners]
    matches = [one for one in every if name in (one.component.name, one.distribution)]
    if not matches and all(broken.distribution != name for broken in registry.broken):
        known = sorted({one.component.name for one in every} | {one.distribution for one in every})
        raise PluginError(
            f"there is no component and no distribution '{name}'{suggest(name, known)}. `edframe plugins` lists "
            "all, and every plugin that is broken; install yours by `pip install -e FOLDER`"
        )
    return matches


def _settings(settings: list[str] | None, kinds: set[str]) -> dict[str, dict[str, object]]:
    """The options given by ``--set``, for each kind. Raises ConfigError for those of another kind."""
    from edframe.config.experiment import BLOCKS
    from edframe.config.sources import Layers

    layers = Layers({block: {} for block, kind in BLOCKS.items() if kind in kinds})
    blocks = list(layers.values)
    for setting in settings or []:
        layers.add_setting(setting)
        if list(layers.values) != blocks or not setting.partition("=")[0].count("."):
            wanted = " or ".join(f"{block}.OPTION=VALUE" for block in blocks)
            raise ConfigError(f"--set {setting}: only options of what is checked can be set: write {wanted}")
    return {BLOCKS[block]: dict(values) for block, values in layers.values.items()}


def _subject(provided: Provided, given: dict[str, dict[str, object]], registry: Registry) -> Subject:
    """A component to check with the options given for its kind. Raises ConfigError for options it does not have."""
    from edframe.config.resolve import chosen
    from edframe.testing import component

    kind, config = provided.component.kind, given[provided.component.kind]
    if config:
        chosen(provided.component, config, registry)
    return component(kind, provided.component.name, config, registry)
