"""What this distribution offers, and its options. Light: files are read when the dataset is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, PositiveInt

from edframe.io.units import DensityUnit
from edframe.plugin import Component, ComponentConfig, Patterns, hookimpl


class CubeConfig(ComponentConfig):
    """Options of the dataset ``cube``."""

    files: Patterns = ("*",)
    """Patterns of files, with ~, * and **; of what they match, files named .cube, .cub or .xsf, plain or packed.
    What a pattern matches and edframe predicted is left out."""
    periodic: bool = True
    """Whether the box of a file repeats in space; without, atoms outside of it are an error."""
    electrons: float | None = Field(None, gt=0)
    """Number of electrons in every file; null: the integral of each, rounded where within 0.2% of a whole number."""
    unit: DensityUnit | None = None
    """Unit of the values; null: e/bohr³ in cubes, in XSF files the one that gives the right number of electrons."""
    quantity: Literal["density"] | None = None
    """density: files are densities whatever their titles say; of several fields, the first, or both spins."""
    together: PositiveInt | Literal["folder"] | None = None
    """Samples that are never split between training and test: folder: files of one folder; a number: that many of them,
    in order of their names; null: each alone."""
    spins: Literal[1, 2] = 1
    """1: the total density. 2: also the magnetisation, from two files of one spin each, or two fields in one."""


@hookimpl
def edframe_datasets() -> Iterable[Component]:
    return [
        Component(
            kind="dataset",
            name="cube",
            summary="densities in Gaussian cube or XSF files, of any code that writes them",
            config=CubeConfig,
            factory="edframe_cube.dataset:Cube",
            api=1,
        )
    ]
