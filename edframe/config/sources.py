"""Merged configuration values, each remembering the file and line, or the flag, that it came from."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from edframe.errors import ConfigError


class TooDeep(yaml.YAMLError):
    """YAML whose brackets or blocks are nested deeper than Python can read."""

    def __str__(self) -> str:
        return "brackets or blocks are nested too deeply to be read; no option needs more than a few levels"


def from_yaml(text: str) -> Any:
    """The value that ``text`` is in YAML. Raises yaml.YAMLError, TooDeep where it would be a RecursionError."""
    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise TooDeep from error


class Layers:
    """Values merged in order of precedence. ``where(path)`` gives the source of each."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = copy.deepcopy(dict(defaults))
        self._sources: dict[str, str] = {}

    def where(self, path: str) -> str:
        """Source of the value at ``path``, or of the nearest enclosing key.

        A block whose values come from several sources is that of the last flag: it had the last word.
        """
        while path:
            inside = [source for known, source in self._sources.items() if f"{known}.".startswith(f"{path}.")]
            if inside:
                return next((source for source in reversed(inside) if source.startswith("--")), inside[0])
            path = path.rpartition(".")[0]
        return "default"

    def gave(self, path: str) -> bool:
        """Whether a source gave the value at ``path`` as a whole, rather than only values within it."""
        return path in self._sources

    def add_file(self, file: Path, blocks: Iterable[str]) -> None:
        """Merge a YAML file. A component block that names a component replaces the default block.

        Raises ConfigError for a file that is absent, is not YAML, or repeats a key.
        """
        for key, (value, sources) in _read(file).items():
            previous = self.values.get(key)
            names_component = key in blocks and isinstance(value, dict) and value.get("name") is not None
            if isinstance(previous, dict) and isinstance(value, dict) and not names_component:
                value = {**previous, **value}
            self.values[key] = value
            self._sources.update(sources)

    def choose(self, block: str, name: str) -> str | None:
        """Replace a whole component block by ``{name: name}``; a note says which options were dropped."""
        previous = self.values.get(block)
        if isinstance(previous, dict) and previous.get("name") == name:
            self._sources.setdefault(f"{block}.name", f"--{block}")
            return None
        dropped = [key for key in previous if key != "name"] if isinstance(previous, dict) else []
        source = self.where(block)
        self._forget(block)
        self.values[block] = {"name": name}
        self._sources[block] = self._sources[f"{block}.name"] = f"--{block}"
        if not dropped:
            return None
        return f"--{block} {name} replaces the whole {block} block of {source}, with {', '.join(dropped)}"

    def add_setting(self, setting: str) -> None:
        """Put one ``a.b=value``; the value is read as YAML. Raises ConfigError when it has no such form."""
        path, equals, text = setting.partition("=")
        path = path.strip()
        if not equals or not path or not all(path.split(".")):
            raise ConfigError(f"--set {setting}: write it as key=value, for example --set training.steps=200")
        try:
            value = from_yaml(text)
        except TooDeep as error:
            raise ConfigError(f"--set {path}: {error}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {setting}: '{text}' is not a YAML value; quote it if it is text") from error
        self.put(path, value, f"--set {setting}")

    def suggest(self, path: str, value: Any) -> None:
        """Another default at a dotted path of two keys: nothing where a source gave that, or no mapping to hold it."""
        block, key = path.split(".")
        inner = self.values.setdefault(block, {})
        if isinstance(inner, dict):
            inner.setdefault(key, value)

    def put(self, path: str, value: Any, source: str) -> None:
        """Set one value by its dotted path."""
        *parents, key = path.split(".")
        block = self.values
        for depth, parent in enumerate(parents):
            inner = block.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{source}: '{'.'.join(parents[: depth + 1])}' is a value, it has no option '{key}'")
            block = inner
        self._forget(path)
        block[key] = value
        self._sources[path] = source

    def _forget(self, path: str) -> None:
        for known in [p for p in self._sources if p == path or p.startswith(f"{path}.")]:
            del self._sources[known]


def _read(file: Path) -> dict[str, tuple[Any, dict[str, str]]]:
    """Top-level keys of a YAML file, each with its value and the ``file:line`` of every key inside."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        folder = file.parent if file.parent.is_dir() else Path()
        near = difflib.get_close_matches(file.name, sorted(p.name for p in folder.glob("*.y*ml")), n=1)
        hint = f"; did you mean {folder / near[0]}?" if near else "; give the path of a YAML file, or none for defaults"
        raise ConfigError(f"{file}: no such file{hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text ({error}); give the path of a YAML file") from error
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{file}:1: a config is a mapping of keys, such as `loss: {{name: l2}}`")
        result = {}
        for key, value, line in _items(root, file, loader):
            sources = {key: f"{file}:{line}"}
            _collect(value, key, file, sources, loader)
            result[key] = (loader.construct_object(value, deep=True), sources)
        return result
    except RecursionError as error:
        raise ConfigError(f"{file}: {TooDeep()}") from error
    except yaml.YAMLError as error:
        raise ConfigError(_explain(error, file, text)) from error
    finally:
        loader.dispose()


def _items(node: yaml.MappingNode, file: Path, loader: yaml.SafeLoader) -> list[tuple[str, yaml.Node, int]]:
    items: list[tuple[str, yaml.Node, int]] = []
    for key_node, value in node.value:
        key, line = str(loader.construct_object(key_node)), key_node.start_mark.line + 1
        if any(key == other for other, _, _ in items):
            raise ConfigError(f"{file}:{line}: '{key}' is given twice; keep one")
        items.append((key, value, line))
    return items


def _collect(node: yaml.Node, path: str, file: Path, sources: dict[str, str], loader: yaml.SafeLoader) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value, line in _items(node, file, loader):
            sources[f"{path}.{key}"] = f"{file}:{line}"
            _collect(value, f"{path}.{key}", file, sources, loader)


def _explain(error: yaml.YAMLError, file: Path, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    content = text.splitlines()[line - 1] if mark and mark.line < len(text.splitlines()) else ""
    if "\t" in content[: len(content) - len(content.lstrip())]:
        return f"{file}:{line}: there is a tab in the indentation; YAML allows spaces only, replace it by spaces"
    return f"{file}:{line}: not valid YAML: {getattr(error, 'problem', None) or error}; check indentation and colons"
