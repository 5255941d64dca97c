"""All that a plugin's light module needs: the hook marker, the record and the config base."""

from edframe.contract.component import Among, Component, ComponentConfig, OptionsOf, Patterns, Range, Search
from edframe.contract.hookspecs import hookimpl
from edframe.contract.pretrained import Pretrained

__all__ = [
    "Among",
    "Component",
    "ComponentConfig",
    "OptionsOf",
    "Patterns",
    "Pretrained",
    "Range",
    "Search",
    "hookimpl",
]
