"""What differs between the runs of a comparison: the axes of a recipe's section, and of the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from edframe.config.experiment import BLOCKS, SECTION, Choice, Experiment, FixedKeys
from edframe.config.resolve import varied
from edframe.contract.registry import Registry, suggest
from edframe.errors import ConfigError

KEYS = (*FixedKeys.model_fields, *BLOCKS)
"""The first parts of all keys of a configuration."""

SAME_FOR_ALL = ("seed", "splits.fold")
"""Keys of which every combination is run with the same values."""


@dataclass(frozen=True)
class Axis:
    """One thing that differs between runs. key: a component block, an option such as ``training.size``, or a name.

    values: what the key holds, by the label under which it is shown. Under a name, which is no key, that is a mapping
    of keys to what they hold.
    """

    key: str
    values: Mapping[str, Any]

    def given(self, label: str) -> dict[str, Any]:
        """What each key holds under a label."""
        return dict(self.values[label]) if _is_name(self.key) else {self.key: self.values[label]}


def axis_of(key: str, values: Any, base: Experiment, registry: Registry) -> Axis:
    """The axis that a section asks for by ``key: values``. Raises ConfigError."""
    where = f"{SECTION}.{key}"
    if _is_name(key):
        return Axis(key, _several(key, values, base, registry, where))
    if key in SAME_FOR_ALL:
        raise ConfigError(
            f"{where}: every combination is run with the same seeds and folds; say how many by {SECTION}.seeds and "
            f"{SECTION}.folds"
        )
    if not isinstance(values, list | tuple | Mapping) or not values:
        raise ConfigError(f"{where}: write a list of values, or a mapping from labels to values, not {values!r}")
    labels = [str(label) for label in values] if isinstance(values, Mapping) else _labels(key, values)
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{where}: '{label}' is given twice; keep one, or write a mapping from labels to values")
    plain = values.values() if isinstance(values, Mapping) else values
    return Axis(key, {
        label: _resolved(key, value, base, registry, where) for label, value in zip(labels, plain, strict=True)
    })  # fmt: skip


def _is_name(key: str) -> bool:
    return "." not in key and key not in KEYS


def _several(key: str, values: Any, base: Experiment, registry: Registry, where: str) -> dict[str, dict[str, Any]]:
    """The values of an axis with a name: a mapping of keys for each label."""
    if not isinstance(values, Mapping) or not all(isinstance(keys, Mapping) and keys for keys in values.values()):
        raise ConfigError(
            f"{where}: there is no key '{key}'{suggest(key, KEYS)}; below a name of your own, write a mapping from "
            "labels to keys and their values, such as `small: {training.steps: 100}`"
        )
    for label, keys in values.items():
        for inner in keys:
            if inner in (*SAME_FOR_ALL, "name", "device") or inner.partition(".")[0] not in KEYS:
                known = [known for known in KEYS if known not in (*SAME_FOR_ALL, "name", "device")]
                raise ConfigError(f"{where}.{label}: '{inner}' cannot be varied{suggest(inner, known)}")
    return {
        str(label): {inner: _resolved(inner, value, base, registry, where) for inner, value in keys.items()}
        for label, keys in values.items()
    }


def _labels(key: str, values: Sequence[Any]) -> list[str]:
    """Values as YAML would write them; of a component block its name, and its options where others have that name."""
    labels = []
    for value in values:
        if key in BLOCKS and isinstance(value, Mapping):
            name, rest = str(value.get("name")), {option: given for option, given in value.items() if option != "name"}
            alone = sum(name in (other, isinstance(other, Mapping) and other.get("name")) for other in values) == 1
            labels.append(name if alone else f"{name} {_flow(rest)[1:-1]}")
        else:
            labels.append(value if isinstance(value, str) else _flow(value))
    return labels


def _flow(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True, width=math.inf).split("\n")[0])


def _resolved(key: str, value: Any, base: Experiment, registry: Registry, where: str) -> Any:
    """The value as the experiment holds it: a component with all its options, those of the base where it has that."""
    if key in BLOCKS:
        chosen: Choice = getattr(base, key)
        if isinstance(value, str) and value != chosen.name:
            value = {"name": value}
        elif isinstance(value, str):
            return chosen.dump()
        return getattr(varied(base.dump(), {key: value}, registry, where), key).dump()
    return value


def refuse_twice(wanted: Mapping[str, Any]) -> None:
    """Raises ConfigError where two axes, one of them with a name, give a value for one key."""
    owners: dict[str, str] = {}
    for name, values in wanted.items():
        inside = values.values() if _is_name(name) and isinstance(values, Mapping) else []
        for key in {key for keys in inside if isinstance(keys, Mapping) for key in keys} or {name}:
            other = owners.setdefault(key, name)
            if other != name:
                raise ConfigError(f"{SECTION}: '{other}' and '{name}' both give values for {key}; keep one")
