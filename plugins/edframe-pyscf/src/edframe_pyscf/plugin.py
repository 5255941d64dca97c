"""Datasets of edframe-pyscf. Light: the DFT code is imported when a dataset is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, hookimpl


class LiOLiConfig(ComponentConfig):
    """Options of the dataset ``li-o-li``."""

    grid: int = Field(48, ge=8, le=256)
    """Points per axis of the 7.2 Å cube; 48 gives voxels of 0.15 Å, fewer than 32 do not resolve Li's 1s shell."""
    samples: int = Field(625, ge=8, le=625)
    """Number of configurations, spread evenly over the 625."""
    source: Literal["shipped", "recomputed"] = "shipped"
    """Density matrices in the package, or those of `edframe data build li-o-li --recompute` on this machine."""


PYSCF = """@article{Sun2020,
  author = {Sun, Qiming and others},
  title = {Recent developments in the {PySCF} program package},
  journal = {J. Chem. Phys.},
  volume = {153},
  pages = {024109},
  year = {2020},
  doi = {10.1063/5.0006074}
}"""

PBE = """@article{Perdew1996,
  author = {Perdew, John P. and Burke, Kieron and Ernzerhof, Matthias},
  title = {Generalized Gradient Approximation Made Simple},
  journal = {Phys. Rev. Lett.},
  volume = {77},
  pages = {3865--3868},
  year = {1996},
  doi = {10.1103/PhysRevLett.77.3865}
}"""

GTH = """@article{Goedecker1996,
  author = {Goedecker, S. and Teter, M. and Hutter, J.},
  title = {Separable dual-space {Gaussian} pseudopotentials},
  journal = {Phys. Rev. B},
  volume = {54},
  pages = {1703--1710},
  year = {1996},
  doi = {10.1103/PhysRevB.54.1703}
}"""


@hookimpl
def edframe_datasets() -> Iterable[Component]:
    return [
        Component(
            kind="dataset",
            name="li-o-li",
            summary="625 bent and stretched Li–O–Li, PBE/GTH valence densities (a reconstruction of a 2018 set)",
            config=LiOLiConfig,
            factory="edframe_pyscf.li_o_li:LiOLi",
            api=1,
            references=(PYSCF, PBE, GTH),
        )
    ]
