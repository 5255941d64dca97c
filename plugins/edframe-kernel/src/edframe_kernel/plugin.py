"""Records and options of the plugin. Light: no torch."""

from typing import ClassVar

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, Range, Search, hookimpl

KERKER = """@article{kerker1981,
  author = {Kerker, G. P.},
  title = {Efficient iteration scheme for self-consistent pseudopotential calculations},
  journal = {Physical Review B},
  volume = {23},
  number = {6},
  pages = {3082--3084},
  year = {1981},
  doi = {10.1103/PhysRevB.23.3082}
}"""

MARTYNA = """@article{martyna1999,
  author = {Martyna, Glenn J. and Tuckerman, Mark E.},
  title = {A reciprocal space based method for treating long range interactions in ab initio and force-field-based
           calculations in clusters},
  journal = {The Journal of Chemical Physics},
  volume = {110},
  number = {6},
  pages = {2810--2821},
  year = {1999},
  doi = {10.1063/1.477923}
}"""


GRETTON = """@article{gretton2012,
  author = {Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and
            Sch{\\"o}lkopf, Bernhard and Smola, Alexander},
  title = {A Kernel Two-Sample Test},
  journal = {Journal of Machine Learning Research},
  volume = {13},
  number = {25},
  pages = {723--773},
  year = {2012}
}"""

SZEKELY = """@article{szekely2013,
  author = {Sz{\\'e}kely, G{\\'a}bor J. and Rizzo, Maria L.},
  title = {Energy statistics: A class of statistics based on distances},
  journal = {Journal of Statistical Planning and Inference},
  volume = {143},
  number = {8},
  pages = {1249--1272},
  year = {2013},
  doi = {10.1016/j.jspi.2013.03.018}
}"""


class CoulombConfig(ComponentConfig):
    """The loss ``coulomb`` has no options."""


class LowGConfig(ComponentConfig):
    """Options of the loss ``low-g``."""

    below: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Largest |G| in Å⁻¹ of the waves that count; they are longer than 2π/below. The metric `low_g_error` of the report
    has 1 Å⁻¹."""


class MMDConfig(ComponentConfig):
    """Options of the loss ``mmd``."""

    blur: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Standard deviation σ in Å of the Gaussian kernel: errors that are closer cancel, those that are farther apart do
    not see each other."""

    search: ClassVar[Search] = {"blur": Range(0.1, 2.0, log=True)}


class EnergyConfig(ComponentConfig):
    """The loss ``energy`` has no options."""


@hookimpl
def edframe_losses() -> list[Component]:
    """The losses ``coulomb``, ``low-g``, ``mmd`` and ``energy``."""
    return [
        Component(
            kind="loss",
            name="coulomb",
            summary="electrostatic energy of the error per electron, to which a self-consistent field is sensitive",
            config=CoulombConfig,
            factory="edframe_kernel.coulomb:CoulombLoss",
            api=1,
            references=(MARTYNA,),
        ),
        Component(
            kind="loss",
            name="low-g",
            summary="the part of coulomb in long waves, which a self-consistent field is slow to mend",
            config=LowGConfig,
            factory="edframe_kernel.coulomb:LowGLoss",
            api=1,
            references=(KERKER, MARTYNA),
        ),
        Component(
            kind="loss",
            name="mmd",
            summary="maximum mean discrepancy with a Gaussian kernel: the error seen through a blur",
            config=MMDConfig,
            factory="edframe_kernel.distances:MMDLoss",
            api=1,
            references=(GRETTON,),
        ),
        Component(
            kind="loss",
            name="energy",
            summary="energy distance: how far electrons are misplaced, by the mean distances between them",
            config=EnergyConfig,
            factory="edframe_kernel.distances:EnergyLoss",
            api=1,
            references=(SZEKELY,),
        ),
    ]
