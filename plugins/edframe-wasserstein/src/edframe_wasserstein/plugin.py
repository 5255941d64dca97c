"""Records and options of the plugin. Light: no torch, no NumPy, no POT."""

from typing import ClassVar

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, Range, Search, hookimpl

BONNEEL_2011 = """@article{bonneel2011,
  author = {Bonneel, Nicolas and van de Panne, Michiel and Paris, Sylvain and Heidrich, Wolfgang},
  title = {Displacement Interpolation Using {Lagrangian} Mass Transport},
  journal = {ACM Transactions on Graphics},
  volume = {30},
  number = {6},
  pages = {158:1--158:12},
  year = {2011},
  doi = {10.1145/2070781.2024192}
}"""

FLAMARY = """@article{flamary2021,
  author = {Flamary, R{\\'e}mi and Courty, Nicolas and Gramfort, Alexandre and Alaya, Mokhtar Z. and
            Boisbunon, Aur{\\'e}lie and Chambon, Stanislas and Chapel, Laetitia and Corenflos, Adrien and
            Fatras, Kilian and Fournier, Nemo and Gautheron, L{\\'e}o and Gayraud, Nathalie T. H. and Janati, Hicham and
            Rakotomamonjy, Alain and Redko, Ievgen and Rolet, Antoine and Schutz, Antony and Seguy, Vivien and
            Sutherland, Danica J. and Tavenard, Romain and Tong, Alexander and Vayer, Titouan},
  title = {{POT}: {Python} Optimal Transport},
  journal = {Journal of Machine Learning Research},
  volume = {22},
  number = {78},
  pages = {1--8},
  year = {2021}
}"""

BONNEEL_2015 = """@article{bonneel2015,
  author = {Bonneel, Nicolas and Rabin, Julien and Peyr{\\'e}, Gabriel and Pfister, Hanspeter},
  title = {Sliced and {Radon} {Wasserstein} Barycenters of Measures},
  journal = {Journal of Mathematical Imaging and Vision},
  volume = {51},
  number = {1},
  pages = {22--45},
  year = {2015},
  doi = {10.1007/s10851-014-0506-3}
}"""

MAX_POINTS = 2000
"""Default bound of the points of either density in an exact transport."""

DIRECTIONS = 30
"""Default number of directions to project on."""

MAX_NEAR_CUT = 0.01
"""Default bound of the electrons near the cut through a periodic axis."""


class WassersteinConfig(ComponentConfig):
    """Options of the loss ``wasserstein``."""

    max_points: int = Field(default=MAX_POINTS, ge=8, le=20000)
    """Largest number of points (a count) of either density. Densities are summed into blocks of voxels until they have
    no more; the length of the blocks in Å is reported as the diagnostic spacing. Time and memory grow with the square
    of this number and faster."""


class SlicedConfig(ComponentConfig):
    """Options of the loss ``sliced``."""

    directions: int = Field(default=DIRECTIONS, ge=1)
    """Number of directions (a count) to project on, rounded up to a multiple of the grid's dimension."""

    max_near_cut: float = Field(default=MAX_NEAR_CUT, ge=0, le=1)
    """Largest fraction (dimensionless) of the reference's electrons within 0.5 Å of the plane where a periodic axis is
    cut open. A density with more, such as that of a crystal, is refused."""

    search: ClassVar[Search] = {"directions": Range(9, 120, log=True)}


@hookimpl
def edframe_losses() -> list[Component]:
    """The losses ``wasserstein`` and ``sliced``."""
    return [
        Component(
            kind="loss",
            name="wasserstein",
            summary="exact optimal transport on a coarsened grid: a metric to check others by, not for training",
            config=WassersteinConfig,
            factory="edframe_wasserstein.loss:WassersteinLoss",
            api=1,
            references=(BONNEEL_2011, FLAMARY),
        ),
        Component(
            kind="loss",
            name="sliced",
            summary="sliced Wasserstein distance: mean over directions of exact transport between the projections",
            config=SlicedConfig,
            factory="edframe_wasserstein.loss:SlicedLoss",
            api=1,
            references=(BONNEEL_2015,),
        ),
    ]
