"""Electrons of each atom: a density divided among the atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edframe.errors import DataError
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

Method = Literal["voronoi", "hirshfeld", "bader"]
Field = NDArray[np.float64]


def divided(total: Field, grid: Grid, structure: Structure, method: Method) -> Field:
    """Electrons of each atom, ``[atom]``, of a density ``[x, y, z]`` in e/Å³; see ``Density.electrons_of_atoms``."""
    if method not in get_args(Method):
        raise DataError(f"there is no method '{method}'; choose {', '.join(get_args(Method))}")
    return {"voronoi": voronoi, "hirshfeld": hirshfeld, "bader": bader}[method](total, grid, structure)


def voronoi(total: Field, grid: Grid, structure: Structure) -> Field:
    """Electrons nearest to each atom, ``[atom]``."""
    import torch

    from edframe.metrics.basins import basin_electrons

    positions = torch.from_numpy(np.asarray(structure.cart_coords))
    return np.asarray(basin_electrons(torch.from_numpy(total), grid, positions).numpy())


def hirshfeld(total: Field, grid: Grid, structure: Structure) -> Field:
    """Each point shared in proportion to the free atoms there, ``[atom]`` (Hirshfeld, Theor. Chim. Acta 44, 129, 1977).

    The free atoms are those of the featurizer ``sad`` (PBE, GTH), of which only the shape counts. Where no atom
    reaches, a point belongs to the nearest one. Raises DataError where ``sad`` is not installed or lacks an element.
    """
    import torch

    from edframe.contract.registry import Registry
    from edframe.interfaces import Contents
    from edframe.metrics.basins import basin_electrons

    species = tuple(sorted({site.specie.symbol for site in structure}))
    component = Registry.discover().get("featurizer", "sad")
    free = component.load()(component.config(), Contents(species, 1))
    atoms = []
    for site in structure:
        alone = structure.__class__(structure.lattice, [site.specie], [site.frac_coords])
        channel = species.index(site.specie.symbol)
        atoms.append(free([alone], grid, "cpu").channels[0, channel].double().numpy())
    together = np.sum(atoms, axis=0)
    reached = together > 1e-10 * together.max()
    shared = np.divide(total, together, out=np.zeros_like(together), where=reached)
    beyond = torch.from_numpy(np.where(reached, 0.0, total))
    rest = basin_electrons(beyond, grid, torch.from_numpy(np.asarray(structure.cart_coords))).numpy()
    return np.asarray(np.array([float((atom * shared).sum()) for atom in atoms]) * grid.voxel_volume + rest)


def bader(total: Field, grid: Grid, structure: Structure) -> Field:
    """Basins of steepest ascent from grid point to grid point, ``[atom]``: every point climbs to its highest neighbour
    (by slope, of 26), until a maximum, which belongs to the nearest atom (Henkelman, Arnaldsson & Jónsson, Comput.
    Mater. Sci. 36, 354 (2006)).

    Maxima of a valence density may lie beside an atom, as around oxygen, whose shell has none at the nucleus.
    """
    shape = total.shape
    best = np.zeros(shape)
    target = np.arange(total.size).reshape(shape)
    own = target.copy()
    for step in np.ndindex(3, 3, 3):
        offset = np.array(step) - 1
        if not offset.any():
            continue
        length = float(np.linalg.norm(offset @ grid.voxel))
        shift = tuple(-offset)
        slope = (np.roll(total, shift, (0, 1, 2)) - total) / length
        better = slope > best
        best = np.where(better, slope, best)
        target = np.where(better, np.roll(own, shift, (0, 1, 2)), target)
    root = target.ravel()
    while True:  # each pass doubles the length of the climb
        further = root[root]
        if np.array_equal(further, root):
            break
        root = further
    maxima, basin = np.unique(root, return_inverse=True)
    held = np.bincount(basin, weights=total.ravel()) * grid.voxel_volume
    fractions = np.stack(np.unravel_index(maxima, shape), axis=-1) / np.array(shape)
    distances = structure.lattice.get_all_distances(fractions, structure.frac_coords)
    return np.asarray(np.bincount(distances.argmin(axis=1), weights=held, minlength=len(structure)), float)
