"""The loss ``sinkhorn``: a thin layer over ``divergence``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Loss, Visit
from edframe_sinkhorn.divergence import Start, divergence
from edframe_sinkhorn.options import Options
from edframe_sinkhorn.plugin import SinkhornConfig

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class SinkhornLoss(Loss):
    """Half the mean squared distance in Å² that electrons must move from the predicted to the reference density.

    S_ε(ρ̂/N̂, ρ/N) of Feydy et al. 2019: each density is divided by its own number of electrons, and what a
    prediction puts below zero counts as zero, without a gradient. Electrons of either spin are transported among
    themselves. Twice differentiating is not supported.
    """

    def __init__(self, config: SinkhornConfig) -> None:
        self.options = Options(**config.model_dump(exclude={"warm_start"}))
        self.warm_start = config.warm_start
        length = "Å²" if config.p == 2 else "Å"
        self.unit = length if config.scale == "per_electron" else f"e·{length}"

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """``[b]``; densities ``[b, s, x, y, z]`` in e/Å^d.

        Raises DataError for a cell that the kernel cannot treat and for values that are not finite.
        """
        return self.with_diagnostics(predicted, reference, grid)[0]

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """The value, with diagnostics ``[b]``, the largest over spins.

        marginal_error; unconverged, 1 where it exceeds ``tol``; iterations, and applications of the kernel in all
        transports, on the grid itself; logarithmic, 1 where the log domain was needed.
        """
        predicted, reference = _by_spin(predicted, grid), _by_spin(reference, grid)
        memory = visit if self.warm_start else None
        spins = [
            self._transport(a, b, grid, memory, f"spin{spin}.")
            for spin, (a, b) in enumerate(zip(predicted.unbind(1), reference.unbind(1), strict=True))
        ]
        value = torch.stack([value for value, _ in spins], dim=1)
        if self.options.scale == "per_electron":
            electrons = reference.clamp(min=0).flatten(2).double().sum(2)  # but for the volume of a voxel
            value = value * electrons / electrons.sum(1, keepdim=True)
        return value.sum(1), {key: torch.stack([extras[key] for _, extras in spins]).amax(0) for key in spins[0][1]}

    def _transport(
        self, predicted: Tensor, reference: Tensor, grid: Grid, visit: Visit | None, prefix: str
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Value and diagnostics ``[b]`` of one spin, ``[b, x, y, z]``; zero for a reference without electrons."""
        empty = (reference.detach() <= 0).flatten(1).all(1).reshape(-1, *[1] * grid.dimension)
        predicted, reference = predicted.masked_fill(empty, 1.0), reference.masked_fill(empty, 1.0)
        start = _recall(visit, prefix)
        result = divergence(predicted, reference, grid, self.options, start, reference.requires_grad)
        if visit is not None:
            visit.keep(f"{prefix}potentials", torch.stack((result.start.detail, result.start.own), dim=1).float())
            visit.keep(f"{prefix}reference", result.start.reference)
        value = _Envelope.apply(predicted, reference, result.value, result.gradient, result.reference_gradient)  # type: ignore[no-untyped-call]
        return value, {
            "marginal_error": result.marginal_error,
            "unconverged": (~(result.marginal_error <= self.options.tol)).double(),
            "iterations": result.iterations,
            "applications": torch.full_like(result.iterations, result.applications),
            "logarithmic": torch.full_like(result.iterations, result.domain == "log"),
        }


class _Envelope(torch.autograd.Function):
    """A value with its gradients in closed form: by the envelope theorem, no iteration needs to be stored."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, value: Tensor, gradient: Tensor, reference_gradient: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(
            gradient.to(a.dtype), None if reference_gradient is None else reference_gradient.to(b.dtype)
        )
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream.reshape(-1, *[1] * (ctx.saved_tensors[0].ndim - 1))
        first, second = (
            None if gradient is None or not needed else (scale * gradient).to(gradient.dtype)
            for gradient, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[:2], strict=True)
        )
        return first, second, None, None, None


def _by_spin(density: Tensor, grid: Grid) -> Tensor:
    """From the total, or total and magnetisation, ``[b, s, x, y, z]``, to the density of each spin."""
    if density.ndim != grid.dimension + 2 or density.shape[1] not in (1, 2):
        raise DataError(
            f"sinkhorn: a density is [b, s, {', '.join(map(str, grid.shape))}], s = 1 or 2, not {list(density.shape)}"
        )
    if density.shape[1] == 1:
        return density
    total, magnetisation = density.unbind(1)
    return torch.stack(((total + magnetisation) / 2, (total - magnetisation) / 2), dim=1)


def _recall(visit: Visit | None, prefix: str) -> Start | None:
    """What an earlier visit stored, if it did so for the whole batch."""
    potentials = visit.recall(f"{prefix}potentials") if visit is not None else None
    reference = visit.recall(f"{prefix}reference") if visit is not None else None
    if potentials is None or reference is None or not (potentials.flatten(1)[:, 0] + reference).isfinite().all():
        return None
    detail, own = potentials.double().unbind(1)
    return Start(detail, own, reference)
