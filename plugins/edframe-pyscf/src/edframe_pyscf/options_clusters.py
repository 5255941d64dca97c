"""Options of the datasets ``crystals`` and ``li2o-clusters``. Light: no DFT code is imported here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from edframe.plugin import ComponentConfig, Patterns


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


def _in_order(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(sizes)))


class CrystalsConfig(ComponentConfig):
    """Options of the dataset ``crystals``."""

    files: Patterns = ("*",)
    """Patterns of files, with ~, * and **; of what they match, CIF and POSCAR files and folders with a POSCAR are
    taken."""
    level: Literal["pbe-dzvp", "pbe-tzv2p-200", "pbe-tzv2p-quick", "pbe-dzvp-molopt"] = "pbe-dzvp-molopt"
    """Basis and mesh, all PBE with GTH pseudopotentials: pbe-dzvp-molopt up to Rn, the others up to Ar."""
    kspacing: float = Field(0.5, gt=0, le=10)
    """Largest distance of k-points along each reciprocal vector, 1/Å, 2π included: VASP's KSPACING, centred on Γ."""
    voxel: float = Field(0.15, ge=0.02, le=1)
    """Largest distance of grid points along each lattice vector, Å."""
    max_atoms: int = Field(16, ge=1)
    """Atoms in the largest cell that is computed; a larger one is left out and listed."""


class Li2OClustersConfig(ComponentConfig):
    """Options of the dataset ``li2o-clusters``."""

    sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4)], ...],
        BeforeValidator(_as_list),
        AfterValidator(_in_order),
        Field(min_length=1),
    ] = (1, 2, 3, 4)
    """Numbers of Li2O units in a cluster, of 1 to 4."""
    samples: int = Field(12, ge=1, le=12)
    """Configurations of each size: the relaxed one, then displaced ones."""
    voxel: float = Field(0.15, ge=0.05, le=0.225)
    """Largest distance of grid points, Å; coarser ones do not resolve Li's 1s shell."""
    source: Literal["shipped", "recomputed"] = "shipped"
    """Density matrices in the package, or SCF calculations on this machine when the dataset is built."""
