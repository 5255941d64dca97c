"""Records and options of the plugin. Light: no torch."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edframe.plugin import Among, Component, ComponentConfig, Search, hookimpl

CUTURI = """@inproceedings{cuturi2013,
  author = {Cuturi, Marco},
  title = {Sinkhorn Distances: Lightspeed Computation of Optimal Transport},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {26},
  year = {2013}
}"""

FEYDY = """@inproceedings{feydy2019,
  author = {Feydy, Jean and S{\\'e}journ{\\'e}, Thibault and Vialard, Fran{\\c{c}}ois-Xavier and Amari, Shun-ichi and
            Trouv{\\'e}, Alain and Peyr{\\'e}, Gabriel},
  title = {Interpolating between Optimal Transport and {MMD} using {Sinkhorn} Divergences},
  booktitle = {Proceedings of the 22nd International Conference on Artificial Intelligence and Statistics},
  series = {Proceedings of Machine Learning Research},
  volume = {89},
  pages = {2681--2690},
  year = {2019}
}"""


SEJOURNE = """@article{sejourne2019,
  author = {S{\\'e}journ{\\'e}, Thibault and Feydy, Jean and Vialard, Fran{\\c{c}}ois-Xavier and Trouv{\\'e}, Alain and
            Peyr{\\'e}, Gabriel},
  title = {Sinkhorn Divergences for Unbalanced Optimal Transport},
  journal = {arXiv:1910.12958},
  year = {2019}
}"""

Mass = Literal["normalise", "unbalanced"]
Scale = Literal["per_electron", "total"]
Backend = Literal["auto", "separable", "lines", "toeplitz", "keops"]

TOL = 1e-3
"""Default marginal error to stop at, of the loss and of ``sinkhorn_divergence``."""

MAX_ITERATIONS = 300
"""Default bound of the iterations on each grid, of both."""


class SinkhornConfig(ComponentConfig):
    """Options of the loss ``sinkhorn``."""

    blur: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Length in Å below which transport is smoothed; the entropic regularisation is blur². Default: the largest
    spacing of the grid (one voxel). Smaller is slower and gains nothing; twice as large underrates changes of width."""

    tol: float = Field(default=TOL, gt=0, lt=1)
    """Marginal error (dimensionless fraction of the electrons, between 0 and 2) at which the iterations stop."""

    max_iterations: int = Field(default=MAX_ITERATIONS, gt=0)
    """Largest number of iterations (a count) on the grid itself and on each of its coarsenings. What has not
    converged by then is counted, and reported at the end of the run."""

    reach: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Length in Å beyond which electrons are created and removed rather than moved: the marginals are held by a
    Kullback–Leibler penalty of weight reach². Default: electrons are only moved, however far."""

    mass: Mass = "normalise"
    """normalise: each density is divided by its own number of electrons. unbalanced: both by that of the reference, so
    that a wrong number of electrons counts; needs reach. A choice, without unit."""

    scale: Scale = "per_electron"
    """per_electron: Å². total: that times the electrons of the reference, e·Å². A choice, without unit."""

    debias: bool = True
    """Subtract the self transports, so that equal densities are at zero distance (yes or no). Without, the entropic
    cost alone: not zero at equality, and least for a prediction that is too narrow."""

    p: Literal[1, 2] = 2
    """Power of the distance that transport costs (dimensionless): 2 for half its square, 1 for the distance itself in
    Å, whose kernel takes all pairs of points."""

    backend: Backend = "auto"
    """How the kernel is applied. separable: right angles. lines: triclinic periodic cells. toeplitz: any cell, for
    small grids. keops: any cell, pairs of points on a GPU. auto: the first that is exact. A choice, without unit."""

    warm_start: bool = True
    """In training, store the potentials of each sample, and begin with them at its next visit (yes or no)."""

    # Not those that trade accuracy for time (tol, max_iterations): a trial is not charged for its time.
    search: ClassVar[Search] = {"blur": Among((None, 0.2, 0.3, 0.45)), "reach": Among((None, 1.0, 3.0))}

    @model_validator(mode="after")
    def _unbalanced_needs_reach(self) -> Self:
        if self.mass == "unbalanced" and self.reach is None:
            raise ValueError("mass 'unbalanced' needs a reach in Å: exact marginals have equal masses")
        return self


@hookimpl
def edframe_losses() -> list[Component]:
    """The loss ``sinkhorn``."""
    return [
        Component(
            kind="loss",
            name="sinkhorn",
            summary="debiased Sinkhorn divergence: half the mean squared distance electrons must move",
            config=SinkhornConfig,
            factory="edframe_sinkhorn.loss:SinkhornLoss",
            api=1,
            references=(CUTURI, FEYDY, SEJOURNE),
        )
    ]
