"""What is checked: a component, with the options to run it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edframe.config.resolve import chosen
from edframe.contract.component import Component, ComponentConfig
from edframe.contract.registry import Registry


@dataclass(frozen=True)
class Subject:
    """A component under check, with the options to run it with.

    module: the plugin's light module, which must not import torch. registry: has the parts of a component whose options
    hold those of others.
    """

    component: Component
    options: Mapping[str, Any]
    module: str
    registry: Registry = field(default_factory=Registry)

    def config(self) -> ComponentConfig:
        """The validated options."""
        return self.component.config(**self.options)

    def make(self, *args: Any, **kwargs: Any) -> Any:
        """What the component's factory builds from the config, the arguments of its kind and its parts."""
        choice = chosen(self.component, self.options, self.registry)
        parts = choice.make_parts(self.registry, *args, **kwargs)
        return self.component.build(choice.options, parts, *args, **kwargs)
