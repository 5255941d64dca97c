"""The record a plugin returns for each thing it offers. Light: pydantic only, no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edframe.errors import PluginError

Kind = Literal["featurizer", "model", "loss", "dataset"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class ComponentConfig(BaseModel):
    """Base of every component's options: frozen, no unknown keys, every field with a unit-bearing description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Patterns = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: [given] if isinstance(given, str) else given), Field(min_length=1)
]
"""Type of an option that holds patterns of files; a single one need not be a list."""


@dataclass(frozen=True)
class OptionsOf:
    """Marks a field of a config class that holds the options of other components, by their names.

        weights: dict[str, float] = {"l1": 1.0}
        options: Annotated[dict[str, dict[str, Any]], OptionsOf("loss", named_in="weights")] = {}

    kind: of those components. named_in: the mapping beside it whose keys are their names. Before a run, each is
    validated by the config class of its component, and completed with its defaults.
    """

    kind: Kind
    named_in: str


@dataclass(frozen=True)
class Component:
    """One featurizer, model, loss or dataset that a plugin offers.

    kind: which of the four. name: what users type. summary: one line. config: the options' class.
    factory: ``"module:Class"``, imported only when the component is used. api: the API version of edframe
    (``edframe.API_VERSION``) it was written for, as a number: taken from the installed edframe it would always fit.
    references: BibTeX entries.
    """

    kind: Kind
    name: str
    summary: str
    config: type[ComponentConfig]
    factory: str
    api: int
    references: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import and return the factory. Raises PluginError when the path does not resolve."""
        module, _, attribute = self.factory.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.kind} '{self.name}': its factory '{self.factory}' cannot be loaded ({error}). "
                "Reinstall the plugin that provides it, or report this to its authors."
            ) from error
