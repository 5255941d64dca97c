"""A registry of made-up components, so that the core is tested without any plugin."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import Field, model_validator

from edframe.plugin import Component, ComponentConfig, hookimpl
from edframe.registry import Registry


class Plain(ComponentConfig):
    """No options."""


class Levels(ComponentConfig):
    depth: int = Field(3, ge=1)
    """Number of levels."""
    width: int = Field(16, ge=1)
    """Channels of the finest level."""


class UNet(ComponentConfig):
    levels: Levels = Levels()
    """The resolutions."""
    widths: tuple[int, ...] = (16, 32)
    """Channels per level."""


class Sinkhorn(ComponentConfig):
    blur: float = Field(0.4, gt=0)
    """Width of the blur in Å."""
    scaling: float = Field(0.5, gt=0, lt=1)
    """Factor between the blurs of successive iterations."""
    coarsen: int = Field(1, ge=1)
    """Voxels per axis that are averaged before transport."""

    @model_validator(mode="after")
    def _blur_exceeds_scaling(self) -> Sinkhorn:
        if self.blur < 0.01 * self.coarsen:
            raise ValueError("blur must be at least 0.01 Å times coarsen")
        return self


class Folder(ComponentConfig):
    folder: str
    """Where the files are."""


def record(kind, name, config=Plain):
    return Component(kind, name, f"the {kind} {name}", config, f"made_up:{name}")


@hookimpl
def edframe_datasets():
    return [record("dataset", "li-o-li"), record("dataset", "vasp", Folder)]


@hookimpl
def edframe_featurizers():
    return [record("featurizer", "sad"), record("featurizer", "gaussian")]


@hookimpl
def edframe_models():
    return [record("model", "unet", UNet), record("model", "krr")]


@hookimpl
def edframe_losses():
    return [record("loss", "sinkhorn", Sinkhorn), record("loss", "l1"), record("loss", "l2")]


@pytest.fixture
def registry() -> Registry:
    plugin = SimpleNamespace(
        edframe_datasets=edframe_datasets,
        edframe_featurizers=edframe_featurizers,
        edframe_models=edframe_models,
        edframe_losses=edframe_losses,
    )
    registry = Registry()
    registry.add(plugin, "made-up", "1.0")
    return registry
