"""Which runs a comparison is made of: the axes that were asked for, and every combination of their values."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from edframe.comparison.axes import Axis, axis_of, refuse_twice
from edframe.config.experiment import DEFAULTS, SECTION, Experiment
from edframe.config.resolve import varied
from edframe.contract.registry import Registry
from edframe.errors import ConfigError

REPEATS = {"seeds": 3, "folds": 1, "seconds": None}
"""Keys of a recipe's section that are no axes: how often each combination is run, with seeds and folds from the
experiment's on, and the time for each run."""


def in_words(labels: Mapping[str, str]) -> str:
    """Labels by the keys of their axes, as one line."""
    return ", ".join(f"{key}: {label}" for key, label in labels.items())


@dataclass(frozen=True)
class Planned:
    """One run: its labels and its configuration."""

    variant: str
    condition: Mapping[str, str]
    fold: int
    seed: int
    experiment: Experiment

    def key(self, fingerprint: str) -> str:
        """Name of what its result depends on: the data's fingerprint, and the configuration but for device and name."""
        config = self.experiment.dump()
        content = {**config, "metrics": sorted(config["metrics"]), "device": "", "name": "", "data": fingerprint}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Comparison:
    """An experiment and what is varied of it. The first axis is compared; the others are the conditions of that.

    seconds: training time of each run, for which its steps are chosen; None: all have the experiment's steps.
    """

    base: Experiment
    axes: tuple[Axis, ...]
    seeds: int
    folds: int
    seconds: float | None

    @property
    def reference(self) -> str:
        """The variant that the others are held against."""
        return next(iter(self.axes[0].values))

    def declared(self) -> dict[str, Any]:
        """All of it as plain data; ``edframe compare`` on that repeats it."""
        axes = {axis.key: dict(axis.values) for axis in self.axes}
        return {
            **self.base.dump(),
            SECTION: {**axes, "seeds": self.seeds, "folds": self.folds, "seconds": self.seconds},
        }

    def to_yaml(self) -> str:
        """``declared`` as YAML."""
        return yaml.safe_dump(self.declared(), sort_keys=False, allow_unicode=True)

    def is_declared_in(self, text: str) -> bool:
        """Whether ``text`` is what ``to_yaml`` wrote of the same comparison, on whatever device."""
        then = yaml.safe_load(text)
        return isinstance(then, dict) and {**then, "device": ""} == {**self.declared(), "device": ""}

    def name(self) -> str:
        """A folder name that the same comparison has again, on whatever device."""
        content = json.dumps({**self.declared(), "device": ""})
        own = self._own_name or f"{self.base.data.name}-{self.axes[0].key}"
        return f"{own}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    @property
    def _own_name(self) -> str:
        """The experiment's name; empty where it is made of components, which the runs do not share."""
        made = "-".join(getattr(self.base, block).name for block in ("data", "model", "loss"))
        return "" if self.base.name == made else self.base.name

    def runs(self, registry: Registry) -> list[Planned]:
        """Every run, seed by seed and fold by fold, so that a stopped comparison has whole pairs.

        Raises ConfigError for a combination that is no valid experiment.
        """
        splits = self.base.splits
        if splits.fold + self.folds > splits.folds:
            raise ConfigError(
                f"folds = {self.folds}: the experiment has {splits.folds} folds and begins with fold {splits.fold}; "
                f"ask for at most {splits.folds - splits.fold}, or give splits.folds"
            )
        base = {**self.base.dump(), "name": self._own_name}
        return [
            Planned(variant, condition, fold, seed, varied(base, values, registry, f"{SECTION} {labels}"))
            for seed in range(self.base.seed, self.base.seed + self.seeds)
            for fold in range(splits.fold, splits.fold + self.folds)
            for variant, condition, values, labels in self._combinations(seed, fold)
        ]

    def _combinations(self, seed: int, fold: int) -> Iterator[tuple[str, dict[str, str], dict[str, Any], str]]:
        compared, *others = self.axes
        for chosen in itertools.product(*(axis.values for axis in others)):
            condition = {axis.key: label for axis, label in zip(others, chosen, strict=True)}
            for variant in compared.values:
                labels = {compared.key: variant, **condition}
                values = {key: value for axis in self.axes for key, value in axis.given(labels[axis.key]).items()}
                # Blocks first: an axis of one of their options is to change what the block has then.
                ordered = dict(sorted(values.items(), key=lambda item: item[0].count(".")))
                yield variant, condition, {**ordered, "splits.fold": fold, "seed": seed}, in_words(labels)


def comparison(
    base: Experiment, section: Any, given: Sequence[tuple[str, Sequence[Any]]], registry: Registry
) -> Comparison:
    """What a recipe's section and the command line ask for; the latter replaces an axis that both have.

    section: axes, each a list of values or a mapping from labels to values, and any of ``REPEATS``. given: axes of the
    command line. Every loss without parts that is compared becomes a metric of all runs. Raises ConfigError.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"{SECTION}: write axes below it, such as `loss: [l1, l2]`, not {section!r}")
    wanted = {key: values for key, values in section.items() if key not in REPEATS} | dict(given)
    refuse_twice(wanted)
    axes = [axis_of(key, values, base, registry) for key, values in wanted.items()]
    for axis in (axis for axis in axes if len(axis.values) == 1):
        base = varied(base.dump(), axis.given(next(iter(axis.values))), registry, f"{SECTION}.{axis.key}")
    axes = [axis for axis in axes if len(axis.values) > 1]
    base.require_one_process("run")
    if not axes:
        raise ConfigError("there is nothing to compare: give two values or more, as in --loss l2 --loss sinkhorn")
    repeats = {key: section.get(key, default) for key, default in REPEATS.items()}
    for key, value in repeats.items():
        whole = key != "seconds"
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value > 0
        if not number and (whole or value is not None):
            raise ConfigError(f"{SECTION}.{key} = {value!r}: give a {'whole ' if whole else ''}number above 0")
    return Comparison(_with_metrics(base, axes, registry), tuple(axes), **repeats)


def _with_metrics(base: Experiment, axes: Sequence[Axis], registry: Registry) -> Experiment:
    """The base, with every loss of the runs as a metric, a mix by its parts: all are judged by the same.

    So is the default loss, where it is installed: whatever is compared, one column is about transport. A metric has its
    default options, whatever those of the loss are that is trained on.
    """
    metrics = dict.fromkeys(metric.name for metric in base.metrics)
    given = [axis.given(label) for axis in axes for label in axis.values]
    for block in [values["loss"] for values in given if "loss" in values] or [base.loss.dump()]:
        chosen = varied(base.dump(), {"loss": block}, registry, SECTION).loss
        metrics |= dict.fromkeys(part.name for part in chosen.components() if not part.parts)
    metrics |= dict.fromkeys(name for name in [DEFAULTS["loss"]["name"]] if name in registry.names("loss"))
    return varied(base.dump(), {"metrics": list(metrics)}, registry, SECTION)
