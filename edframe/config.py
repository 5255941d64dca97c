"""The validated description of one experiment, and how it is put together from its sources.

Precedence: defaults < YAML file < ``--featurizer/--model/--loss/--data`` < ``--set a.b=value``. Validation has two
passes: the fixed keys and the names of the components, then each component's options by its plugin's own class.
Longer than other modules: the keys, their defaults and both passes are read together.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from edframe.component import Among, Component, ComponentConfig, Kind, OptionsOf, Range, Search, Searchable
from edframe.errors import ConfigError, PluginError
from edframe.layers import Layers
from edframe.registry import Registry, suggest

BLOCKS: dict[str, Kind] = {"data": "dataset", "featurizer": "featurizer", "model": "model", "loss": "loss"}
"""Config key of each component block, and the kind it chooses."""

SECTION = "compare"
"""Key of a recipe that holds what ``edframe compare`` varies."""

DEFAULTS: dict[str, Any] = {
    "data": {"name": "li-o-li"},
    "featurizer": {"name": "sad"},
    "model": {"name": "unet"},
    "loss": {"name": "sinkhorn"},
}


M = TypeVar("M", bound=BaseModel)


class Splits(Searchable):
    """Which samples are trained on and which are held out."""

    folds: int = Field(4, ge=2)
    """Number of folds of the cross-validation; each sample is in the test part of exactly one."""
    fold: int = Field(0, ge=0)
    """The fold whose part is left out of training in this run, and tested on unless `test` names a set; from 0."""
    test: str | None = None
    """A held-out test set of the dataset, by its name; the folds divide the rest. null: each fold tests on its part."""
    validation: int = Field(8, ge=1)
    """Samples taken from the training part to choose the best checkpoint."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the folds alone: runs that differ in the experiment's seed have the same test samples."""

    @model_validator(mode="after")
    def _fold_exists(self) -> Splits:
        if self.fold >= self.folds:
            raise ValueError(f"fold must be below folds: with {self.folds} folds they are 0 to {self.folds - 1}")
        return self


class Training(Searchable):
    """The optimisation."""

    steps: int = Field(1200, ge=1)
    """Optimiser steps."""
    size: int | None = Field(None, ge=1)
    """Training samples used, drawn by the experiment's seed, a smaller set within a larger one; null: all."""
    batch_size: int = Field(1, ge=1)
    """Samples per step and process."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak step size of AdamW, reached after warm-up; it then falls to zero along a cosine."""
    warmup_steps: int = Field(50, ge=0)
    """Steps over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(1e-4, ge=0)
    """Decoupled weight decay of AdamW (Loshchilov & Hutter 2019)."""
    clip_norm: float = Field(0.1, gt=0)
    """Largest norm of the gradient over all weights; longer ones are scaled down."""
    ema_decay: float = Field(0.99, ge=0, lt=1)
    """Decay per step of the running average of the weights, which is what is evaluated and kept; 0: no average."""
    augment: bool = True
    """Move each training sample by a random symmetry of its cell and, on periodic axes, a random translation."""
    workers: int = Field(1, ge=0)
    """Threads that read the samples of the next steps meanwhile; 0: each is read when its step comes."""
    evaluate_every: int = Field(100, ge=1)
    """Steps between evaluations on the validation samples."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between checkpoints; one is also written at the end and on Ctrl-C."""
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    """Precision of the model's arithmetic, by Lightning Fabric's names. Losses are computed in at least float32."""

    search: ClassVar[Search] = {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "batch_size": Among((1, 2, 4)),
        "weight_decay": Range(1e-6, 1e-2, log=True),
        "clip_norm": Range(0.01, 1.0, log=True),
        "ema_decay": Among((0.0, 0.9, 0.99, 0.999)),
    }


class _Fixed(Searchable):
    """The keys of an experiment that are not component blocks."""

    name: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    """Used in the run directory's name; letters, digits, '.', '_', '-'. Empty: data, model and loss."""
    splits: Splits = Splits()
    """Cross-validation."""
    training: Training = Training()
    """Optimisation."""
    metrics: tuple[str, ...] = ()
    """Names of losses evaluated as metrics beside the one trained on, with their default options."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Root of all random numbers; split by purpose (initial weights, batches, augmentation, dropout)."""
    device: str = "auto"
    """auto, cpu, cuda or mps; 4xcuda trains on four devices with DistributedDataParallel."""

    @field_validator("device")
    @classmethod
    def _device_has_a_form(cls, device: str) -> str:
        if not re.fullmatch(r"auto|mps|([1-9]\d*x)?(cpu|cuda)", device):
            raise ValueError(f"'{device}' is not a device; write auto, cpu, cuda or mps, or 4xcuda for four GPUs")
        return device


