"""Finds components through the installed distributions, checks them and looks them up."""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import inspect
import io
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import pluggy

from edframe.contract import hookspecs
from edframe.contract.component import KINDS, Component, ComponentConfig, Kind, OptionsOf
from edframe.contract.pretrained import Pretrained
from edframe.errors import PluginError
from edframe.version import API_VERSION

__all__ = ["HOOKS", "Broken", "Printed", "Provided", "Registry", "Shipped", "suggest"]

HOOKS: dict[Kind, str] = {
    "featurizer": "edframe_featurizers",
    "model": "edframe_models",
    "loss": "edframe_losses",
    "dataset": "edframe_datasets",
}
PRETRAINED = "edframe_pretrained"
ALL_HOOKS = (*HOOKS.values(), PRETRAINED)
SHA256 = re.compile(r"[0-9a-f]{64}")

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
"""What a component's name looks like. It is a key: dots and equals signs, for instance, part the words of ``--set``."""


@dataclass(frozen=True)
class Provided:
    """A component together with the distribution that provides it."""

    component: Component
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """Kind, name and distribution, as errors call it."""
        return f"{self.component.kind} '{self.component.name}' of {self.distribution} {self.version}"


@dataclass(frozen=True)
class Shipped:
    """A trained model together with the distribution that ships it."""

    model: Pretrained
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """Name, version and distribution, as messages call it."""
        return f"{self.model.name} {self.model.version} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Broken:
    """A plugin that is installed but cannot be used, and why."""

    distribution: str
    reason: str


@dataclass(frozen=True)
class Printed:
    """A plugin that prints when it is imported, and its first line."""

    distribution: str
    line: str


