"""``edframe config``: look at a configuration without running it."""

from __future__ import annotations

import json

import typer

from edframe.cli import options

app = typer.Typer(help="Configurations: show one resolved in full, or their JSON Schema.", no_args_is_help=True)


@app.command("show")
def show(
    config: options.Config = None,
    data: options.Data = None,
    featurizer: options.Featurizer = None,
    model: options.Model = None,
    loss: options.Loss = None,
    settings: options.Settings = None,
    fold: options.Fold = None,
    device: options.Device = None,
) -> None:
    """Print the configuration that `edframe run` with the same arguments would use, with every default."""
    from edframe.contract.registry import Registry

    blocks = {"data": data, "featurizer": featurizer, "model": model, "loss": loss}
    experiment = options.resolved(Registry.discover(), config, blocks, settings, fold, device)
    typer.echo(experiment.to_yaml(), nl=False)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a config file over all installed components, for editors."""
    from edframe.config.schema import schema
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    typer.echo(json.dumps(schema(registry), indent=2, ensure_ascii=False))
    for broken in registry.broken:
        typer.echo(f"Note: {broken.distribution} is left out: {broken.reason}", err=True)
