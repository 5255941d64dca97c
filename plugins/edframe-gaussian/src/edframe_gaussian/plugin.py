"""What this distribution offers, and its options. Light: no torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from edframe.plugin import Among, Component, ComponentConfig, Search, hookimpl


def _all_different(widths: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(widths)) < len(widths):
        raise ValueError(f"the widths must differ from each other: {', '.join(map(str, widths))} Å")
    return widths


Widths = Annotated[tuple[Annotated[float, Field(gt=0, le=2)], ...], AfterValidator(_all_different)]

BROCKHERDE_2017 = """@article{brockherde2017,
  author  = {Brockherde, Felix and Vogt, Leslie and Li, Li and Tuckerman, Mark E. and Burke, Kieron and M{\\"u}ller, Klaus-Robert},
  title   = {Bypassing the {Kohn-Sham} equations with machine learning},
  journal = {Nature Communications},
  volume  = {8},
  pages   = {872},
  year    = {2017},
  doi     = {10.1038/s41467-017-00839-3}
}"""  # noqa: E501
GOEDECKER_1996 = """@article{goedecker1996,
  author  = {Goedecker, S. and Teter, M. and Hutter, J.},
  title   = {Separable dual-space {Gaussian} pseudopotentials},
  journal = {Physical Review B},
  volume  = {54},
  pages   = {1703--1710},
  year    = {1996},
  doi     = {10.1103/PhysRevB.54.1703}
}"""
LEHTOLA_2020 = """@article{lehtola2020,
  author  = {Lehtola, Susi},
  title   = {Fully numerical calculations on atoms with fractional occupations and range-separated exchange functionals},
  journal = {Physical Review A},
  volume  = {101},
  pages   = {012516},
  year    = {2020},
  doi     = {10.1103/PhysRevA.101.012516}
}"""  # noqa: E501
PYSCF_2020 = """@article{sun2020,
  author  = {Sun, Qiming and others},
  title   = {Recent developments in the {PySCF} program package},
  journal = {The Journal of Chemical Physics},
  volume  = {153},
  pages   = {024109},
  year    = {2020},
  doi     = {10.1063/5.0006074}
}"""


class GaussianConfig(ComponentConfig):
    """Options of the featurizer ``gaussian``."""

    channels: Literal["per_species", "per_atom"] = "per_species"
    """Whose channel a Gaussian is added to: that of its chemical element (carries over to other structures), or
    that of its atom, in the structure's order (as in the study of 2018; sizes the model to max_atoms)."""

    widths: Widths = Field((0.25, 0.5), min_length=1)
    """Standard deviations of the Gaussians in Å, each in (0, 2]; one channel per element or atom and width."""

    search: ClassVar[Search] = {"widths": Among(((0.25,), (0.5,), (0.25, 0.5), (0.15, 0.3, 0.6), (0.25, 0.5, 1.0)))}


class SADConfig(ComponentConfig):
    """Options of the featurizer ``sad``."""

    widths: Widths = (0.5,)
    """Standard deviations in Å, each in (0, 2], of Gaussians that accompany the densities: one further channel per
    element and width. They reach where a density is steep or has a hole. Empty for densities alone."""

    search: ClassVar[Search] = {"widths": Among(((), (0.3,), (0.5,), (0.25, 0.5), (0.5, 1.0)))}


class AtomsConfig(ComponentConfig):
    """Options of the featurizer ``atoms``."""

    widths: Widths = (0.5,)
    """Standard deviations in Å, each in (0, 2], of Gaussians that accompany the densities: one further channel per
    element and width. They reach where a density is steep or has a hole. Empty for densities alone."""

    search: ClassVar[Search] = {"widths": Among(((), (0.3,), (0.5,), (0.25, 0.5), (0.5, 1.0)))}


@hookimpl
def edframe_featurizers() -> Iterable[Component]:
    """Gaussians on the atoms, and superposed atomic densities."""
    return [
        Component(
            kind="featurizer",
            name="gaussian",
            summary="one Gaussian per atom, as high as its core charge; no baseline",
            config=GaussianConfig,
            factory="edframe_gaussian.gaussian:GaussianFeaturizer",
            api=1,
            references=(BROCKHERDE_2017,),
        ),
        Component(
            kind="featurizer",
            name="atoms",
            summary="superposed atoms fitted to the training densities, per element and as the baseline to correct",
            config=AtomsConfig,
            factory="edframe_gaussian.fitted:AtomsFeaturizer",
            api=1,
        ),
        Component(
            kind="featurizer",
            name="sad",
            summary="superposed atomic densities (H to Ar), per element and as the baseline to correct",
            config=SADConfig,
            factory="edframe_gaussian.sad:SADFeaturizer",
            api=1,
            references=(GOEDECKER_1996, LEHTOLA_2020, PYSCF_2020),
        ),
    ]
