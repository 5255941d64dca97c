"""Small structures, fields and densities made in code, for the checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.grid import Grid, Region
from edframe.interfaces import Contents, Features
from edframe.sample import Sample

if TYPE_CHECKING:
    from jaxtyping import Float

CONTENTS = Contents(species=("Li", "O"), max_atoms=3)
"""What ``molecules`` holds."""

MOLECULES: tuple[tuple[tuple[str, ...], tuple[tuple[float, float, float], ...]], ...] = (
    (("Li", "O", "Li"), ((0.0, 0.0, 0.0), (1.05, 1.10, 0.15), (2.30, 0.20, 0.40))),
    (("O", "Li"), ((0.30, 0.20, 0.10), (1.60, 0.90, 0.55))),
)
"""Species and Cartesian positions in Å of a bent Li–O–Li and of LiO."""


def box(shape: Sequence[int] = (12, 12, 12), spacing: float = 0.5, periodic: bool = True) -> Grid:
    """An orthogonal grid of ``spacing`` Å."""
    return Grid.of([n * spacing for n in shape], tuple(shape), periodic)


def sheared(grid: Grid) -> Grid:
    """The same lattice and the same points, with the second lattice vector replaced by its sum with the first.

    Needs equal numbers of points on the first two axes. See ``relabelled``.
    """
    vectors = grid.vectors.copy()
    vectors[1] += vectors[0]
    return Grid.of(vectors, grid.shape, grid.periodic)


def relabelled(field: Float[Tensor, "*field"], dimension: int) -> Float[Tensor, "*field"]:
    """A field ``[…, n1, n2, …]`` on a grid, as it reads on ``sheared(grid)``: index (i, j) holds (i + j, j)."""
    n1, n2 = field.shape[-dimension], field.shape[-dimension + 1]
    i, j = torch.meshgrid(torch.arange(n1), torch.arange(n2), indexing="ij")
    return field.movedim((-dimension, 1 - dimension), (0, 1))[(i + j) % n1, j].movedim(
        (0, 1), (-dimension, 1 - dimension)
    )


def cut_out(field: Float[Tensor, "b c *grid"], grid: Grid, region: Region) -> Float[Tensor, "b c *part"]:
    """A field on ``grid`` at the points of a region."""
    for axis, index in enumerate(region.indices(grid), start=2):
        field = field.index_select(axis, torch.from_numpy(index))
    return field


def molecules(grid: Grid, shift: Sequence[float] = (1.0, 1.2, 1.4)) -> list[Structure]:
    """Li–O–Li and LiO, moved by ``shift`` Å into the cell of ``grid``."""
    lattice = Lattice(grid.vectors)
    return [
        Structure(lattice, species, np.array(positions) + np.array(shift), coords_are_cartesian=True)
        for species, positions in MOLECULES
    ]


def labelled(count: int = 4, spins: int = 1, seed: int = 0) -> list[Sample]:
    """Samples to fit a featurizer to: the molecules, moved and distorted, with a made-up density of their own.

    Li brings 3 electrons and O 6, in Gaussians of 0.5 and 0.4 Å that are no superposition of spherical atoms: each
    atom's is drawn out towards the first.
    """
    rng = np.random.default_rng(seed)
    grid = box()
    samples = []
    for index in range(count):
        structure = molecules(grid, rng.uniform(0.5, 2.5, 3).tolist())[index % 2]
        for atom in range(len(structure)):
            structure.translate_sites([atom], rng.normal(0, 0.1, 3), frac_coords=False)
        density = np.zeros(grid.shape)
        for site in structure:
            electrons, width = {"Li": (3.0, 0.5), "O": (6.0, 0.4)}[site.specie.symbol]
            away = grid.fractions() - site.frac_coords
            away -= np.rint(away)
            towards = structure[0].coords - site.coords
            cartesian = away @ grid.vectors
            cloud = np.exp(-((cartesian - 0.05 * towards) ** 2).sum(-1) / (2 * width**2))
            density += electrons * cloud / (cloud.sum() * grid.voxel_volume)
        electrons = 3.0 * structure.composition["Li"] + 6.0 * structure.composition["O"]
        fields = np.stack([density, 0.3 * density][:spins]).astype(np.float32)
        samples.append(Sample(f"labelled-{index}", structure, grid, fields, electrons))
    return samples


def bumps(grid: Grid, centres: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Smooth bumps (1 − r²/R²)³, exactly zero beyond ``radius`` R in Å: ``[n, n1, …, nd]`` for centres ``[n, d]``."""
    fractions = centres @ np.linalg.inv(grid.vectors)
    away = grid.fractions()[None] - fractions.reshape(-1, *(1,) * grid.dimension, grid.dimension)
    away -= np.rint(away) * np.array(grid.periodic)
    squared = ((away @ grid.vectors) ** 2).sum(-1) / radius**2
    values: NDArray[np.float64] = np.clip(1 - squared, 0, None) ** 3
    return values


