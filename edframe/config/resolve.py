"""How an experiment is put together from its sources, and validated.

Precedence: defaults < YAML file < ``--featurizer/--model/--loss/--data`` < ``--set a.b=value``. Validation has two
passes: the fixed keys and the names of the components, then each component's options by its plugin's own class.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edframe.config.experiment import BLOCKS, DEFAULTS, SECTION, Choice, Experiment, FixedKeys
from edframe.config.sources import Layers
from edframe.contract.component import Component, Kind, OptionsOf
from edframe.contract.registry import Registry, suggest
from edframe.errors import ConfigError, PluginError

M = TypeVar("M", bound=BaseModel)


def resolve(
    registry: Registry,
    file: Path | None = None,
    choices: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> tuple[Experiment, list[str]]:
    """The experiment from all sources, and notes on what replaced what.

    choices: component flags, e.g. ``{"loss": "l2"}``. settings: ``a.b=value`` strings of ``--set``.
    flags: other values by their own flag, e.g. ``{"splits.fold": 2}``. Raises ConfigError, naming key and source.
    """
    layers, notes = merge(file, choices, settings, flags)
    return validate(layers, registry), notes


def varied(base: Mapping[str, Any], values: Mapping[str, Any], registry: Registry, source: str) -> Experiment:
    """The experiment dumped as ``base``, with other values at some keys. Raises ConfigError that names ``source``."""
    layers = Layers({})

    def put(key: str, value: Any, source: str) -> None:
        if not isinstance(value, Mapping) or "." in key:
            layers.put(key, value, source)
            return
        layers.put(key, {}, source)
        for name, inner in value.items():  # as a file would: a mapping that counts as given replaces its default
            layers.put(f"{key}.{name}", inner, source)

    for block, content in copy.deepcopy(dict(base)).items():
        put(block, content, "the experiment")
    for key, content in copy.deepcopy(dict(values)).items():
        put(key, content, source)
    return validate(layers, registry)


def merge(
    file: Path | None = None,
    choices: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> tuple[Layers, list[str]]:
    """The values of all sources of ``resolve``, not yet validated, and its notes."""
    layers = Layers(DEFAULTS)
    if file is not None:
        layers.add_file(file, blocks=BLOCKS)
    notes = [note for key, name in (choices or {}).items() if (note := layers.choose(key, name))]
    for path, value in (flags or {}).items():
        layers.put(path, value, f"--{path.rpartition('.')[2]}")
    for setting in settings:
        layers.add_setting(setting)
    return layers, notes


def validate(layers: Layers, registry: Registry) -> Experiment:
    """Both validation passes over merged layers. Raises ConfigError."""
    known = [*FixedKeys.model_fields, *BLOCKS]
    for key in layers.values:
        if key == SECTION:
            raise ConfigError(f"{layers.where(key)}: this is a recipe of several runs; give it to `edframe compare`")
        if key not in known:
            raise ConfigError(f"{layers.where(key)}: there is no key '{key}'{suggest(key, known)}")
    _suit(layers, registry)
    fixed = _validated(FixedKeys, {k: v for k, v in layers.values.items() if k not in BLOCKS}, "", layers)
    choices = {block: _choose(block, kind, layers, registry) for block, kind in BLOCKS.items()}
    name = fixed.name or "-".join(choices[block].name for block in ("data", "model", "loss"))
    metrics = tuple(_metric(metric, layers, registry) for metric in fixed.metrics)
    return Experiment(
        name=name, **choices, metrics=metrics, splits=fixed.splits, training=fixed.training, seed=fixed.seed,
        device=fixed.device,
    )  # fmt: skip


def _suit(layers: Layers, registry: Registry) -> None:
    """Where no source named a featurizer, take that which the dataset's labels suit, and what goes with it."""
    data, featurizer = (layers.values.get(block) for block in ("data", "featurizer"))
    if layers.gave("featurizer.name") or not isinstance(data, Mapping) or not isinstance(featurizer, Mapping):
        return
    if data.get("name") in registry.names("dataset"):
        dataset = _find("dataset", data["name"], "data.name", layers, registry)
        if dataset.featurizer:
            layers.values["featurizer"] = {**featurizer, "name": dataset.featurizer}
            for key, value in dataset.settings.items():
                layers.suggest(key, value)


