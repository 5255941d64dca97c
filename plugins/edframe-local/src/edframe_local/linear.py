"""The linear model: the coefficients of the invariants, fitted in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe_local.basis import Basis
from edframe_local.drawing import Draw
from edframe_local.neighbours import Images, surroundings
from edframe_local.ridge import Normal

if TYPE_CHECKING:
    from jaxtyping import Float

Weight = Literal["l1", "relative", "l2"]

FLOOR = 1e-3
"""e/Å^d below which densities count alike in the relative weight."""
REGULARISATIONS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
ENTRIES = 2**15
"""Pairs of a point and an atom at once, which bounds the memory: some 10 kB each."""


def invariants(
    basis: Basis, places: NDArray[np.float64], images: Images, device: torch.device | str, together: int
) -> Iterator[tuple[NDArray[np.int64], Float[Tensor, "n size"]]]:
    """Which of ``places`` ``[p, d]`` (Å), and their invariants ``[n, size]`` float32, in parts of bounded size."""
    for around in surroundings(places, images, together=together, entries=ENTRIES, device=device):
        yield basis(around)


def tabulated(basis: Basis, drawn: Draw, device: torch.device | str) -> Float[Tensor, "p {basis.size}"]:
    """The invariants of all points of a draw, ``[p, size]`` float32."""
    table = torch.empty(len(drawn.places), basis.size, device=device)
    for which, functions in invariants(basis, drawn.places, drawn.images, device, together=8):
        table[torch.as_tensor(which, device=device)] = functions
    return table


@dataclass(frozen=True)
class Fitted:
    """coefficients: ``[size, s]`` float64. scale, factor: of the last normal equations. numbers: what was chosen.
    size_of_step: the root of the last weighted square sum over the number of coefficients."""

    coefficients: Float[Tensor, "size s"]
    scale: Float[Tensor, "size"]
    factor: Float[Tensor, "size size"]
    size_of_step: float
    numbers: Mapping[str, float]

    def step(self, free: Float[Tensor, "size s"]) -> Float[Tensor, "size s"]:
        """Changes of the coefficients for free numbers ``[size, s]``, each of which changes the density as much as any
        other: the quadratic form of the normal equations is their square sum."""
        changes: Tensor = self.scale[:, None] * torch.linalg.solve_triangular(self.factor.T, free, upper=True)
        return changes


def fit(basis: Basis, draws: Sequence[Draw], weight: Weight, folds: int, device: torch.device | str) -> Fitted:
    """The coefficients of target − base.

    ``relative`` weighs the square of an error by 1/(ρ₀ + ``FLOOR``), ρ₀ the base density; ``l2`` not at all; ``l1``
    makes the relative fit, then once more with 1/(|error| + ε), so that absolute errors are what counts. The
    regularisation is the one of least mean absolute error when every ``folds``-th sample is held out. Memory: the
    invariants of all points, in float32.
    """
    tables = [tabulated(basis, drawn, device) for drawn in draws]
    rests = [_on(drawn.target - drawn.base, device) for drawn in draws]
    scales = [_on(drawn.base[:, 0] + FLOOR, device) for drawn in draws]
    volumes = [_on(drawn.volume, device) for drawn in draws]
    parts = [Normal.empty(basis.size, rests[0].shape[1], device) for _ in range(min(folds, len(draws)))]
    for number, (table, rest, scale, volume) in enumerate(zip(tables, rests, scales, volumes, strict=True)):
        parts[number % len(parts)].add(table, rest, volume if weight == "l2" else volume / scale)
    total = sum(parts[1:], parts[0])
    held = [(number % len(parts), *sample) for number, sample in enumerate(zip(tables, rests, volumes, strict=True))]
    regularisation, error = _chosen(total, parts, held) if len(parts) > 1 else (REGULARISATIONS[2], float("nan"))
    parts.clear()
    coefficients = total.solve(regularisation)

    def left(table: Tensor, rest: Tensor) -> Tensor:
        return (rest - table.double() @ coefficients).abs()

    if weight == "l1":  # once more, with weights from the errors: iteratively reweighted least squares
        total = Normal.empty(basis.size, rests[0].shape[1], device)
        for table, rest, scale, volume in zip(tables, rests, scales, volumes, strict=True):
            total.add(table, rest, volume / (left(table, rest)[:, 0] + 1e-3 * scale.sqrt()))
        coefficients = total.solve(regularisation)
    absolute = sum(float((left(t, r) * v[:, None]).sum()) for t, r, v in zip(tables, rests, volumes, strict=True))
    numbers = {
        "regularisation": regularisation,
        "∫|error|, e per training sample": absolute / len(draws),
        "∫|error|, e per sample held out": error,
    }
    return Fitted(coefficients, *total.factor(regularisation), (absolute / basis.size) ** 0.5, numbers)


def _chosen(
    total: Normal, parts: Sequence[Normal], held: Sequence[tuple[int, Tensor, Tensor, Tensor]]
) -> tuple[float, float]:
    """The regularisation of least ∫|error| over samples that were held out, and its mean over them.

    held: of each sample its part, invariants, what was to be learnt, and volumes. Absolute errors, because the square
    of one sample far from all others would decide alone.
    """
    errors = torch.zeros(len(REGULARISATIONS), dtype=torch.float64)
    for number, part in enumerate(parts):
        rest = total - part
        coefficients = torch.stack([rest.solve(r)[:, 0] for r in REGULARISATIONS], 1)
        for place, table, wanted, volume in held:
            if place == number:
                left = (table @ coefficients.float()).double() - wanted[:, :1]
                errors += (left.abs() * volume[:, None]).sum(0).cpu()
    best = int(errors.argmin())
    return REGULARISATIONS[best], float(errors[best]) / len(held)


def _on(array: NDArray[np.float64], device: torch.device | str) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float64, device=device)
