"""All that a plugin's light module needs: the hook marker, the record and the config base."""

from edframe.component import Component, ComponentConfig, OptionsOf, Patterns
from edframe.hookspecs import hookimpl

__all__ = ["Component", "ComponentConfig", "OptionsOf", "Patterns", "hookimpl"]
