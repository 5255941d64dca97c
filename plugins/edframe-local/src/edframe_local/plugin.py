"""What this distribution offers, and its options. Light: no torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edframe.plugin import Among, Component, ComponentConfig, OptionsOf, Range, Search, hookimpl

FOCASSIO_2023 = """@article{focassio2023,
  author  = {Focassio, Bruno and Domina, Michelangelo and Patil, Urvesh and Fazzio, Adalberto and Sanvito, Stefano},
  title   = {Linear {Jacobi-Legendre} expansion of the charge density for machine learning-accelerated electronic structure calculations},
  journal = {npj Computational Materials},
  volume  = {9},
  pages   = {87},
  year    = {2023},
  doi     = {10.1038/s41524-023-01053-0}
}"""  # noqa: E501
DRAUTZ_2019 = """@article{drautz2019,
  author  = {Drautz, Ralf},
  title   = {Atomic cluster expansion for accurate and transferable interatomic potentials},
  journal = {Physical Review B},
  volume  = {99},
  pages   = {014104},
  year    = {2019},
  doi     = {10.1103/PhysRevB.99.014104}
}"""


class LocalConfig(ComponentConfig):
    """Options of the featurizer ``local``."""

    base: str = "atoms"
    """Name of the featurizer, with its default options, whose baseline is corrected and whose channels come first."""
    cutoff: float = Field(6.0, gt=0)
    """Distance r_c in Å up to which an atom matters to a point."""
    pairs: int = Field(32, ge=1)
    """Radial functions of the terms of two bodies, a point and an atom, per species."""
    radial: int = Field(10, ge=1)
    """Radial functions of the terms of more bodies, per species."""
    angular: int = Field(6, ge=0, le=12)
    """Largest l of the terms of three bodies."""
    triples: int = Field(1000, ge=1)
    """Terms of three bodies, at most: those of the lowest degree n + n' + l of all species."""
    products: int = Field(600, ge=0)
    """Terms of four and more bodies, at most, likewise."""
    kinds: Literal["species", "electronegativity"] = "species"
    """What terms of three and more bodies tell apart: each species, or three kinds of atoms, which are hydrogen, all
    others, and these weighted by their electronegativity less that of carbon. For four species and more, where terms of
    each combination leave too few of high degree."""
    interpolation: float = Field(1e-4, ge=0)
    """Part of the electrons that may change, in sum over all points, where the correction is interpolated from every
    second point of a fine grid; else every point is evaluated. A twentieth of a model's error leaves it as it is."""
    points: int = Field(30_000, ge=100)
    """Grid points, about, that the coefficients are fitted to, of all training samples together; 4 bytes for each of
    the terms."""
    weight: Literal["l1", "relative", "l2"] = "l1"
    """What counts of an error e: its absolute value (the relative fit, reweighted once), e² over the base density, or
    e²."""
    folds: int = Field(5, ge=2)
    """Parts of the training samples, in their order, that are held out in turn to choose the regularisation."""
    loss: tuple[str, ...] = Field((), max_length=1)
    """Name of a loss by whose gradient, on whole grids, the fit continues; empty: it ends with the closed form."""
    loss_options: Annotated[dict[str, dict[str, Any]], OptionsOf("loss", named_in="loss")] = Field(default={})
    """Options of that loss, by its name."""
    loss_steps: int = Field(200, ge=1)
    """Steps by that loss, of one training sample each."""

    search: ClassVar[Search] = {"cutoff": Among((5.0, 5.5, 6.0)), "products": Among((0, 300, 600, 1200))}


class LocalNetworkConfig(LocalConfig):
    """Options of the featurizer ``local-network``."""

    steps: int = Field(8_000, ge=1)
    """Training steps of the network."""
    width: int = Field(192, ge=1)
    """Units in each of its layers."""
    layers: int = Field(3, ge=1)
    """Its hidden layers."""
    inputs: int = Field(640, ge=1)
    """Terms of three bodies that it sees, those of the lowest degree; it sees all of two."""
    table: int = Field(300_000, ge=100)
    """Grid points, about, that it is trained on, of all training samples together; some 3 kB of memory each."""
    batch: int = Field(2048, ge=1)
    """Points of each step."""
    rate: float = Field(5e-3, gt=0)
    """Largest learning rate."""

    search: ClassVar[Search] = {**LocalConfig.search, "rate": Range(1e-3, 2e-2, log=True)}


class BaselineConfig(ComponentConfig):
    """Options of the model ``baseline``: there are none."""


@hookimpl
def edframe_featurizers() -> Iterable[Component]:
    """The local model in closed form, and with a network per point."""
    return [
        Component(
            kind="featurizer",
            name="local",
            summary="a baseline corrected by what surrounds each point, in closed form from the training samples",
            config=LocalConfig,
            factory="edframe_local.local:LocalFeaturizer",
            api=1,
            references=(FOCASSIO_2023, DRAUTZ_2019),
        ),
        Component(
            kind="featurizer",
            name="local-network",
            summary="local, corrected by a small network per point that is trained on the same invariants",
            config=LocalNetworkConfig,
            factory="edframe_local.local_network:LocalNetworkFeaturizer",
            api=1,
            references=(FOCASSIO_2023, DRAUTZ_2019),
        ),
    ]


@hookimpl
def edframe_models() -> Iterable[Component]:
    """The baseline itself."""
    return [
        Component(
            kind="model",
            name="baseline",
            summary="the featurizer's baseline, never negative and with the right electrons; nothing is learnt",
            config=BaselineConfig,
            factory="edframe_local.baseline:Baseline",
            api=1,
        )
    ]
