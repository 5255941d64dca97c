"""What is checked: a component, with the options to run it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edframe.contract.component import Component, ComponentConfig


@dataclass(frozen=True)
class Subject:
    """A component under check, with the options to run it with.

    module: the plugin's light module, which must not import torch.
    """

    component: Component
    options: Mapping[str, Any]
    module: str

    def config(self) -> ComponentConfig:
        """The validated options."""
        return self.component.config(**self.options)

    def make(self, *args: Any, **kwargs: Any) -> Any:
        """What the component's factory builds from the config and the arguments of its kind."""
        return self.component.load()(self.config(), *args, **kwargs)