def densities(grid: Grid, batch: int = 3, spins: int = 1, seed: int = 0) -> Float[Tensor, "{batch} {spins} *grid"]:
    """Random densities ``[b, s, n1, …, nd]``, positive everywhere, float64; sample i holds 4 + i electrons."""
    rng = np.random.default_rng(seed)
    radius = 0.6 * float(np.abs(np.diag(grid.vectors)).min())
    total = np.empty((batch, 1, *grid.shape))
    for i in range(batch):
        centres = rng.random((3, grid.dimension)) @ grid.vectors
        field = np.tensordot(rng.uniform(0.5, 1.5, 3), bumps(grid, centres, radius), axes=1)
        field += 0.2 * rng.uniform(0.5, 1.0, grid.shape)
        total[i, 0] = field * (4 + i) / (field.sum() * grid.voxel_volume)
    magnetisation = [total * rng.uniform(-0.5, 0.5, total.shape)] if spins == 2 else []
    return torch.from_numpy(np.concatenate([total, *magnetisation], axis=1))


def points(grid: Grid, places: Sequence[Sequence[int]]) -> Float[Tensor, "{len(places)} 1 *grid"]:
    """Densities ``[b, 1, n1, …, nd]`` of one electron at a point of the grid each, and 1e-3 spread evenly; float64."""
    total = np.full((len(places), 1, *grid.shape), 1e-3 / grid.points)
    for density, place in zip(total[:, 0], places, strict=True):
        density[tuple(place)] += 1
    return torch.from_numpy(total / grid.voxel_volume)


@dataclass(frozen=True)
class Inputs:
    """Arguments of a model, all zero farther than 2 Å from the centre of the atoms."""

    channels: Float[Tensor, "b c *grid"]
    baseline: Float[Tensor, "b s *grid"]
    electrons: Float[Tensor, "b"]


def inputs(grid: Grid, channels: int = 3, spins: int = 1, batch: int = 2, seed: int = 0) -> Inputs:
    """Channels, baselines and electrons of ``batch`` made-up molecules about the point (2, 2, …) Å."""
    rng = np.random.default_rng(seed)
    d = grid.dimension
    pictures = np.empty((batch, channels, *grid.shape))
    baselines = np.empty((batch, spins, *grid.shape))
    electrons = 8.0 + 2 * np.arange(batch)
    for i in range(batch):
        pictures[i] = bumps(grid, 2 + rng.uniform(-0.6, 0.6, (channels, d)), 1.3)
        field = bumps(grid, 2 + rng.uniform(-0.6, 0.6, (2, d)), 1.3).sum(0)
        baselines[i, 0] = field * electrons[i] / (field.sum() * grid.voxel_volume)
        baselines[i, 1:] = 0.3 * baselines[i, :1]
    arrays = (pictures, baselines, electrons)
    return Inputs(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def training_pairs(
    grid: Grid, channels: int, spins: int, baseline: bool, count: int = 4
) -> Iterator[tuple[Features, Sample]]:
    """Features and samples to fit a model in closed form: the density is the baseline plus a channel's worth."""
    example = inputs(grid, channels, spins, batch=count, seed=1)
    structure = molecules(box())[0]
    for i in range(count):
        total = example.baseline[i, :1] * (1 + 0.3 * example.channels[i, :1])
        electrons = float(example.electrons[i])
        total = total * (electrons / (total.sum(dtype=torch.float64) * grid.voxel_volume)).float()
        density = torch.cat([total, example.baseline[i, 1:]]).numpy()
        features = Features(example.channels[i : i + 1], example.baseline[i : i + 1] if baseline else None)
        yield features, Sample(f"example-{i}", structure, grid, density, electrons)
