"""Record and options of the plugin. Light: no torch, no geomloss."""

from typing import ClassVar, Literal

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, Range, Search, hookimpl

FEYDY = """@inproceedings{feydy2019,
  author = {Feydy, Jean and S{\\'e}journ{\\'e}, Thibault and Vialard, Fran{\\c c}ois-Xavier and Amari, Shun-ichi and
            Trouv{\\'e}, Alain and Peyr{\\'e}, Gabriel},
  title = {Interpolating between Optimal Transport and {MMD} using {Sinkhorn} Divergences},
  booktitle = {Proceedings of the 22nd International Conference on Artificial Intelligence and Statistics},
  pages = {2681--2690},
  year = {2019}
}"""

Distance = Literal["sinkhorn", "energy", "gaussian", "laplacian"]

MAX_TENSORIZED = 5000
"""Points of which all pairs are held in memory: a matrix of 200 MB in double precision, and several of them."""


class GeomlossConfig(ComponentConfig):
    """Options of the loss ``geomloss``."""

    distance: Distance = "sinkhorn"
    """sinkhorn: the Sinkhorn divergence of transport, in Å². Others are kernel distances: energy with the kernel −r, in
    Å; gaussian with exp(−r²/(2 blur²)) and laplacian with exp(−r/blur), without unit. A choice, without unit."""

    blur: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Length in Å below which transport is smoothed, or width of the kernel. Default: the largest spacing of the grid
    for sinkhorn, 0.5 Å for gaussian and laplacian; energy has none."""

    scaling: float = Field(default=0.9, gt=0, lt=1)
    """Ratio of successive blurs (dimensionless) as sinkhorn goes down from the size of the cell, an iteration at each.
    Nearer to 1 is slower and more exact; nothing is iterated to convergence."""

    left_out: float = Field(default=1e-3, ge=0, lt=0.5)
    """Largest fraction (dimensionless) of the electrons of either density on points that are left out, the emptiest."""

    max_near_cut: float = Field(default=0.01, ge=0, le=1)
    """Largest fraction (dimensionless) of the reference's electrons within 0.5 Å of the plane where a periodic axis is
    cut open. A density with more, such as that of a crystal, is refused."""

    backend: Literal["auto", "tensorized", "online"] = "auto"
    """tensorized: all pairs in memory. online: pairs by KeOps, made for a GPU. auto: tensorized up to 5000 points;
    beyond, online on a GPU, and refused on a CPU. A choice, without unit."""

    search: ClassVar[Search] = {"scaling": Range(0.5, 0.95)}


@hookimpl
def edframe_losses() -> list[Component]:
    """The loss ``geomloss``."""
    return [
        Component(
            kind="loss",
            name="geomloss",
            summary="geomloss's SamplesLoss on the points that carry density: Sinkhorn, energy, Gaussian, Laplacian",
            config=GeomlossConfig,
            factory="edframe_geomloss.loss:GeomlossLoss",
            api=1,
            references=(FEYDY,),
        )
    ]
