"""Two densities against each other, by the metrics of the report."""

from __future__ import annotations

import numpy as np

from edframe.api.density import Density
from edframe.errors import DataError


def compare(predicted: Density, reference: Density) -> dict[str, float]:
    """The standard metrics of ``predicted`` against ``reference``, by name, with their units in
    ``edframe.metrics.standard.units``: NMAE in %, RMSE in e/Å³, electrons, dipole in e·Å, …

    Raises DataError for densities of other cells, points or atoms, and for what is no Density.
    """
    for each in (predicted, reference):
        if not isinstance(each, Density):
            raise DataError(f"{type(each).__name__} is not a Density; read a file by edframe.read(file) first")

    import torch

    from edframe.metrics.standard import standard

    for name, a, b in (
        ("cells", predicted.grid.vectors, reference.grid.vectors),
        ("atoms", _places(predicted), _places(reference)),
    ):
        if a.shape != b.shape or not np.allclose(a, b, atol=1e-3):
            raise DataError(f"the densities have different {name}; compare densities of one structure")
    if predicted.grid.shape != reference.grid.shape:
        sizes = " and ".join("×".join(map(str, density.grid.shape)) for density in (predicted, reference))
        raise DataError(
            f"the densities lie on {sizes} points; predict on the points of the reference, by grid=reference.grid.shape"
        )
    tensors = [torch.from_numpy(density.total[None, None]) for density in (predicted, reference)]
    positions = torch.from_numpy(np.asarray(reference.structure.cart_coords))[None]
    electrons = torch.tensor([reference.electrons])
    values = standard(tensors[0], tensors[1], reference.grid, positions, electrons)
    errors = {name: float(value) for name, value in values.items()}
    if not reference.isolated:
        errors.pop("dipole_error")  # of a crystal it is not defined
    return errors


def _places(density: Density) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Species and positions ``[atom, 4]``, in the cell."""
    structure = density.structure
    numbers = np.array([site.specie.Z for site in structure], dtype=float)
    inside = (structure.frac_coords + 1e-6) % 1.0
    return np.column_stack([numbers, inside @ structure.lattice.matrix])
