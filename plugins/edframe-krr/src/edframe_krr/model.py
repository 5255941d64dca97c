"""The model: potentials in, densities out, nothing in between but distances to the training samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from edframe.errors import DataError
from edframe.grid import Grid, density_unit
from edframe.interfaces import Features
from edframe.sample import Sample
from edframe.train.buffers import take_sizes
from edframe_krr.fourier import Basis
from edframe_krr.plugin import KRRConfig
from edframe_krr.ridge import combined, cross_validated, gaussian, inverted, squared_distances

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

COLUMNS = 2**15
"""Coefficients that are multiplied in float64 at once, to bound the memory."""


class KRR(nn.Module):
    """ρ̂ = Σ w_i ρ_i over the training samples, with the weights of kernel ridge regression; fitted in closed form.

    The squared distance of two inputs is the mean square difference of their channels over the cell, summed over the
    channels, as far as ``potential_cutoff`` reaches. Where the featurizer gives a baseline, the difference from it is
    what is learnt. The sum is cut at zero and scaled to the electrons; a magnetisation is cut at ± the total.

    With n samples, c channels of p coefficients, s spin channels of q: a fit costs n(c + s) Fourier transforms,
    n²(cp + sq) operations and O(n³) for each width and fold; a prediction c + s transforms and n(cp + sq)
    operations; the state is n(cp + sq) float32 and n² float64 numbers.

    Not translation invariant: a moved molecule is another input. Source: Brockherde et al., Nat. Commun. 8, 872 (2017),
    doi:10.1038/s41467-017-00839-3.
    """

    cell: Float[Tensor, "d d"]  # in Å, of the training samples
    potential_vectors: Int[Tensor, "k d"]  # with the next, the Basis of the channels
    potential_alone: Bool[Tensor, "k"]
    density_vectors: Int[Tensor, "l d"]  # with the next, the Basis of the density
    density_alone: Bool[Tensor, "l"]
    origin: Float[Tensor, "c*p"]  # mean input
    inputs: Float[Tensor, "n c*p"]  # less the mean
    width: Float[Tensor, ""]  # σ of the kernel
    inverse: Float[Tensor, "n n"]  # of the training samples' kernel plus the regularisation
    mean: Float[Tensor, "s*q"]  # in e/Å^d, mean target
    targets: Float[Tensor, "n s*q"]  # less the mean; of principal components [n, components]
    components: Float[Tensor, "components s*q"]  # of no size where there are none

    def __init__(self, config: KRRConfig, channels: int, spins: int, dimension: int) -> None:
        super().__init__()
        self.config = config
        self.spins = spins
        for name in KRR.__annotations__:
            self.register_buffer(name, torch.empty(0))
        self.register_load_state_dict_pre_hook(take_sizes)  # type: ignore[no-untyped-call]

    def fit(self, samples: Iterable[tuple[Features, Sample]]) -> Mapping[str, float]:
        """Everything from the training samples, which share one grid: bases, weights, and by cross-validation among
        them the kernel's width (in the unit of the distances) and the regularisation, which are returned with the
        root mean square error held out in e/Å^d. Raises DataError for samples of several grids, or fewer than two.
        """
        grid: Grid | None = None
        seen, learnt = [], []
        for features, sample in samples:
            if grid is None:
                grid, device = sample.grid, features.channels.device
                potential = _on(device, Basis.of(grid, self.config.potential_cutoff))
                density = _on(device, Basis.of(grid, self.config.density_cutoff))
            elif (sample.grid.cell, sample.grid.shape) != (grid.cell, grid.shape):
                raise DataError(
                    f"{sample.id} has another grid than the samples before it ({_described(sample.grid)}, not "
                    f"{_described(grid)}), and krr is fitted on one grid; choose another model, such as unet"
                )
            target = torch.from_numpy(sample.density)[None].to(device)
            if features.baseline is not None:
                target = target - features.baseline
            seen.append(potential.coefficients(features.channels).flatten(1).float())
            learnt.append(density.coefficients(target).flatten(1).float())
        if grid is None or len(seen) < 2:
            raise DataError(f"krr needs at least two training samples, not {len(seen)}; use more data")
        self.cell = torch.from_numpy(grid.vectors.copy())
        self.potential_vectors, self.potential_alone = potential.vectors, potential.alone
        self.density_vectors, self.density_alone = density.vectors, density.alone
        self.origin, self.inputs = _centred(seen)
        self.mean, self.targets = _centred(learnt)
        products = _products(self.targets)
        if self.config.components is not None:
            products = self._reduce(products, self.config.components)
        return self._choose(products)

    def _reduce(self, products: Tensor, count: int) -> Tensor:
        """Replace the targets by their principal components; returns the products of what is left of them."""
        values, vectors = torch.linalg.eigh(products)
        kept = values[-count:] > 1e-12 * values[-1]  # the rest is rounding
        lengths, directions = values[-count:][kept].sqrt(), vectors[:, -count:][:, kept]
        self.components = ((directions / lengths).T.float() @ self.targets).contiguous()
        scores = directions * lengths
        self.targets = scores.float()
        reduced: Tensor = scores @ scores.T
        return reduced

    def _choose(self, products: Tensor) -> Mapping[str, float]:
        squared = squared_distances(self.inputs.double(), self.inputs.double())
        upper = torch.triu_indices(len(squared), len(squared), 1)
        median = float(squared[upper[0], upper[1]].median().sqrt()) or 1.0
        widths = [factor * median for factor in self.config.widths]
        chosen = cross_validated(squared, products, widths, self.config.regularisations, self.config.folds)
        self.width = torch.tensor(chosen.width, dtype=torch.float64, device=squared.device)
        self.inverse = inverted(gaussian(squared, chosen.width), chosen.regularisation)
        return {
            "kernel width": chosen.width,
            "kernel width over median distance": chosen.width / median,
            "regularisation": chosen.regularisation,
            f"cross-validation RMSE ({density_unit(len(self.cell))})": math.sqrt(chosen.error),
        }

    def forward(
        self,
        channels: Float[Tensor, "b c *grid"],
        baseline: Float[Tensor, "b s *grid"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b s *grid"]:
        """The density ``[b, s, x, y, z]`` in e/Å^d, on any grid of the cell it was fitted in.

        Raises DataError in another cell, and before it was fitted.
        """
        self._check(grid)
        basis = Basis(self.potential_vectors, self.potential_alone)
        inputs = basis.coefficients(channels).flatten(1) - self.origin
        kernel = gaussian(squared_distances(inputs, self.inputs.double()), self.width)
        deviations = combined(kernel, self.inverse).float() @ self.targets
        if self.components.numel():
            deviations = deviations @ self.components
        coefficients = (self.mean + deviations).reshape(len(deviations), self.spins, -1)
        density = Basis(self.density_vectors, self.density_alone).fields(coefficients, grid.shape)
        if baseline is not None:
            density = density + baseline
        total = density[:, :1].clamp_min(0)
        electrons_found = total.flatten(1).sum(1) * grid.voxel_volume
        total = total * (electrons / electrons_found.clamp_min(1e-30)).reshape(-1, *[1] * (total.ndim - 1))
        magnetisation = torch.maximum(torch.minimum(density[:, 1:], total), -total)
        return torch.cat([total, magnetisation], dim=1).to(channels.dtype)

    def _check(self, grid: Grid) -> None:
        if not self.inputs.numel():
            raise DataError("krr has no parameters yet: fit it first, by `edframe run`")
        cell = self.cell.cpu().numpy()
        if cell.shape != grid.vectors.shape or np.abs(cell - grid.vectors).max() > 1e-4 * np.abs(cell).max():
            fitted = Grid.of(cell, 1)
            raise DataError(
                f"krr was fitted in the cell {_sides(fitted)} and cannot predict in {_sides(grid)}; put the atoms "
                "into that cell, as they lie in the training data, or choose another model, such as unet"
            )


def _on(device: torch.device, basis: Basis) -> Basis:
    return Basis(basis.vectors.to(device), basis.alone.to(device))


def _centred(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean of float32 rows (in float64), and the rows less it, ``[n, …]`` float32."""
    table = torch.cat(rows)
    rows.clear()  # the table is their second copy
    mean = table.mean(0, dtype=torch.float64)
    return mean, table.sub_(mean.float())


def _products(rows: Tensor) -> Tensor:
    """y_i·y_j of ``[n, q]``, float64 ``[n, n]``."""
    parts = (part.double() for part in torch.split(rows, COLUMNS, dim=1))
    return torch.stack([part @ part.T for part in parts]).sum(0)


def _sides(grid: Grid) -> str:
    return "; ".join(" ".join(f"{x:.4g}" for x in row) for row in grid.vectors) + " Å"


def _described(grid: Grid) -> str:
    return f"{' × '.join(map(str, grid.shape))} points in {_sides(grid)}"
