"""Densities that are affine in their coefficients: the featurizer ``local`` on whole grids, its invariants tabulated.

ρ(z) = ρ₀ + G z. ρ₀ is the baseline of the featurizer ``atoms``, fitted to the training samples. The columns of G are
combinations of the invariants of ``local``, orthonormal in the inner product ⟨f, g⟩ = mean over samples of
∫ f g / (ρ₀ + 0.001), those that are linearly dependent left out, each without electrons: so every ρ(z) holds those of
its reference, and the density stays affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from edframe_local.basis import Basis
from edframe_local.drawing import base_density
from edframe_local.electrons import TYPICAL, with_electrons
from edframe_local.linear import FLOOR
from edframe_local.neighbours import Images, surroundings
from numpy.typing import NDArray

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Dataset, FittedFeaturizer
from edframe.sample import Sample

Array = NDArray[np.float64]

BASIS = Basis(species=2, dimension=2, cutoff=6.0, pairs=24, radial=8, angular=6, triples=150, products=0)
"""``--set featurizer.pairs=24 --set featurizer.radial=8 --set featurizer.triples=150 --set featurizer.products=0``."""
DEPENDENT = 3e-4
"""Singular value, relative to the largest, below which a combination of columns is left out."""
LEAST = 1e-6
"""e/Å² that is added to the baseline, so that it is positive everywhere: 3e-6 of the electrons."""


@dataclass(frozen=True)
class Affine:
    """base, reference ``[n, p]`` in e/Å^d, columns ``[n, p, k]``; electrons ``[n]``."""

    grid: Grid
    base: Array
    reference: Array
    columns: Array | NDArray[np.float32]

    @cached_property
    def electrons(self) -> Array:
        return np.asarray(self.reference.sum(1) * self.grid.voxel_volume)

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return self.columns.shape[2]

    def change(self, z: Array) -> Array:
        """G z, ``[n, p]``."""
        return np.asarray(self.columns @ z)

    def density(self, z: Array) -> Array:
        """ρ(z), ``[n, p]``."""
        return self.base + self.change(z)

    def slope(self, field: Array) -> Array:
        """Gᵀ field, ``[k]``."""
        return np.asarray(field.ravel() @ self.columns.reshape(-1, self.size))

    def squares(self, weight: Array) -> Array:
        """Gᵀ diag(weight) G, ``[k, k]``."""
        total = np.zeros((self.size, self.size))
        for columns, w in zip(self.columns, weight, strict=True):
            scaled = columns * np.sqrt(w)[:, None]
            total += scaled.T @ scaled
        return total

    def predicted(self, z: Array) -> torch.Tensor:
        """ρ(z) as the model ``baseline`` returns it: cut at zero, with its electrons, ``[n, 1, *grid]``."""
        density = torch.from_numpy(self.density(z)).reshape(len(self.base), 1, *self.grid.shape)
        return with_electrons(density, torch.from_numpy(self.electrons), self.grid.voxel_volume)


@dataclass(frozen=True)
class Fit:
    """What a training set says of a model: its baseline, and its columns in the invariants, ``[size, k]``."""

    atoms: FittedFeaturizer
    turn: Array


class Tables:
    """The invariants of samples of a dataset, computed when first asked for."""

    def __init__(self, dataset: Dataset, basis: Basis = BASIS) -> None:
        self.dataset, self.basis = dataset, basis
        self._tables: dict[int, NDArray[np.float32]] = {}
        self._samples: dict[int, Sample] = {}

    def sample(self, index: int) -> Sample:
        if index not in self._samples:
            self._samples[index] = self.dataset[index]
        return self._samples[index]

    def table(self, index: int) -> NDArray[np.float32]:
        """``[p, size]``."""
        if index not in self._tables:
            sample = self.sample(index)
            images = Images.of(sample.structure, sample.grid, self.dataset.contents.species, self.basis.cutoff)
            points = sample.grid.coordinates().reshape(-1, sample.grid.dimension)
            every = np.empty((len(points), self.basis.size), np.float32)
            for around in surroundings(points, images, together=64, entries=2**14, dtype=torch.float64):
                which, functions = self.basis(around)
                every[which] = functions.numpy()
            self._tables[index] = every
        return self._tables[index]

    def forget(self) -> None:
        """Frees the memory: 2 MB of each sample."""
        self._tables.clear()

    def models(self, training: Sequence[int], *others: Sequence[int]) -> tuple[Affine, ...]:
        """The model of a training set: on its samples, and on each of the ``others``, in the same coefficients."""
        fit = self.fit(training)
        return self.on(fit, training, np.float64), *(self.on(fit, part) for part in others)

    def fit(self, training: Sequence[int]) -> Fit:
        """The model of a training set, by itself."""
        component = Registry.discover().get("featurizer", "atoms")
        atoms = component.build(component.config(), {}, self.dataset.contents)
        assert isinstance(atoms, FittedFeaturizer)
        atoms.fit([self.sample(index) for index in training])
        squares = np.zeros((self.basis.size, self.basis.size))
        for index in training:
            base = self._base(atoms, index)
            scaled = self._neutral(index, base) / np.sqrt(base + FLOOR)[:, None]
            squares += scaled.T @ scaled
        squares *= self.sample(training[0]).grid.voxel_volume / len(training)
        scale = 1 / np.sqrt(np.diag(squares))
        values, vectors = np.linalg.eigh(squares * scale[:, None] * scale)
        kept = values > DEPENDENT**2 * values[-1]
        return Fit(atoms, scale[:, None] * vectors[:, kept] / np.sqrt(values[kept]))

    def on(self, fit: Fit, part: Sequence[int], kind: type[np.floating] = np.float32) -> Affine:
        """A model on samples, whose grid need not be that on which it was fitted."""
        bases = np.stack([self._base(fit.atoms, index) for index in part])
        grid = self.sample(part[0]).grid
        return Affine(
            Grid.of(grid.vectors, grid.shape, periodic=False),
            bases,
            np.stack([self.sample(index).density[0].ravel().astype(np.float64) for index in part]),
            np.stack([
                (self._neutral(index, base) @ fit.turn).astype(kind) for index, base in zip(part, bases, strict=True)
            ]),
        )  # fmt: skip

    def _neutral(self, index: int, base: Array) -> Array:
        """The invariants of a sample, each without electrons, ``[p, size]``."""
        table, share = self.table(index).astype(np.float64), base / (1 + base / TYPICAL)
        return np.asarray(table - np.outer(share, table.sum(0) / share.sum()))

    def _base(self, atoms: FittedFeaturizer, index: int) -> Array:
        sample = self.sample(index)
        base = base_density(atoms, sample)[0].ravel() + LEAST
        return np.asarray(base * (sample.density[0].sum(dtype=np.float64) / base.sum()))
