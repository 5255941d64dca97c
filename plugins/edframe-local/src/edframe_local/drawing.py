"""Points drawn from the training densities, and what is to be learnt there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edframe.interfaces import Featurizer, PointFeaturizer
from edframe.sample import Sample
from edframe_local.base import base_features
from edframe_local.neighbours import Images

TYPICAL = 0.3
"""Density in e/Å^d from which on a point is drawn as often as any."""
RARE = 0.05
"""How often a point in the vacuum is drawn, in units of that."""
NUCLEUS = 20.0
"""How often the point nearest to a nucleus is drawn, in units of that: a base may be wrong there by more than anywhere
else, such as that of a pseudopotential whose density has a hole, and no other point tells by how much."""
SPREAD, JUDGED = 8_000, 1000
"""Points of the cell, and how many of them, more where the density is high, an expected error is the mean over."""


@dataclass(frozen=True)
class Draw:
    """Points of one sample. base and target ``[p, s]`` in e/Å^d; places ``[p, d]`` in Å; volume ``[p]`` in Å^d.

    volume: that a point represents, so that Σ volume · f estimates the integral of f over the cell.
    """

    images: Images
    places: NDArray[np.float64]
    base: NDArray[np.float64]
    target: NDArray[np.float64]
    volume: NDArray[np.float64]


def draw(
    sample: Sample,
    density: NDArray[np.floating],
    species: Sequence[str],
    cutoff: float,
    count: int,
    seed: int,
    base: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> Draw:
    """About ``count`` points of ``sample``, more where ``density`` ``[s, …]`` is high, and at nuclei; the same for one
    seed.

    base: the density to correct, ``[p, s]`` at points ``[p, d]`` in fractions of the lattice; None: ``density``.
    """
    spins = len(sample.density)
    flat = density.reshape(spins, -1)
    probability = chances(flat[0], count, nearest(sample))
    chosen = np.flatnonzero(np.random.default_rng([seed, count]).random(len(probability)) < probability)
    fractions = np.stack(np.unravel_index(chosen, sample.grid.shape), -1) / np.array(sample.grid.shape)
    return Draw(
        images=Images.of(sample.structure, sample.grid, species, cutoff),
        places=fractions @ sample.grid.vectors,
        base=flat[:, chosen].T.astype(np.float64) if base is None else base(fractions),
        target=sample.density.reshape(spins, -1)[:, chosen].T.astype(np.float64),
        volume=sample.grid.voxel_volume / probability[chosen],
    )


def chances(
    density: NDArray[np.floating], count: int, nuclei: NDArray[np.int64] | slice = slice(0)
) -> NDArray[np.float64]:
    """How probably each point of ``density`` ``[p]`` is drawn, so that about ``count`` are. nuclei: points at these."""
    wanted = np.minimum(1.0, RARE + density / TYPICAL)
    wanted[nuclei] = NUCLEUS
    return np.asarray(np.minimum(1.0, wanted * min(1.0, count / wanted.sum())))


def judged(
    density: NDArray[np.floating], volume: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Some of the points of a cell of ``volume``, more where ``density`` ``[p]`` is high: which, and the volume that
    each counts in an integral over the cell. The points are spread evenly."""
    probability = chances(density, JUDGED)
    chosen = np.flatnonzero(rng.random(len(density)) < probability)
    return chosen, volume / (len(density) * probability[chosen])


def nearest(sample: Sample) -> NDArray[np.int64]:
    """The point of the grid that is nearest to each atom by its fractions, as an index of the flat grid, ``[atom]``."""
    shape = np.array(sample.grid.shape)
    fractions = sample.structure.frac_coords[:, : len(shape)]
    places = np.rint(fractions * shape).astype(np.int64) % shape
    return np.asarray(np.ravel_multi_index(tuple(places.T), sample.grid.shape), dtype=np.int64)


def drawn_from(
    featurizer: Featurizer, sample: Sample, species: Sequence[str], cutoff: float, count: int, seed: int
) -> Draw:
    """About ``count`` points of ``sample``, with the baseline of ``featurizer`` there.

    Where it is known at single points it is computed at these alone, and they are drawn by the sample's own density:
    a fiftieth of the time of a whole grid.
    """
    if not isinstance(featurizer, PointFeaturizer):
        return draw(sample, base_density(featurizer, sample), species, cutoff, count, seed)

    def base(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        baseline = featurizer.at(sample.structure, sample.grid, torch.from_numpy(fractions), "cpu").baseline
        assert baseline is not None
        return np.asarray(baseline[0].T.double().numpy())

    return draw(sample, sample.density, species, cutoff, count, seed, base)


def base_density(featurizer: Featurizer, sample: Sample) -> NDArray[np.float64]:
    """The baseline of ``featurizer`` for ``sample``, ``[s, …]`` in e/Å^d."""
    baseline = base_features(featurizer, [sample.structure], sample.grid, "cpu").baseline
    assert baseline is not None
    return np.asarray(baseline[0].double().numpy())
