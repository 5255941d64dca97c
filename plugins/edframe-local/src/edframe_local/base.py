"""The density that is corrected: a featurizer's baseline, as it is at a point whatever grid the point is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid, Region, slabs
from edframe.interfaces import Features, Featurizer, PointFeaturizer, TiledFeaturizer

if TYPE_CHECKING:
    from jaxtyping import Float

COMPARED = 64
"""Points, those of the highest density, that the baseline on a grid is compared at with that at single points."""
SLAB = 2**21
"""Points whose baseline is looked at at once."""


def base_features(
    featurizer: Featurizer, structures: Sequence[Structure], grid: Grid, device: torch.device | str
) -> Features:
    """Channels and baseline of ``featurizer`` on ``grid``; the baseline without the factor by which it is scaled there.

    A baseline on a grid may be scaled as a whole, so that its sum is that of the electrons. The factor depends on how
    the grid lies to the nuclei, not on what surrounds a point, so no point's correction starts from it. Where the
    featurizer does not know single points, the baseline stays as it is.
    """
    features = featurizer(structures, grid, device)
    if features.baseline is None:
        raise DataError("what is to be corrected has no baseline; use base=atoms")
    if not isinstance(featurizer, PointFeaturizer):
        return features
    baseline = features.baseline.clone()
    for one, structure in zip(baseline, structures, strict=True):
        highest, places = one[0].flatten().topk(min(COMPARED, grid.points))
        one *= _factor(featurizer, structure, grid, highest, places)
    return Features(features.channels, baseline)


def with_corrections(features: Features, corrections: Float[Tensor, "b part s *grid"]) -> Features:
    """A corrected baseline, its total never negative, and the parts of the correction as further channels."""
    assert features.baseline is not None
    baseline = features.baseline + corrections.sum(1)
    baseline[:, 0].clamp_(min=0)
    return Features(torch.cat([features.channels, corrections.flatten(1, 2)], 1), baseline)


def _factor(
    featurizer: PointFeaturizer, structure: Structure, grid: Grid, highest: Tensor, places: Tensor
) -> Float[Tensor, ""]:
    """The baseline at single points over that on the grid, ``highest`` ``[p]`` at the flat indices ``places``."""
    fractions = np.stack(np.unravel_index(places.cpu().numpy(), grid.shape), 1) / np.array(grid.shape)
    there = featurizer.at(structure, grid, torch.from_numpy(fractions), highest.device).baseline
    assert there is not None
    return there[0, 0].sum() / highest.sum().clamp_min(1e-30)


@dataclass(frozen=True)
class TiledBase:
    """on: features of parts of a grid. total: the sum of the baseline over all of it. known: ``[p, s]`` at single
    points."""

    on: Callable[[Region], Features]
    total: float
    known: Float[Tensor, "p s"]


def tiled_base(
    featurizer: Featurizer,
    structure: Structure,
    grid: Grid,
    device: torch.device | str,
    points: NDArray[np.int64] | None = None,
) -> TiledBase:
    """What ``base_features`` gives, for parts of the grid and at ``points`` ``[p]``, flat indices.

    Raises DataError where the featurizer has no parts, or no baseline.
    """
    if not isinstance(featurizer, TiledFeaturizer):
        raise DataError("what is to be corrected is known on whole grids alone; use base=atoms, or a coarser grid")
    on = featurizer.tiled(structure, grid, device)
    values, places, total, first = [], [], 0.0, 0
    known: Tensor | None = None
    wanted = np.zeros(0, dtype=np.int64) if points is None else points
    for slab in slabs(grid, SLAB):
        baseline = on(slab).baseline
        if baseline is None:
            raise DataError("what is to be corrected has no baseline; use base=atoms")
        density = baseline[0].flatten(1)
        highest, place = density[0].topk(min(COMPARED, density.shape[1]))
        values.append(highest)
        places.append(place + first)
        total += float(density.sum(dtype=torch.float64))
        known = density.new_zeros(len(wanted), len(density)) if known is None else known
        inside = np.flatnonzero((wanted >= first) & (wanted < first + density.shape[1]))
        rows = torch.as_tensor(wanted[inside] - first, device=density.device)
        known[torch.as_tensor(inside, device=density.device)] = density[:, rows].T
        first += density.shape[1]
    assert known is not None
    if not isinstance(featurizer, PointFeaturizer):
        return TiledBase(on, total, known)
    highest, chosen = torch.cat(values).topk(min(COMPARED, grid.points))
    factor = _factor(featurizer, structure, grid, highest, torch.cat(places)[chosen])

    def scaled(region: Region) -> Features:
        features = on(region)
        assert features.baseline is not None
        return Features(features.channels, features.baseline * factor)

    return TiledBase(scaled, total * float(factor), known * factor)