def chosen(component: Component, options: Mapping[str, Any], registry: Registry) -> Choice:
    """A component with options that are given directly, and its parts. Raises ConfigError."""
    layers = Layers({})
    for key, value in options.items():  # a mapping that is given replaces the default
        layers.put(f"options.{key}", value, "the options")
    return _chosen(component, options, "options", layers, registry)


def _choose(block: str, kind: Kind, layers: Layers, registry: Registry) -> Choice:
    value = layers.values[block]
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{layers.where(block)}: write `{block}: {{name: {value}}}` instead of `{block}: {value}`")
    if not isinstance(value.get("name"), str):
        names = ", ".join(registry.names(kind))
        raise ConfigError(f"{layers.where(block)}: '{block}' needs a name. Choices: {names}")
    component = _find(kind, value["name"], f"{block}.name", layers, registry)
    return _chosen(component, {key: option for key, option in value.items() if key != "name"}, block, layers, registry)


def _metric(name: str, layers: Layers, registry: Registry) -> Choice:
    return _chosen(_find("loss", name, "metrics", layers, registry), {}, "metrics", layers, registry)


def _find(kind: Kind, name: str, path: str, layers: Layers, registry: Registry) -> Component:
    try:
        return registry.get(kind, name)
    except PluginError as error:
        raise ConfigError(f"{layers.where(path)}: {error}") from error


def _chosen(component: Component, given: Mapping[str, Any], path: str, layers: Layers, registry: Registry) -> Choice:
    """The component with its options at ``path`` validated, and those of its parts, see ``OptionsOf``."""
    values, fields = dict(given), component.config.model_fields
    for key in fields.keys() & values.keys():
        # Where `--set` gave single entries of a mapping, the others keep their defaults; a mapping replaces them all.
        default, value = fields[key].default, values[key]
        if isinstance(default, Mapping) and isinstance(value, Mapping) and not layers.gave(f"{path}.{key}"):
            values[key] = {**default, **value}
    options = _validated(component.config, values, path, layers)
    parts: list[Choice] = []
    marked = [(key, mark) for key, field in fields.items() for mark in field.metadata if isinstance(mark, OptionsOf)]
    for key, mark in marked:
        names, held = getattr(options, mark.named_in), getattr(options, key)
        for name in held:
            if name not in names:
                inside, known = f"{path}.{key}.{name}", f"{path}.{mark.named_in}"
                raise ConfigError(f"{layers.where(inside)}: there is no '{name}' in {known}{suggest(name, names)}")
        chosen = {}
        for name in names:
            part = _find(mark.kind, name, f"{path}.{mark.named_in}.{name}", layers, registry)
            chosen[name] = _chosen(part, held.get(name, {}), f"{path}.{key}.{name}", layers, registry)
        parts.extend(chosen.values())
        resolved = {name: part.options.model_dump(mode="json") for name, part in chosen.items()}
        options = options.model_copy(update={key: resolved})
    return Choice(component.kind, component.name, options, tuple(parts))


def _validated(model: type[M], values: Mapping[str, Any], block: str, layers: Layers) -> M:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        # An unknown key first: where one is misspelt, another may seem to be missing.
        problem = min(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    path = ".".join([block] if block else []) + "".join(f".{part}" for part in problem["loc"])
    path = path.lstrip(".")
    where = layers.where(path)
    inner, key = _owner(model, problem["loc"])
    fields = {field.alias or name: field for name, field in inner.model_fields.items()}
    if problem["type"] == "extra_forbidden":
        raise ConfigError(f"{where}: there is no option '{path}'{suggest(key, fields)}")
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if problem["type"] in ("value_error", "missing") else f" = {problem['input']!r}"
    field = fields.get(key)
    about = ""
    if field and field.description:
        default = "" if field.is_required() else f"; default {field.get_default(call_default_factory=True)}"
        about = f" ({key}: {field.description.rstrip('.')}{default})"
    raise ConfigError(f"{where}: {path}{given}: {message[0].lower()}{message[1:]}{about}")


def _owner(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[type[BaseModel], str]:
    """The innermost config class along an error's location, and the key within it."""
    for part in loc[:-1]:  # a part that is no field is a key of a mapping, or a place in a list
        inner = _model_in(model.model_fields[part].annotation) if part in model.model_fields else None
        model = inner or model
    return model, str(loc[-1]) if loc else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The config class that a field holds, or a mapping or list of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
