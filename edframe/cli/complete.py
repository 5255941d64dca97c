"""Shell completion of component names and of the keys of ``--set``, from the light registry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from pydantic import BaseModel

from edframe.contract.component import KINDS, Kind
from edframe.errors import EdframeError


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


def model_names(incomplete: str) -> list[tuple[str, str]]:
    """Names of the trained models that are installed."""
    from edframe.contract.registry import Registry

    shipped = Registry.discover().shipped
    return [(name, owners[0].model.summary) for name, owners in shipped.items() if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """The four kinds of component."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def setting_keys(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """``KEY=`` of each value that ``--set`` may give, with its meaning.

    The options are those of the components that the command names by its flags, its config file or its argument, else
    of the default ones.
    """
    from edframe.config.experiment import BLOCKS, FixedKeys
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    keys = dict(_keys(FixedKeys, ""))
    for block, names in _chosen(context).items():
        for name in names:
            with contextlib.suppress(EdframeError):  # of a name that is not there, which the command will say
                keys.update(_keys(registry.get(BLOCKS[block], name).config, f"{block}."))
    return [(f"{key}=", meaning) for key, meaning in keys.items() if key.startswith(incomplete)]


def _chosen(context: typer.Context) -> dict[str, list[str]]:
    """Names of the components in each block, as far as the command line says so far."""
    from edframe.config.experiment import BLOCKS
    from edframe.config.resolve import merge

    values = {}
    argument = next(iter(context.args), None)  # what is before an option without a value stays there
    file = context.params.get("config") or (argument if "config" in context.params else None)
    name = context.params.get("name") or (argument if "name" in context.params else None)
    with contextlib.suppress(EdframeError):
        values = merge(Path(file) if file else None)[0].values
    chosen = {}
    for block in BLOCKS:
        written = values.get(block)
        default = written.get("name") if isinstance(written, dict) else None
        given = context.params.get(block) or name or default or []
        chosen[block] = [given] if isinstance(given, str) else list(given)
    return chosen


def _keys(model: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
    """Dotted key and description of each value in a config class."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", field.description or ""
