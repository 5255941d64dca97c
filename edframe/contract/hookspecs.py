"""The hooks a plugin may implement: four return an iterable of Component records, one of trained models."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from edframe.contract.component import Component
from edframe.contract.pretrained import Pretrained

__all__ = [
    "PROJECT",
    "edframe_datasets",
    "edframe_featurizers",
    "edframe_losses",
    "edframe_models",
    "edframe_pretrained",
    "hookimpl",
    "hookspec",
]

PROJECT = "edframe"
"""Name of the pluggy namespace and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def edframe_featurizers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components that turn a structure and a grid into input channels."""


@hookspec
def edframe_models() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components that turn input channels into a density."""


@hookspec
def edframe_losses() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components that say how far two densities are apart, for training and as metrics."""


@hookspec
def edframe_datasets() -> Iterable[Component]:  # type: ignore[empty-body]
    """Components that deliver samples: structures with their densities."""


@hookspec
def edframe_pretrained() -> Iterable[Pretrained]:  # type: ignore[empty-body]
    """Trained models, with their weights."""
