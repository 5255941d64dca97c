"""The lists of checks by kind, and the installed components to run them on."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edframe.contract import hookspecs
from edframe.contract.component import Kind
from edframe.contract.registry import Registry
from edframe.testing.subject import Subject

MODULES: dict[Kind, str] = {
    "featurizer": "edframe.testing.featurizers",
    "model": "edframe.testing.models",
    "loss": "edframe.testing.losses",
    "dataset": "edframe.testing.datasets",
}


@dataclass(frozen=True)
class Check:
    """One requirement of the contract. Called with a Subject, it raises AssertionError with what is wanted."""

    run: Callable[[Subject], None]

    def __call__(self, subject: Subject) -> None:
        self.run(subject)

    def __str__(self) -> str:
        return self.run.__name__

    @property
    def requirement(self) -> str:
        """The requirement in a sentence."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


def checks(kind: Kind) -> list[Check]:
    """All checks for components of one kind: first those of the record, then those of its behaviour."""
    records = importlib.import_module("edframe.testing.records")
    behaviour = importlib.import_module(MODULES[kind])
    return [Check(run) for run in (*records.CHECKS, *behaviour.CHECKS)]


def component(
    kind: Kind, name: str, config: Mapping[str, Any] | None = None, registry: Registry | None = None
) -> Subject:
    """The installed component ``name``, to be checked with the options ``config``.

    Looked up among the installed plugins, or in ``registry``. Raises PluginError, with the reason, when it is
    absent or broken.
    """
    registry = registry or Registry.discover()
    provided = registry.find(kind, name)
    points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
    modules = [point.module for point in points if point.dist and point.dist.name == provided.distribution]
    module = modules[0] if modules else provided.component.config.__module__
    return Subject(provided.component, dict(config or {}), module, registry)
