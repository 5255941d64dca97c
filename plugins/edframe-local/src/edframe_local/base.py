"""The density that is corrected: a featurizer's baseline, as it is at a point whatever grid the point is of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Features, Featurizer, PointFeaturizer

COMPARED = 64
"""Points, those of the highest density, that the baseline on a grid is compared at with that at single points."""


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
        fractions = torch.from_numpy(grid.fractions().reshape(-1, grid.dimension))[places.cpu()]
        there = featurizer.at(structure, grid, fractions, device).baseline
        assert there is not None
        one *= there[0, 0].sum() / highest.sum().clamp_min(1e-30)
    return Features(features.channels, baseline)
