"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edframe.cli.complete import component_names

Config = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="YAML file; without one, the defaults (Li–O–Li, Sinkhorn)."),
]
Data = Annotated[str | None, typer.Option("--data", help="Dataset.", autocompletion=component_names("dataset"))]
Featurizer = Annotated[
    str | None, typer.Option("--featurizer", help="Featurizer.", autocompletion=component_names("featurizer"))
]
Model = Annotated[str | None, typer.Option("--model", help="Model.", autocompletion=component_names("model"))]
Loss = Annotated[str | None, typer.Option("--loss", help="Loss.", autocompletion=component_names("loss"))]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One value, e.g. --set training.steps=200. May be repeated."),
]
Fold = Annotated[int | None, typer.Option("--fold", help="Fold whose test part is held out, from 0.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, mps; 4xcuda for four devices.")]


def chosen(**blocks: str | None) -> dict[str, str]:
    """Component flags that were given."""
    return {block: name for block, name in blocks.items() if name is not None}
