"""Datasets of edframe-pyscf. Light: the DFT code is imported when a dataset is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field, PositiveInt

from edframe.plugin import Component, ComponentConfig, hookimpl
from edframe_pyscf.options_clusters import CrystalsConfig, Li2OClustersConfig
from edframe_pyscf.references import GTH, LI_2025, MD17, MOLOPT, PBE, PYSCF, QM9_GEOMETRIES

LevelName = Literal["pbe-dzvp", "pbe-tzv2p-200", "pbe-tzv2p-quick", "pbe-dzvp-molopt"]
"""Names of ``edframe_pyscf.levels.LEVELS``."""


class LiOLiConfig(ComponentConfig):
    """Options of the dataset ``li-o-li``."""

    grid: int = Field(48, ge=8, le=256)
    """Points per axis of the 7.2 Å cube; 48 gives voxels of 0.15 Å, fewer than 32 do not resolve Li's 1s shell."""
    dimension: Literal[2, 3] = 3
    """3: the density. 2: its cut through the plane of the atoms, as that of a slab 1 Å thick, in e/Å²."""
    samples: int = Field(625, ge=8, le=625)
    """Number of configurations, spread evenly over the 625."""
    source: Literal["shipped", "recomputed"] = "shipped"
    """Density matrices in the package, or those of `edframe data build li-o-li --recompute` on this machine."""


class MoleculesConfig(ComponentConfig):
    """Options of the dataset ``molecules``."""

    file: str = "geometries.xyz"
    """File of geometries, xyz or extended xyz; comment lines may give Lattice, charge and multiplicity."""
    level: LevelName = "pbe-dzvp"
    """Basis and mesh, all PBE with GTH pseudopotentials: up to Ar, pbe-dzvp-molopt up to Rn."""
    voxel: float = Field(0.15, ge=0.02, le=1)
    """Distance of grid points, Å; where the file gives a Lattice, their largest."""
    margin: float = Field(3.0, ge=1, le=20)
    """Vacuum on every side of a molecule, Å, before its box is rounded up to multiples of 8 voxels."""
    samples: int | None = Field(None, ge=1)
    """Number of geometries, spread evenly over the file; null: all."""
    together: PositiveInt | None = None
    """Number of successive geometries that are never split between training and test, as frames of a trajectory must
    not be; null: each alone."""


class QM9Config(ComponentConfig):
    """Options of the dataset ``qm9-li2025``."""

    file: str = "qm9.xyz"
    """File of geometries, xyz or extended xyz."""
    samples: int | None = Field(None, ge=1)
    """Number of geometries, spread evenly over the file; null: all."""


class HCNOFConfig(ComponentConfig):
    """Options of the dataset ``molecules-hcnof``."""

    samples: int | None = Field(None, ge=1)
    """Number of molecules, the first ones of the list; null: all."""


class EthanolConfig(ComponentConfig):
    """Options of the dataset ``md-ethanol``."""

    file: str = "ethanol.xyz"
    """File of geometries of ethanol, xyz or extended xyz."""
    level: LevelName = "pbe-dzvp"
    """Basis and mesh, all PBE with GTH pseudopotentials."""
    voxel: float = Field(0.15, ge=0.02, le=0.5)
    """Distance of grid points, Å; 0.15 gives 72 along each side of the box of 10.8 Å."""
    samples: int | None = Field(None, ge=1)
    """Number of geometries, spread evenly over the file; null: all."""
    together: PositiveInt | None = None
    """Number of successive geometries that are never split between training and test, as frames of a trajectory must
    not be; null: each alone."""


def _dataset(
    name: str,
    summary: str,
    config: type[ComponentConfig],
    factory: str,
    references: tuple[str, ...] = (),
    featurizer: str = "",
    settings: Mapping[str, object] | None = None,
) -> Component:
    return Component(
        kind="dataset",
        name=name,
        summary=summary,
        config=config,
        factory=f"edframe_pyscf.{factory}",
        api=1,
        references=(PYSCF, PBE, GTH, *references),
        featurizer=featurizer,
        settings=settings or {},
    )


@hookimpl
def edframe_datasets() -> Iterable[Component]:
    return [
        _dataset(
            "li-o-li",
            "625 bent and stretched Li–O–Li, PBE/GTH valence densities (a reconstruction of a 2018 set)",
            LiOLiConfig,
            "li_o_li:LiOLi",
            featurizer="local",
            settings={"featurizer.base": "sad", "training.steps": 200},
        ),
        _dataset(
            "molecules",
            "molecules from an xyz file, labelled by PySCF: PBE/GTH valence densities",
            MoleculesConfig,
            "molecules:Molecules",
        ),
        _dataset(
            "qm9-li2025",
            "molecules of QM9 from an xyz file, labelled by the protocol of Li et al. 2025",
            QM9Config,
            "qm9:QM9",
            (QM9_GEOMETRIES, LI_2025),
            featurizer="sad",
        ),
        _dataset(
            "molecules-hcnof",
            "600 molecules of H, C, N, O and F of up to seven heavy atoms, at the level of qm9-li2025",
            HCNOFConfig,
            "hcnof:HCNOF",
            (LI_2025,),
            featurizer="sad",
        ),
        _dataset(
            "md-ethanol",
            "frames of ethanol from an xyz file, all in one box of 10.8 Å, labelled by PySCF",
            EthanolConfig,
            "ethanol:Ethanol",
            (MD17,),
            featurizer="sad",
        ),
        _dataset(
            "crystals",
            "small cells from CIF and POSCAR files, labelled by PySCF with k-points",
            CrystalsConfig,
            "crystals:Crystals",
            (MOLOPT,),
        ),
        _dataset(
            "li2o-clusters",
            "clusters of 1 to 4 Li2O at the level of li-o-li: larger systems for models trained on it",
            Li2OClustersConfig,
            "clusters:Li2OClusters",
            featurizer="sad",
        ),
    ]
