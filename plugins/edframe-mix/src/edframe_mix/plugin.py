"""Records and options of the plugin. Light: no torch."""

import math
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from edframe.plugin import Component, ComponentConfig, OptionsOf, hookimpl


class Weight(ComponentConfig):
    """The weight of a part: a number, or ``{from: 0.0, to: 0.1, steps: 500}``, a line over the steps of training."""

    start: float = Field(alias="from", ge=0, allow_inf_nan=False)
    """Weight at step 1, in the inverse unit of the part."""

    end: float = Field(alias="to", ge=0, allow_inf_nan=False)
    """Weight from step ``steps`` on, and in evaluation, in the inverse unit of the part."""

    steps: int = Field(ge=2)
    """Training step (a count, from 1) at which the line ends."""

    def at(self, step: int | None) -> float:
        """The weight at a training step, or in evaluation."""
        if step is None or step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * (step - 1) / (self.steps - 1)

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        if isinstance(value, dict | Weight):
            return value
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise ValueError(f"a weight is a number from 0 up, or {{from: 0.0, to: 0.1, steps: 500}}, not {value!r}")
        return {"from": number, "to": number, "steps": 2}

    @model_serializer
    def _as_given(self) -> Any:
        return self.end if self.start == self.end else {"from": self.start, "to": self.end, "steps": self.steps}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number", "minimum": 0}, handler.resolve_ref_schema(handler(schema))]}


class MixConfig(ComponentConfig):
    """Options of the loss ``mix``."""

    weights: dict[str, Weight] = Field(default={"l1": 1.0, "sinkhorn": 0.1}, validate_default=True)
    """Weight of each loss, in the inverse of its unit: a number (0: left out), or {from, to, steps} for a line from
    step 1 to step ``steps``."""

    options: Annotated[dict[str, dict[str, Any]], OptionsOf("loss", named_in="weights")] = Field(default={})
    """Options of each loss, by its name."""

    @field_validator("weights")
    @classmethod
    def _is_a_mix_of_others(cls, weights: dict[str, Weight]) -> dict[str, Weight]:
        if "mix" in weights:
            raise ValueError("mix cannot be a part of mix: name the losses that it is made of")
        if not any(weight.start or weight.end for weight in weights.values()):
            raise ValueError("at least one weight must be positive")
        return weights


class UnionConfig(ComponentConfig):
    """Options of the dataset ``union``."""

    members: tuple[str, ...] = Field(("li-o-li", "li2o-clusters"), min_length=1)
    """Names of the datasets that are joined, in this order."""

    options: Annotated[dict[str, dict[str, Any]], OptionsOf("dataset", named_in="members")] = Field(default={})
    """Options of each member, by its name."""

    @field_validator("members")
    @classmethod
    def _are_others(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if "union" in members:
            raise ValueError("union cannot be a member of union: name the datasets that it is made of")
        if len(set(members)) < len(members):
            raise ValueError("a dataset can be a member once: join its files or sizes by its own options")
        return members


@hookimpl
def edframe_datasets() -> list[Component]:
    """The dataset ``union``."""
    return [
        Component(
            kind="dataset",
            name="union",
            summary="the samples of several datasets, with held-out test sets across them",
            config=UnionConfig,
            factory="edframe_mix.union:JoinedSamples",
            api=1,
        )
    ]


@hookimpl
def edframe_losses() -> list[Component]:
    """The loss ``mix``."""
    return [
        Component(
            kind="loss",
            name="mix",
            summary="weighted sum of other losses; the weights may change linearly over the steps",
            config=MixConfig,
            factory="edframe_mix.loss:MixLoss",
            api=1,
        )
    ]
