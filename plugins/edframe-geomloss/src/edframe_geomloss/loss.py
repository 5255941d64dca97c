"""The loss ``geomloss``: points and weights for ``geomloss.SamplesLoss``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edframe.data.cache import cache_folder
from edframe.errors import ConfigError, DataError
from edframe.grid import Grid
from edframe.interfaces import Loss, Visit
from edframe_geomloss.plugin import MAX_TENSORIZED, GeomlossConfig
from edframe_geomloss.points import Cloud, cloud

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

UNITS = {"sinkhorn": "Å²", "energy": "Å", "gaussian": "1", "laplacian": "1"}
WIDTH = 0.5
"""Default width of the Gaussian and the Laplacian kernel, Å."""


class GeomlossLoss(Loss):
    """The distance of ρ̂/N̂ and ρ/N as weights of points, by geomloss; what a prediction puts below zero counts as zero.

    The total density is judged. Points are those that carry all but a small fraction of both densities. geomloss
    measures along straight lines, so that periodic axes are cut open where the reference is emptiest.
    """

    def __init__(self, config: GeomlossConfig) -> None:
        self.config = config
        self.unit = UNITS[config.distance]

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d. See ``with_diagnostics``."""
        return self.with_diagnostics(predicted, reference, grid)[0]

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """The value, with the number of ``points`` and the fraction of the reference ``near_cut``, each ``[b]``.

        Raises DataError for two spin channels, a reference that fills a periodic axis, too many points for the backend,
        and values that are not finite or nowhere positive.
        """
        if predicted.shape != reference.shape or predicted.shape[2:] != grid.shape:
            raise DataError(
                f"densities of shape {list(predicted.shape)} and {list(reference.shape)} cannot be compared on a grid "
                f"of shape {list(grid.shape)}: both must be [b, 1, {', '.join(map(str, grid.shape))}]"
            )
        if predicted.shape[1] != 1:
            raise DataError("geomloss judges total densities, not two spin channels; the loss sinkhorn has both")
        clouds = [
            cloud(p, r, grid, self.config.left_out, self.config.max_near_cut)
            for p, r in zip(predicted[:, 0], reference[:, 0], strict=True)
        ]
        distance = self._distance(grid)
        values = torch.stack([self._value(one, distance) for one in clouds])
        diagnostics = {
            "points": values.new_tensor([len(one.points) for one in clouds]),
            "near_cut": values.new_tensor([one.near_cut for one in clouds]),
        }
        return values, diagnostics

    def _value(self, one: Cloud, distance: Any) -> Tensor:
        distance.backend = self._backend(one)
        value: Tensor = distance(one.predicted, one.points, one.reference, one.points)
        return value.reshape(())

    def _backend(self, one: Cloud) -> str:
        count = len(one.points)
        online = self.config.backend == "online" or (self.config.backend == "auto" and count > MAX_TENSORIZED)
        if self.config.backend == "auto" and online and one.points.device.type == "cpu":
            raise DataError(
                f"geomloss: {count} points carry the density, and on a CPU more than {MAX_TENSORIZED} take minutes a "
                "step: take a coarser grid or a larger loss.left_out, the loss sinkhorn, which needs milliseconds, or "
                "set loss.backend=online to wait"
            )
        if online and find_spec("pykeops") is None:
            raise ConfigError("geomloss: the backend online needs KeOps; pip install 'edframe-geomloss[keops]'")
        return "online" if online else "tensorized"

    def _distance(self, grid: Grid) -> Any:
        # KeOps reads these when it is imported, which geomloss does.
        os.environ.setdefault("KEOPS_CACHE_FOLDER", str(cache_folder() / "keops"))
        os.environ.setdefault("PYKEOPS_VERBOSE", "0")
        from geomloss import SamplesLoss

        default = float(grid.spacing.max()) if self.config.distance == "sinkhorn" else WIDTH
        blur = self.config.blur or default
        return SamplesLoss(self.config.distance, p=2, blur=blur, scaling=self.config.scaling)
