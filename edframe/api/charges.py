"""Electrons of each atom: a density divided among the atoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edframe.api.bader import bader
from edframe.errors import DataError, RunError
from edframe.grid import Grid

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.interfaces import Featurizer

Method = Literal["voronoi", "hirshfeld", "bader"]
Field = NDArray[np.float64]


def divided(
    total: Field, grid: Grid, structure: Structure, method: Method, atoms_of: str | Path | None = None
) -> Field:
    """Electrons of each atom, ``[atom]``, of a density ``[x, y, z]`` in e/Å³; see ``Density.electrons_of_atoms``."""
    if method not in get_args(Method):
        raise DataError(f"there is no method '{method}'; choose {', '.join(get_args(Method))}")
    if method == "hirshfeld":
        return hirshfeld(total, grid, structure, atoms_of)
    if atoms_of is not None:
        raise DataError(f"the method '{method}' needs no atoms of a run; leave them out, or choose hirshfeld")
    return bader(total, grid, structure) if method == "bader" else voronoi(total, grid, structure)


def voronoi(total: Field, grid: Grid, structure: Structure) -> Field:
    """Electrons nearest to each atom, ``[atom]``."""
    import torch

    from edframe.metrics.basins import basin_electrons

    positions = torch.from_numpy(np.asarray(structure.cart_coords))
    return np.asarray(basin_electrons(torch.from_numpy(total), grid, positions).numpy())


def hirshfeld(total: Field, grid: Grid, structure: Structure, atoms_of: str | Path | None = None) -> Field:
    """Each point shared in proportion to the free atoms there, ``[atom]`` (Hirshfeld, Theor. Chim. Acta 44, 129, 1977).

    The free atoms are those of the featurizer ``sad`` (PBE, GTH), or with ``atoms_of``, a run directory, those that its
    featurizer ``atoms`` was fitted to. Where no atom reaches, a point belongs to the nearest one. Raises DataError
    where an element has no atom, RunError where the run has no fitted atoms.
    """
    import torch

    from edframe.metrics.basins import basin_electrons

    species, free = _fitted(atoms_of) if atoms_of is not None else _free(structure)
    channels = free([structure], grid, "cpu").channels[0, : len(species)]
    together = channels.sum(0).double().numpy()
    reached = together > 1e-10 * together.max()
    shared = np.divide(total, together, out=np.zeros_like(together), where=reached)
    beyond = torch.from_numpy(np.where(reached, 0.0, total))
    electrons = basin_electrons(beyond, grid, torch.from_numpy(np.asarray(structure.cart_coords))).numpy()
    for number, site in enumerate(structure):
        alone = structure.__class__(structure.lattice, [site.specie], [site.frac_coords])
        atom = free([alone], grid, "cpu").channels[0, species.index(site.specie.symbol)].double().numpy()
        electrons[number] += float((atom * shared).sum()) * grid.voxel_volume
    return np.asarray(electrons)


def _free(structure: Structure) -> tuple[tuple[str, ...], Featurizer]:
    """The featurizer ``sad``, whose first channels are the free atoms of these species."""
    from edframe.contract.registry import Registry
    from edframe.interfaces import Contents

    species = tuple(sorted({site.specie.symbol for site in structure}))
    component = Registry.discover().get("featurizer", "sad")
    return species, component.load()(component.config(), Contents(species, 1))


def _fitted(path: str | Path) -> tuple[tuple[str, ...], Featurizer]:
    """The featurizer ``atoms`` of a run, whose first channels are the fitted atoms of its species."""
    import json

    from edframe.config.resolve import resolve
    from edframe.contract.registry import Registry
    from edframe.interfaces import Contents
    from edframe.runs.directory import Run
    from edframe.train.checkpoint import BEST
    from edframe.train.featurizer import restore_featurizer

    run, registry = Run.open(Path(path).expanduser()), Registry.discover()
    experiment, _ = resolve(registry, run.path / "config.yaml")
    if experiment.featurizer.name != "atoms":
        raise RunError(
            f"{run.path} has no fitted atoms: its featurizer is '{experiment.featurizer.name}'; choose a run with the "
            "featurizer 'atoms'"
        )
    facts = json.loads(run.header(BEST)["contents"])
    contents = Contents(**{**facts, "species": tuple(facts["species"])})
    featurizer: Featurizer = experiment.featurizer.make(registry, contents)
    restore_featurizer(featurizer, run)
    return contents.species, featurizer
