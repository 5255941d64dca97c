"""The losses ``wasserstein`` and ``sliced``: thin layers over ``exact_transport`` and ``sliced_transport``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from edframe.grid import Grid
from edframe.interfaces import Loss, Visit
from edframe_wasserstein.exact import exact_transport
from edframe_wasserstein.masses import per_channel
from edframe_wasserstein.plugin import SlicedConfig, WassersteinConfig
from edframe_wasserstein.sliced import sliced_transport

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class _PerElectron(Loss):
    """A loss in Å² whose value is that of ``with_diagnostics``."""

    unit = "Å²"

    def __call__(self, predicted: Tensor, reference: Tensor, grid: Grid) -> Tensor:
        """``[b]`` in Å² (per electron); densities ``[b, s, x, y, z]`` in e/Å^d. See ``with_diagnostics``."""
        return self.with_diagnostics(predicted, reference, grid)[0]


class WassersteinLoss(_PerElectron):
    """Half the mean squared distance in Å² that electrons must move, exactly, on a grid coarse enough to solve.

    A metric to hold others against, not a training target: points hold their mass, so a density moved by a part t of a
    spacing h sends the fraction t of it over whole steps. That costs ½h²t instead of ½h²t²: 10 times too much at
    t = 0.1, 3.3 times at 0.3, and it pulls just as hard near the minimum. Train with ``sinkhorn``.
    """

    def __init__(self, config: WassersteinConfig) -> None:
        self.config = config

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """The value, with the ``spacing`` in Å that was solved on and the number of ``points``, each ``[b]``.

        Spin densities channel by channel: see ``per_channel``. Raises DataError for densities on another grid, and for
        values that are not finite or nowhere positive.
        """
        transport = partial(exact_transport, grid=grid, max_points=self.config.max_points)
        return per_channel(transport, predicted, reference)


class SlicedLoss(_PerElectron):
    """d times half the squared Wasserstein distance in Å² of projections on lines, averaged over fixed directions.

    A rigid shift by δ costs ½|δ|²; other changes cost at most what their optimal transport does.
    """

    def __init__(self, config: SlicedConfig) -> None:
        self.config = config

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """The value, with the fraction of the electrons ``near_cut`` of a periodic axis, each ``[b]``.

        Spin densities channel by channel: see ``per_channel``. Raises DataError for a reference that fills a periodic
        axis, for densities on another grid, and for values that are not finite or nowhere positive.
        """
        config = self.config
        transport = partial(sliced_transport, grid=grid, directions=config.directions, max_near_cut=config.max_near_cut)
        return per_channel(transport, predicted, reference)
