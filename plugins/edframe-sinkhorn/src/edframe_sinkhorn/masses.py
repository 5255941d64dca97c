"""Masses on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Masses:
    """Masses ``[b, n1, …, nd]`` and where they are positive (None: everywhere)."""

    value: Float[Tensor, "b *grid"]
    support: Bool[Tensor, "b *grid"] | None

    @classmethod
    def of(cls, value: Float[Tensor, "b *grid"]) -> Masses:
        return cls(value, None if value.amin() > 0 else value > 0)

    def __getitem__(self, samples: Tensor | slice) -> Masses:
        return Masses(self.value[samples], None if self.support is None else self.support[samples])

    def inside(self, field: Float[Tensor, "b *grid"], outside: float = 0.0) -> Float[Tensor, "b *grid"]:
        """``field`` where there is mass and ``outside`` elsewhere, in place."""
        return field if self.support is None else field.masked_fill_(~self.support, outside)

    @cached_property
    def total(self) -> Float[Tensor, "b"]:
        """Σ mass, ``[b]``."""
        return self.value.flatten(1).sum(1)

    def integral(self, field: Float[Tensor, "b *grid"]) -> Float[Tensor, "b"]:
        """Σ mass × field, ``[b]``, of a field that is finite everywhere."""
        return (self.value.flatten(1)[:, None] @ field.flatten(1)[:, :, None]).flatten()
