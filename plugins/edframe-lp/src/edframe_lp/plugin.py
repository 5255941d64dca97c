"""Records of the plugin. Light: no torch."""

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, hookimpl

HUBER = """@article{huber1964,
  author = {Huber, Peter J.},
  title = {Robust Estimation of a Location Parameter},
  journal = {The Annals of Mathematical Statistics},
  volume = {35},
  number = {1},
  pages = {73--101},
  year = {1964},
  doi = {10.1214/aoms/1177703732}
}"""


class LpConfig(ComponentConfig):
    """The losses ``l1`` and ``l2`` have no options."""


class SmoothL1Config(ComponentConfig):
    """Options of the loss ``smooth-l1``."""

    beta: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    """Error in e/Å^d below which the loss is quadratic, and above which it is linear."""


@hookimpl
def edframe_losses() -> list[Component]:
    """The losses ``l1``, ``l2`` and ``smooth-l1``."""
    return [
        Component(
            kind="loss",
            name="l1",
            summary="absolute error per electron: the fraction of the electrons that is misplaced (NMAE)",
            config=LpConfig,
            factory="edframe_lp.loss:L1Loss",
            api=1,
        ),
        Component(
            kind="loss",
            name="l2",
            summary="squared error per electron",
            config=LpConfig,
            factory="edframe_lp.loss:L2Loss",
            api=1,
        ),
        Component(
            kind="loss",
            name="smooth-l1",
            summary="absolute error per electron, quadratic where it is small",
            config=SmoothL1Config,
            factory="edframe_lp.loss:SmoothL1Loss",
            api=1,
            references=(HUBER,),
        ),
    ]
