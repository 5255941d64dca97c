"""The validated description of one experiment: the keys of a configuration, their meaning and their defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from edframe.contract.component import Among, ComponentConfig, Kind, Range, Search, Searchable
from edframe.contract.registry import Registry
from edframe.errors import ConfigError

BLOCKS: dict[str, Kind] = {"data": "dataset", "featurizer": "featurizer", "model": "model", "loss": "loss"}
"""Config key of each component block, and the kind it chooses."""

SECTION = "compare"
"""Key of a recipe that holds what ``edframe compare`` varies."""

DEFAULTS: dict[str, Any] = {
    "data": {"name": "li-o-li"},
    "featurizer": {"name": "atoms"},
    "model": {"name": "unet"},
    "loss": {"name": "sinkhorn"},
}
"""A dataset may name another featurizer as its default, see ``Component.featurizer``."""


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
    """Seed of the folds only: runs that differ in the experiment's seed have the same test samples."""

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
    """Decay per step of the running average of the weights, which is what is evaluated and saved; 0: no average."""
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


class FixedKeys(Searchable):
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
        """The component itself: its factory, called with the options and what its kind must know to be built.

        Its parts are made first; those of its own kind must know the same. What a loss or a model returns is checked at
        each call, see ``edframe.contract.guards``.
        """
        provided = registry.find(self.kind, self.name)
        made = provided.component.build(self.options, self.make_parts(registry, *args, **kwargs), *args, **kwargs)
        if self.kind not in ("loss", "model"):
            return made
        from edframe.contract.guards import guarded  # imports torch

        return guarded(made, self.kind, provided.label, **{key: kwargs[key] for key in kwargs if key == "spins"})

    def make_parts(self, registry: Registry, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The components whose options those of this one hold, by name."""
        return {
            part.name: part.make(registry, *args, **kwargs) if part.kind == self.kind else part.make(registry)
            for part in self.parts
        }

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

    def components(self) -> list[Choice]:
        """All chosen components, each followed by its parts."""
        chosen = [self.data, self.featurizer, self.model, self.loss, *self.metrics]
        return [part for choice in chosen for part in choice.components()]

    def import_factories(self, registry: Registry) -> None:
        """Import what the components are made by, so that one that cannot be had is known before there is any work.

        Raises PluginError.
        """
        for choice in self.components():
            registry.get(choice.kind, choice.name).load()

    def require_one_process(self, each: str) -> None:
        """Raises ConfigError for a device that means several; ``each`` says what is trained in one."""
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