@dataclass(frozen=True)
class Choice:
    """A chosen component: its kind, its name, its validated options, and the components whose options those hold."""

    kind: Kind
    name: str
    options: ComponentConfig
    parts: tuple[Choice, ...] = ()

    def components(self) -> Iterator[Choice]:
        """This one, then its parts, each followed by its own."""
        yield self
        for part in self.parts:
            yield from part.components()

    def make(self, registry: Registry, *args: Any, **kwargs: Any) -> Any:
        """The component itself: its factory, called with the options and what its kind must know to be built."""
        return registry.get(self.kind, self.name).load()(self.options, *args, **kwargs)

    def dump(self) -> dict[str, Any]:
        """The block as written in a config file."""
        return {"name": self.name, **self.options.model_dump(mode="json")}


@dataclass(frozen=True)
class Experiment:
    """A complete, validated experiment."""

    name: str
    data: Choice
    featurizer: Choice
    model: Choice
    loss: Choice
    metrics: tuple[Choice, ...]
    splits: Splits
    training: Training
    seed: int
    device: str

    def require_one_process(self, each: str) -> None:
        """Raises ConfigError for a device that stands for several; ``each`` says what is trained in one."""
        if re.match(r"\d+x", self.device):
            raise ConfigError(f"device '{self.device}': each {each} is trained in one process; use --workers for more")

    def dump(self) -> dict[str, Any]:
        """Every value, resolved, as plain data."""
        return {
            "name": self.name,
            **{block: getattr(self, block).dump() for block in BLOCKS},
            "metrics": [metric.name for metric in self.metrics],
            "splits": self.splits.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "seed": self.seed,
            "device": self.device,
        }

    def to_yaml(self) -> str:
        """``dump`` as YAML; ``edframe run`` on it repeats the experiment."""
        return yaml.safe_dump(self.dump(), sort_keys=False, allow_unicode=True)


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
    known = [*_Fixed.model_fields, *BLOCKS]
    for key in layers.values:
        if key == SECTION:
            raise ConfigError(f"{layers.where(key)}: this is a recipe of several runs; give it to `edframe compare`")
        if key not in known:
            raise ConfigError(f"{layers.where(key)}: there is no key '{key}'{suggest(key, known)}")
    fixed = _validated(_Fixed, {k: v for k, v in layers.values.items() if k not in BLOCKS}, "", layers)
    found = {block: _choose(block, kind, layers, registry) for block, kind in BLOCKS.items()}
    name = fixed.name or "-".join(found[block].name for block in ("data", "model", "loss"))
    metrics = tuple(_metric(metric, layers, registry) for metric in fixed.metrics)
    return Experiment(
        name=name, **found, metrics=metrics, splits=fixed.splits, training=fixed.training, seed=fixed.seed,
        device=fixed.device,
    )  # fmt: skip


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
        problem = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
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
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


def schema(registry: Registry) -> dict[str, Any]:
    """JSON Schema of a config file, for editors, over all installed components."""
    result = _Fixed.model_json_schema()
    for block, kind in BLOCKS.items():
        variants = []
        for name in registry.names(kind):
            try:
                component = registry.get(kind, name)
            except PluginError:
                continue
            variant = component.config.model_json_schema()
            result.setdefault("$defs", {}).update(variant.pop("$defs", {}))
            variant["title"] = name
            variant["description"] = component.summary
            variant["properties"] = {"name": {"const": name}, **variant.get("properties", {})}
            variant["required"] = ["name", *variant.get("required", [])]
            variants.append(variant)
        result["properties"][block] = {"oneOf": variants}
    result["properties"][SECTION] = {
        "type": "object",
        "description": "What `edframe compare` varies, by key: values, or a mapping from labels to values.",
        "properties": {
            "seeds": {"type": "integer", "minimum": 1, "description": "Runs of each with other weights and batches."},
            "folds": {"type": "integer", "minimum": 1, "description": "Folds of each."},
            "seconds": {
                "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}],
                "description": "Equal training time for all, by their steps; null: equal steps.",
            },
        },
        "additionalProperties": {
            "anyOf": [{"type": "array", "minItems": 1}, {"type": "object", "minProperties": 1}],
        },
    }
    result["title"] = "edframe experiment"
    return result
