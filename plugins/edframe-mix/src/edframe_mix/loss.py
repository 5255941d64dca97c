"""The loss ``mix``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from edframe.grid import Grid
from edframe.interfaces import Loss, Visit
from edframe_mix.plugin import MixConfig

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class MixLoss(Loss):
    """Σ wᵢ Lᵢ over the losses that the config names; a weight carries the inverse unit of its loss.

    parts: these losses, by name; those of weight zero are left out.
    """

    unit = "1"

    def __init__(self, config: MixConfig, parts: Mapping[str, Loss]) -> None:
        self.weights = {name: weight for name, weight in config.weights.items() if weight.start or weight.end}
        self.parts = {name: parts[name] for name in self.weights}

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """The sum ``[b]`` with the weights that hold at the end of training; densities ``[b, s, x, y, z]`` in e/Å^d.

        Raises DataError for what one of the parts refuses.
        """
        return self.with_diagnostics(predicted, reference, grid)[0]

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """The sum with the weights of the visit's step, the value of each part under its name, without its weight, and
        the part's own diagnostics behind its name and a dot."""
        step = None if visit is None else visit.step
        values: dict[str, Tensor] = {}
        extras: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            inner = None if visit is None else PartVisit(visit, name)
            values[name], diagnostics = part.with_diagnostics(predicted, reference, grid, inner)
            extras |= {f"{name}.{key}": extra for key, extra in diagnostics.items()}
        first, *others = (self.weights[name].at(step) * value for name, value in values.items())
        total = sum(others, start=first)
        return total, {name: value.detach() for name, value in values.items()} | extras


class PartVisit:
    """The visit as a part sees it: what it stores has its name and a dot in front, separate from the other parts'."""

    def __init__(self, visit: Visit, part: str) -> None:
        self.step = visit.step
        self._visit = visit
        self._part = part

    def recall(self, name: str) -> Float[Tensor, "b *field"] | None:
        """See ``edframe.interfaces.Visit``."""
        return self._visit.recall(f"{self._part}.{name}")

    def keep(self, name: str, values: Float[Tensor, "b *field"]) -> None:
        """See ``edframe.interfaces.Visit``."""
        self._visit.keep(f"{self._part}.{name}", values)
