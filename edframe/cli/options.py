"""Options that several commands share, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edframe.cli.complete import component_names, setting_keys
from edframe.errors import ConfigError

if TYPE_CHECKING:
    from edframe.config.experiment import Experiment
    from edframe.config.sources import Layers
    from edframe.contract.registry import Registry

Config = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", help="YAML file; without one, the defaults (Li–O–Li, Sinkhorn)."),
]
Data = Annotated[str | None, typer.Option("--data", help="Dataset.", autocompletion=component_names("dataset"))]
Featurizer = Annotated[
    str | None, typer.Option("--featurizer", help="Featurizer.", autocompletion=component_names("featurizer"))
]
Model = Annotated[str | None, typer.Option("--model", help="Model.", autocompletion=component_names("model"))]
Loss = Annotated[str | None, typer.Option("--loss", help="Loss.", autocompletion=component_names("loss"))]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One value, e.g. --set training.steps=200. May be repeated.",
        autocompletion=setting_keys,
    ),
]
Fold = Annotated[int | None, typer.Option("--fold", help="Fold whose test part is held out, from 0.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, mps; 4xcuda for four devices.")]
Spin = Annotated[
    str, typer.Option("--spin", help="Two cubes of a spin density: total (and spin), or up-down.", metavar="WAY")
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Use a running Dask scheduler, as in tcp://host:8786."),
]
Unit = Annotated[
    str | None,
    typer.Option("--unit", metavar="UNIT", help="Unit of the values: e/Å³, e/bohr³, e per voxel, times volume; eV, "
                 "hartree, Ry. Default: the format's, or the one that gives the right electrons."),
]  # fmt: skip
Quantity = Annotated[
    Literal["density", "potential", "field"] | None,
    typer.Option("--quantity", help="What the values are. Default: by format, title and name."),
]
Force = Annotated[bool, typer.Option("--force", help="Write over files that exist.")]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="TRACKER", help="Log to tensorboard or mlflow, too. May be repeated."),
]


def resolved(
    registry: Registry,
    config: Path | None,
    blocks: dict[str, str | None],
    settings: Sequence[str] | None = None,
    fold: int | None = None,
    device: str | None = None,
) -> Experiment:
    """The validated experiment; what a component flag replaced is said on stderr."""
    from edframe.config.resolve import validate

    return validate(merged(config, blocks, settings, fold, device), registry)


def merged(
    config: Path | None,
    blocks: dict[str, str | None],
    settings: Sequence[str] | None = None,
    fold: int | None = None,
    device: str | None = None,
) -> Layers:
    """The values of the config file and all flags, not yet validated; what a flag replaced is said on stderr."""
    from edframe.config.resolve import merge

    choices = {block: name for block, name in blocks.items() if name is not None}
    given: dict[str, Any] = {"splits.fold": fold, "device": device}
    flags = {key: value for key, value in given.items() if value is not None}
    layers, notes = merge(config, choices, settings or [], flags)
    for note in notes:
        typer.echo(f"Note: {note}.", err=True)
    return layers


def refuse_to_overwrite(files: Iterable[Path], force: bool) -> None:
    """Raises ConfigError for files that exist, unless ``force``."""
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        one = "exists" if len(there) == 1 else "exist"
        raise ConfigError(f"{', '.join(there)} {one} already; give another name, or --force to write over it")
