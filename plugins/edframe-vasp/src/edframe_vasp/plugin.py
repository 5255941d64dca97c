"""What this distribution offers, and its options. Light: files are read when a component is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, PositiveInt

from edframe.io.units import DensityUnit
from edframe.plugin import Component, ComponentConfig, Patterns, hookimpl

KRESSE_1996 = """@article{kresse1996,
  author  = {Kresse, G. and Furthm{\\"u}ller, J.},
  title   = {Efficient iterative schemes for ab initio total-energy calculations using a plane-wave basis set},
  journal = {Physical Review B},
  volume  = {54},
  pages   = {11169--11186},
  year    = {1996},
  doi     = {10.1103/PhysRevB.54.11169}
}"""
KRESSE_1999 = """@article{kresse1999,
  author  = {Kresse, G. and Joubert, D.},
  title   = {From ultrasoft pseudopotentials to the projector augmented-wave method},
  journal = {Physical Review B},
  volume  = {59},
  pages   = {1758--1775},
  year    = {1999},
  doi     = {10.1103/PhysRevB.59.1758}
}"""


class VaspConfig(ComponentConfig):
    """Options of the dataset ``vasp``."""

    files: Patterns = ("*",)
    """Patterns of folders and files, with ~, * and **; a folder means the CHGCAR in it, plain or packed.
    By default files of other names are passed over. What a pattern matches and edframe predicted is left out."""
    spins: Literal[1, 2] = 1
    """1: the total density. 2: also the magnetisation, which every file must then have (ISPIN = 2)."""
    unit: DensityUnit | None = None
    """Unit of the values; null: as VASP writes them, times volume."""
    together: PositiveInt | Literal["folder"] | None = None
    """Samples that are never split between training and test: folder: calculations that are in one folder; a number:
    that many of them, in order of their names; null: each alone."""


class VaspFieldConfig(ComponentConfig):
    """Options of the featurizer ``vasp-field``."""

    files: Patterns = ("*",)
    """Patterns of folders and files, with ~, * and **; a folder means the file in it that file names."""
    file: str = Field("LOCPOT", pattern=r"^(LOCPOT|AECCAR[012]|PARCHG[\w.-]*|CHG|CHGCAR)$")
    """Which file of a folder: LOCPOT, AECCAR0, AECCAR1, AECCAR2, PARCHG, …; one that is packed is found too."""
    scale: float = Field(1.0, gt=0)
    """What values are divided by, to be of order 1: in eV for a LOCPOT, in e/Å³ for all others."""


@hookimpl
def edframe_datasets() -> Iterable[Component]:
    return [
        Component(
            kind="dataset",
            name="vasp",
            summary="densities in CHGCAR files of VASP, from any folders",
            config=VaspConfig,
            factory="edframe_vasp.dataset:Vasp",
            api=1,
            references=(KRESSE_1996, KRESSE_1999),
        )
    ]


@hookimpl
def edframe_featurizers() -> Iterable[Component]:
    return [
        Component(
            kind="featurizer",
            name="vasp-field",
            summary="a field that VASP wrote for the same atoms, as one channel: LOCPOT, AECCAR, PARCHG",
            config=VaspFieldConfig,
            factory="edframe_vasp.field:VaspField",
            api=1,
            references=(KRESSE_1996, KRESSE_1999),
        )
    ]