@dataclass
class Registry:
    """Components by kind and name. A plain object: made once by ``Registry.discover`` and passed in."""

    provided: dict[tuple[Kind, str], list[Provided]] = field(default_factory=dict)
    shipped: dict[str, list[Shipped]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    printed: list[Printed] = field(default_factory=list)

    @classmethod
    def discover(cls) -> Registry:
        """Load every distribution with an entry point in the group ``edframe``.

        A plugin that cannot be used is recorded in ``broken``; it raises only when it is chosen. What a plugin prints
        while it is imported goes to stderr, because stdout belongs to the command; ``printed`` has its first line.
        """
        registry = cls()
        points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
        for point in sorted(points, key=lambda p: (p.dist.name if p.dist else "", p.name)):
            name = point.dist.name if point.dist else point.name
            version = point.dist.version if point.dist else "unknown"
            heard = _Heard()
            try:
                with contextlib.redirect_stdout(heard):
                    registry.add(point.load(), name, version)
            except PluginError as error:
                registry.broken.append(Broken(name, str(error)))
            except SystemExit as error:
                reason = f"it ends the program when it is imported (SystemExit: {error})"
                registry.broken.append(Broken(name, reason))
            except Exception as error:  # a plugin may fail in any way; it must not take the others down
                registry.broken.append(Broken(name, f"it fails to import ({type(error).__name__}: {error})"))
            if lines := heard.getvalue().strip().splitlines():
                registry.printed.append(Printed(name, lines[0]))
        return registry

    def add(self, plugin: object, distribution: str, version: str) -> None:
        """Check ``plugin`` (a module or object with hooks) and add its components.

        Raises PluginError when a hook is misspelt or has the wrong arguments, when a record is not what its
        hook promises, or when it was written for another API.
        """
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        _check_hook_names(plugin)
        try:
            manager.register(plugin, name=distribution)
        except pluggy.PluginValidationError as error:
            raise PluginError(f"a hook has the wrong arguments ({error}); hooks of edframe take none") from error
        if not manager.get_hookcallers(plugin):
            raise PluginError(f"it implements no hook; mark one of {', '.join(ALL_HOOKS)} with @hookimpl")
        checked: list[Component] = []
        for kind, hook in HOOKS.items():
            for returned in getattr(manager.hook, hook)():
                checked.extend(_check_record(record, kind, hook) for record in _as_records(returned, hook))
        keys = [(component.kind, component.name) for component in checked]
        for kind, name in keys:
            if keys.count((kind, name)) > 1:
                raise PluginError(f"it offers {kind} '{name}' twice; rename one")
        models = [_check_model(record) for returned in manager.hook.edframe_pretrained() for record in returned]
        for key, component in zip(keys, checked, strict=True):
            self.provided.setdefault(key, []).append(Provided(component, distribution, version))
        for model in models:
            self.shipped.setdefault(model.name, []).append(Shipped(model, distribution, version))

    def names(self, kind: Kind) -> list[str]:
        """Names of all components of one kind, sorted."""
        return sorted(name for k, name in self.provided if k == kind)

    def get(self, kind: Kind, name: str) -> Component:
        """The component ``name`` of one kind. Raises PluginError, with the nearest names, when there is none."""
        return self.find(kind, name).component

    def find(self, kind: Kind, name: str) -> Provided:
        """Like ``get``, together with the distribution that provides it."""
        providers = self.provided.get((kind, name), [])
        if len(providers) > 1:
            owners = " and ".join(f"{p.distribution} {p.version}" for p in providers)
            raise PluginError(
                f"{kind} '{name}' is provided by both {owners}: uninstall one of them, or ask its authors to rename."
            )
        if not providers:
            raise PluginError(self._unknown(kind, name))
        return providers[0]

    def model(self, name: str) -> Shipped:
        """The trained model of a name. Raises PluginError where there is none, with the nearest names, or two."""
        owners = self.shipped.get(name, [])
        if len(owners) > 1:
            raise PluginError(
                f"model '{name}' is shipped by both {owners[0].distribution} and {owners[1].distribution}: "
                "uninstall one"
            )
        if not owners:
            raise PluginError(f"there is no trained model '{name}'{suggest(name, sorted(self.shipped))}")
        return owners[0]

    def _unknown(self, kind: Kind, name: str) -> str:
        sentence = f"there is no {kind} '{name}'{suggest(name, self.names(kind))}"
        for other in KINDS:
            if other != kind and (other, name) in self.provided:
                sentence += f" ('{name}' is a {other})"
        if self.broken:
            reasons = "; ".join(f"{b.distribution}: {b.reason.rstrip('.')}" for b in self.broken)
            sentence += f". An installed plugin that might provide it is broken ({reasons})"
        return sentence + ". `edframe plugins` lists all."


class _Heard(io.StringIO):
    """Takes the place of stdout: keeps what is written, and passes it on to stderr."""

    def write(self, text: str) -> int:
        sys.stderr.write(text)
        return super().write(text)


def suggest(name: str, choices: Iterable[str]) -> str:
    """``; did you mean 'x'? Choices: …`` for an unknown name: the nearest first."""
    choices = list(choices)
    if not choices:
        return "; none is available"
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return f"{hint} Choices: {', '.join(choices)}" if near else f"{hint} choices: {', '.join(choices)}"


def _is_mark(metadata: object) -> bool:
    return isinstance(metadata, OptionsOf)


def _check_hook_names(plugin: object) -> None:
    for attribute, value in vars(plugin).items():
        marked = inspect.isroutine(value) and hasattr(value, f"{hookspecs.PROJECT}_impl")
        if (marked or attribute.startswith("edframe_")) and callable(value) and attribute not in ALL_HOOKS:
            near = suggest(attribute, ALL_HOOKS)
            raise PluginError(f"it has a hook '{attribute}' that edframe does not know{near}")
        if attribute in ALL_HOOKS and not marked:
            raise PluginError(f"its function '{attribute}' is not marked: add @edframe.plugin.hookimpl above it")


def _as_records(returned: object, hook: str) -> list[object]:
    if isinstance(returned, Component) or not isinstance(returned, Iterable):
        raise PluginError(f"{hook} must return a list of Component records, not {type(returned).__name__}")
    return list(returned)


def _check_record(record: object, kind: Kind, hook: str) -> Component:
    if not isinstance(record, Component):
        raise PluginError(f"{hook} returned a {type(record).__name__} where a Component record belongs")
    where = f"{record.kind} '{record.name}'"
    if record.api != API_VERSION:
        older = record.api < API_VERSION
        upgrade = "upgrade the plugin" if older else "upgrade edframe"
        raise PluginError(f"{where} was written for API {record.api} and this edframe has API {API_VERSION}: {upgrade}")
    if not NAME.fullmatch(record.name):
        raise PluginError(
            f"{where}: a name has the form of a key in config files, lower case letters and digits joined by '-' or "
            f"'_', such as 'li-o-li'; rename it"
        )
    if record.kind != kind:
        raise PluginError(f"{hook} returned {where}; it belongs to {HOOKS.get(record.kind, 'no hook')}")
    if not (isinstance(record.config, type) and issubclass(record.config, ComponentConfig)):
        raise PluginError(f"{where}: its config class must be a subclass of edframe.plugin.ComponentConfig")
    if "name" in record.config.model_fields:
        raise PluginError(f"{where}: its config class must not have a field 'name', which chooses the component")
    holders = [key for key, field in record.config.model_fields.items() if any(map(_is_mark, field.metadata))]
    if len(holders) > 1:
        raise PluginError(f"{where}: options of other components are held by one field, not by {', '.join(holders)}")
    if record.factory.count(":") != 1:
        raise PluginError(f"{where}: its factory must read 'module:Class', not '{record.factory}'")
    return record


def _check_model(record: object) -> Pretrained:
    if not isinstance(record, Pretrained):
        raise PluginError(f"{PRETRAINED} returned a {type(record).__name__} where a Pretrained record belongs")
    where = f"trained model '{record.name}'"
    if not NAME.fullmatch(record.name):
        raise PluginError(f"{where}: a name has lower case letters and digits joined by '-' or '_', such as 'li-o-li'")
    if not record.files or not all(SHA256.fullmatch(checksum) for checksum in record.files.values()):
        raise PluginError(f"{where}: each of its files needs its SHA-256, 64 hexadecimal digits; see `edframe export`")
    if any(path.startswith("/") or ".." in path.split("/") for path in record.files):
        raise PluginError(f"{where}: its files lie in its source, so their paths have no '..' and begin with no '/'")
    if record.source.count(":") != 1 or (record.remote and not record.source.startswith("https://")):
        raise PluginError(f"{where}: its source reads 'package:folder' or 'https://…/', not '{record.source}'")
    return record
