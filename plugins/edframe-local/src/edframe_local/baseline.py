"""The model ``baseline``: a featurizer's baseline as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from edframe.data.sums import Summing
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Features
from edframe.sample import Sample
from edframe_local.electrons import spread, with_electrons
from edframe_local.plugin import BaselineConfig

if TYPE_CHECKING:
    from jaxtyping import Float


class Baseline(nn.Module):
    """The baseline, never negative and with the right electrons; nothing is learnt. See ``with_electrons``."""

    def __init__(self, config: BaselineConfig, channels: int, spins: int, dimension: int) -> None:
        super().__init__()

    def fit(self, samples: Iterable[tuple[Features, Sample]]) -> Mapping[str, float]:
        """Nothing to find. Raises DataError where the featurizer gives no baseline."""
        for features, _ in samples:
            self._of(features.baseline)
            break
        return {}

    def forward(
        self,
        channels: Float[Tensor, "b c *grid"],
        baseline: Float[Tensor, "b s *grid"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b s *grid"]:
        """The density ``[b, s, x, y, z]`` in e/Å^d. Raises DataError without a baseline."""
        return with_electrons(self._of(baseline), electrons, grid.voxel_volume)

    reach = 0
    stride = 1

    def fields(
        self,
        channels: Float[Tensor, "b c *part"],
        baseline: Float[Tensor, "b s *part"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b s *part"]:
        """The baseline. See ``TiledModel``."""
        return self._of(baseline)

    def finished(self, fields: Float[Tensor, "b s *part"], grid: Grid, electrons: Float[Tensor, "b"]) -> Summing:
        """The density ``[b, s, …]`` from the baseline ``[b, s, …]``. See ``TiledModel``."""
        return spread(fields, electrons, grid.voxel_volume)

    @staticmethod
    def _of(baseline: Tensor | None) -> Tensor:
        if baseline is None:
            raise DataError(
                "the model baseline has nothing to give, because the featurizer has no baseline; use local, or another "
                "that has one"
            )
        return baseline
