"""What this distribution offers, and its options. Light: no torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, Range, Search, hookimpl

HOFFMANN_1963 = """@article{hoffmann1963,
  author  = {Hoffmann, Roald},
  title   = {An extended {H{\\"u}ckel} theory. {I}. {Hydrocarbons}},
  journal = {The Journal of Chemical Physics},
  volume  = {39},
  pages   = {1397--1412},
  year    = {1963},
  doi     = {10.1063/1.1734456}
}"""
ELSTNER_1998 = """@article{elstner1998,
  author  = {Elstner, M. and Porezag, D. and Jungnickel, G. and Elsner, J. and Haugk, M. and Frauenheim, Th. and
             Suhai, S. and Seifert, G.},
  title   = {Self-consistent-charge density-functional tight-binding method for simulations of complex materials
             properties},
  journal = {Physical Review B},
  volume  = {58},
  pages   = {7260--7268},
  year    = {1998},
  doi     = {10.1103/PhysRevB.58.7260}
}"""


class OrbitalsConfig(ComponentConfig):
    """Options of the featurizer ``orbitals``."""

    orbital_steps: int = Field(400, ge=1)
    """Steps by which the Hamiltonian and its orbitals are fitted to the densities."""
    orbital_samples: int = Field(160, ge=1)
    """Training samples, at most, that they are fitted to."""
    orbital_points: int = Field(300, ge=10)
    """Points of each of them, about."""
    table: int = Field(450_000, ge=100)
    """Grid points, about, that the network is trained on, of all training samples together."""
    steps: int = Field(2000, ge=1)
    """Training steps of the network."""
    width: int = Field(128, ge=1)
    """Units in each of its layers."""
    layers: int = Field(3, ge=1)
    """Its hidden layers."""
    members: int = Field(1, ge=1)
    """Networks on the same orbitals, whose mean corrects the density."""
    batch: int = Field(2048, ge=1)
    """Points of each step."""
    rate: float = Field(5e-3, gt=0)
    """Largest learning rate."""
    interpolation: float = Field(1e-3, ge=0)
    """Part of the electrons that may change, in sum over all points, where the density is interpolated from every
    second point of a fine grid; else every point is evaluated."""

    search: ClassVar[Search] = {"rate": Range(1e-3, 2e-2, log=True)}


@hookimpl
def edframe_featurizers() -> Iterable[Component]:
    """Molecular orbitals, corrected."""
    return [
        Component(
            kind="featurizer",
            name="orbitals",
            summary="molecular orbitals of a small Hamiltonian fitted to the data, corrected by a network per point",
            config=OrbitalsConfig,
            factory="edframe_orbitals.featurizer:OrbitalsFeaturizer",
            api=1,
            references=(HOFFMANN_1963, ELSTNER_1998),
        )
    ]
