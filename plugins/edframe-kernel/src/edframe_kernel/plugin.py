"""Records and options of the plugin. Light: no torch."""

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, hookimpl

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


class CoulombConfig(ComponentConfig):
    """The loss ``coulomb`` has no options."""


class LowGConfig(ComponentConfig):
    """Options of the loss ``low-g``."""

    below: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Largest |G| in Å⁻¹ of the waves that count; they are longer than 2π/below. The metric `low_g_error` of the report
    has 1 Å⁻¹."""


@hookimpl
def edframe_losses() -> list[Component]:
    """The losses ``coulomb`` and ``low-g``."""
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
    ]
