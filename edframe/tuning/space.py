"""Which options of an experiment are searched, and where: as the config classes declare it, or the user says. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from edframe.config.experiment import Choice, Experiment
from edframe.config.resolve import validate, varied
from edframe.config.sources import Layers, TooDeep, from_yaml
from edframe.contract.component import Among, OptionsOf, Range
from edframe.contract.registry import Registry, suggest
from edframe.errors import ConfigError, PluginError

Space = dict[str, Range | Among]
"""Where each searched option of an experiment is searched, by its key, such as ``training.learning_rate``."""

BLOCKS = ("training", "featurizer", "model", "loss")
"""Blocks whose options are searched. Another dataset, split or seed would change what the validation NMAE means."""


def declared(experiment: Experiment) -> Space:
    """Every search that the config classes of an experiment declare, those of a mix of losses included."""
    space: Space = {f"training.{name}": where for name, where in experiment.training.search.items()}
    for block in BLOCKS[1:]:
        space |= _of(getattr(experiment, block), block)
    return space


def _of(choice: Choice, path: str) -> Iterator[tuple[str, Range | Among]]:
    """The searches of a component at ``path`` and of its parts, see ``OptionsOf``."""
    config = type(choice.options)
    yield from ((f"{path}.{name}", where) for name, where in config.search.items())
    for key, field in config.model_fields.items():
        for mark in (item for item in field.metadata if isinstance(item, OptionsOf)):
            for part in choice.parts:
                if part.kind == mark.kind and part.name in getattr(choice.options, mark.named_in):
                    yield from _of(part, f"{path}.{key}.{part.name}")


def chosen(
    layers: Layers, registry: Registry, only: Sequence[str] = (), vary: Sequence[str] = ()
) -> tuple[Experiment, Space]:
    """The experiment from merged values, and what is searched in it: what is declared and not given a value.

    only: keys, or blocks of them, to search instead, though they be given. vary: ``key=where`` strings that replace or
    add one, see ``parsed``. Raises ConfigError for a key that cannot be searched, a value that its option refuses, and
    when nothing is left to search.
    """
    experiment = validate(layers, registry)
    known, own = declared(experiment), dict(map(parsed, vary))
    for name in only:
        if not any(_within(key, name) for key in {**known, **own}):
            raise ConfigError(f"--only {name}: nothing is searched there{suggest(name, {**known, **own})}")
    if only:
        space = {key: where for key, where in known.items() if any(_within(key, name) for name in only)}
    else:
        space = {key: where for key, where in known.items() if not _given(layers.values, key)}
    space |= own
    if not space:
        raise ConfigError(
            "there is nothing to search, for every option that could be is given a value; name what is to be searched "
            f"by --only or --vary (choices: {', '.join(known)})"
        )
    base = experiment.dump()

    def accepted(key: str, value: Any) -> Any:
        """A value as the experiment would hold it: 1e-4 is text in YAML, a width is no list in Python."""
        source = f"--vary {key}" if key in own else f"the declared search of {key} (give it a value to leave it out)"
        return value_at(varied(base, {key: value}, registry, source).dump(), key)

    for key, where in space.items():
        if isinstance(where, Among):
            space[key] = Among(tuple(accepted(key, value) for value in where.values))
        else:
            accepted(key, where.low), accepted(key, where.high)
    return experiment, space


def parsed(text: str) -> tuple[str, Range | Among]:
    """``key=[1, 2, 4]`` or ``key={low: 1e-4, high: 1e-2, log: true}``, read as YAML. Raises ConfigError."""
    key, _, value = text.partition("=")
    key, where = key.strip(), f"--vary {text}"
    block, _, option = key.partition(".")
    if block not in BLOCKS or not option or key == f"{block}.name":
        raise ConfigError(f"{where}: only options of {', '.join(BLOCKS)} can be searched, such as loss.blur")
    try:
        return key, from_plain(from_yaml(value))
    except TooDeep as error:
        raise ConfigError(f"--vary {key}: {error}") from error
    except (PluginError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = str(error) if isinstance(error, PluginError) else "it is neither a list nor a range"
        raise ConfigError(
            f"{where}: {reason}; write {key}=[1, 2, 4] or {key}={{low: 0.1, high: 10.0, log: true}}"
        ) from error


def to_plain(where: Range | Among) -> Any:
    """A list of values, or a mapping of ``low``, ``high`` and what is not the default."""
    if isinstance(where, Among):
        return list(where.values)
    plain = {"low": where.low, "high": where.high} | ({"log": True} if where.log else {})
    return plain | ({} if where.step is None else {"step": where.step})


def from_plain(plain: Any) -> Range | Among:
    """What ``to_plain`` made. Raises PluginError, TypeError or ValueError for anything else."""
    if isinstance(plain, list):
        return Among(tuple(plain))
    # YAML reads 1e-4 as text and 1.0e-4 as a number.
    numbers: dict[str, Any] = {k: float(value) if isinstance(value, str) else value for k, value in dict(plain).items()}
    return Range(**numbers)


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """The value of one key in nested mappings. Raises KeyError where there is none."""
    inner: Any = values
    for part in key.split("."):
        if not isinstance(inner, Mapping):
            raise KeyError(key)
        inner = inner[part]
    return inner


def _given(values: Mapping[str, Any], key: str) -> bool:
    try:
        value_at(values, key)
    except KeyError:
        return False
    return True


def _within(key: str, name: str) -> bool:
    return f"{key}.".startswith(f"{name}.")
