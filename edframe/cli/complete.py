"""Shell completion of component names, from the light registry."""

from __future__ import annotations

from collections.abc import Callable

from edframe.contract.component import KINDS, Kind


def component_names(kind: Kind) -> Callable[[str], list[tuple[str, str]]]:
    """A completer of the names of one kind, each with its summary."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        from edframe.contract.registry import Registry

        registry = Registry.discover()
        return [
            (name, registry.provided[kind, name][0].component.summary)
            for name in registry.names(kind)
            if name.startswith(incomplete)
        ]

    return complete


def any_component(incomplete: str) -> list[str]:
    """Names of all components, for ``edframe plugins show``."""
    return [name for kind in KINDS for name, _ in component_names(kind)(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """The four kinds of component."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]
