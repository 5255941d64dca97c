"""The loss ``sinkhorn``: a thin layer over ``sinkhorn_divergence``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe_sinkhorn.divergence import sinkhorn_divergence
from edframe_sinkhorn.plugin import SinkhornConfig


class SinkhornLoss(Loss):
    """Half the mean squared distance in Å² that electrons must move from the predicted to the reference density.

    S_ε(ρ̂/N̂, ρ/N) of Feydy et al. 2019: each density is divided by its own number of electrons, and what a
    prediction puts below zero counts as zero, without a gradient. Twice differentiating is not supported.
    """

    unit = "Å²"

    def __init__(self, config: SinkhornConfig) -> None:
        self.config = config

    def __call__(self, predicted: Tensor, reference: Tensor, grid: Grid) -> Tensor:
        """``[b]`` in Å² (per electron); densities ``[b, 1, x, y, z]`` in e/Å^d.

        Raises DataError for spin densities, for a cell without right angles and for values that are not finite.
        """
        return self.with_diagnostics(predicted, reference, grid)[0]

    def with_diagnostics(self, predicted: Tensor, reference: Tensor, grid: Grid) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The value, with the marginal error and the number of iterations, each ``[b]``."""
        for density in (predicted, reference):
            if density.ndim != grid.dimension + 2 or density.shape[1] != 1:
                raise DataError(
                    f"sinkhorn treats the total density only, [b, 1, {', '.join(map(str, grid.shape))}], not "
                    f"{list(density.shape)}: use spins=1"
                )
        value, error, iterations = _Divergence.apply(predicted, reference, grid, self.config)  # type: ignore[no-untyped-call]
        return value, {"marginal_error": error, "iterations": iterations}


class _Divergence(torch.autograd.Function):
    """∂S/∂a = f_ab − f_aa: by the envelope theorem nothing of the iterations is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, predicted: Tensor, reference: Tensor, grid: Grid, config: SinkhornConfig
    ) -> tuple[Tensor, Tensor, Tensor]:
        result = sinkhorn_divergence(
            predicted[:, 0], reference[:, 0], grid, config.blur, config.tolerance, config.max_iterations
        )
        ctx.save_for_backward(
            result.gradient[:, None].to(predicted.dtype), result.reference_gradient[:, None].to(reference.dtype)
        )
        ctx.mark_non_differentiable(result.marginal_error, result.iterations)
        return result.value, result.marginal_error, result.iterations

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        gradients = []
        for gradient, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[:2], strict=True):
            scale = upstream[0].reshape(-1, *[1] * (gradient.ndim - 1))
            gradients.append((scale * gradient).to(gradient.dtype) if needed else None)
        return gradients[0], gradients[1], None, None
