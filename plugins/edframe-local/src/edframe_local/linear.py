"""The linear model: the coefficients of the invariants, fitted in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edframe_local.basis import Basis
from edframe_local.drawing import Draw
from edframe_local.neighbours import Images, surroundings
from edframe_local.ridge import Normal, cross_validated

Weight = Literal["l1", "relative", "l2"]

FLOOR = 1e-3
"""e/Å^d below which densities count alike in the relative weight."""
REGULARISATIONS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
ENTRIES = 2**15
"""Pairs of a point and an atom at once, which bounds the memory: some 10 kB each."""


def invariants(
    basis: Basis, places: NDArray[np.float64], images: Images, device: torch.device | str, together: int
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Which of ``places`` ``[p, d]`` (Å), and their invariants ``[n, size]`` float32, in parts of bounded size."""
    for around in surroundings(places, images, together=together, entries=ENTRIES, device=device):
        yield basis(around)


def fit(
    basis: Basis, draws: Sequence[Draw], weight: Weight, folds: int, device: torch.device | str
) -> tuple[Tensor, Mapping[str, float]]:
    """Coefficients ``[size, s]`` (float64) of target − base, and what was chosen.

    ``relative`` weighs the square of an error by 1/(ρ₀ + ``FLOOR``), ρ₀ the base density; ``l2`` not at all; ``l1``
    makes the relative fit, then once more with 1/(|error| + ε), so that absolute errors are what counts. The
    regularisation is the one of least error when every ``folds``-th sample is held out.
    """
    parts = [Normal.empty(basis.size, draws[0].target.shape[1], device) for _ in range(min(folds, len(draws)))]
    for number, drawn in enumerate(draws):
        for which, functions in invariants(basis, drawn.places, drawn.images, device, together=8):
            weights = drawn.volume[which]
            if weight != "l2":
                weights = weights / (drawn.base[which, 0] + FLOOR)
            parts[number % len(parts)].add(functions, _rest(drawn, which, device), _on(weights, device))
    if len(parts) > 1:
        regularisation, error = cross_validated(parts, REGULARISATIONS)
    else:
        regularisation, error = REGULARISATIONS[3], float("nan")
    total = sum(parts[1:], parts[0])
    parts.clear()
    coefficients = total.solve(regularisation)
    if weight == "l1":
        coefficients = _reweighted(basis, draws, coefficients, regularisation, device)
    return coefficients, {"regularisation": regularisation, "cross-validation error over the base's": error**0.5}


def _reweighted(
    basis: Basis, draws: Sequence[Draw], coefficients: Tensor, regularisation: float, device: torch.device | str
) -> Tensor:
    """The fit again, with weights from the errors of the last: one step of iteratively reweighted least squares."""
    again = Normal.empty(len(coefficients), coefficients.shape[1], device)
    for drawn in draws:
        for which, functions in invariants(basis, drawn.places, drawn.images, device, together=8):
            rest = _rest(drawn, which, device)
            scale = _on((drawn.base[which, 0] + FLOOR) ** 0.5, device)
            error = (rest - functions.double() @ coefficients)[:, 0].abs()
            again.add(functions, rest, _on(drawn.volume[which], device) / (error + 1e-3 * scale))
    return again.solve(regularisation)


def _rest(drawn: Draw, which: NDArray[np.int64], device: torch.device | str) -> Tensor:
    return _on(drawn.target[which] - drawn.base[which], device)


def _on(array: NDArray[np.float64], device: torch.device | str) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float64, device=device)
