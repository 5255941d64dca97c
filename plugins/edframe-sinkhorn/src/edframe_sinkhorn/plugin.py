"""Records and options of the plugin. Light: no torch."""

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, hookimpl

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


TOLERANCE = 1e-3
"""Default marginal error to stop at, of the loss and of ``sinkhorn_divergence``."""

MAX_ITERATIONS = 300
"""Default bound of the iterations on each grid, of both."""


class SinkhornConfig(ComponentConfig):
    """Options of the loss ``sinkhorn``."""

    blur: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Length in Å below which transport is smoothed; the entropic regularisation is blur². Default: the largest
    spacing of the grid (one voxel). Smaller is slower and gains nothing; twice as large underrates changes of width."""

    tolerance: float = Field(default=TOLERANCE, gt=0, lt=1)
    """Marginal error (dimensionless fraction of the electrons, between 0 and 2) at which the iterations stop."""

    max_iterations: int = Field(default=MAX_ITERATIONS, gt=0)
    """Largest number of iterations (a count) on the grid itself and on each of its coarsenings. What has not
    converged by then is reported as the diagnostic marginal_error."""


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
            references=(CUTURI, FEYDY),
        )
    ]
