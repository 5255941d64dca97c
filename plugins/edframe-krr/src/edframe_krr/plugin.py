"""The model of edframe-krr. Light: torch is imported when the model is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, hookimpl

Positive = Annotated[float, Field(gt=0)]


class KRRConfig(ComponentConfig):
    """Options of the model ``krr``."""

    potential_cutoff: float = Field(12.0, gt=0)
    """Largest wave vector |G| in 1/Å that the distances of channels are summed over (Parseval)."""
    density_cutoff: float | None = Field(None, gt=0)
    """Largest wave vector |G| in 1/Å of the density's Fourier basis; null: all that the grid holds."""
    components: int | None = Field(None, ge=1)
    """Principal components, at most, that the coefficients of the density are reduced to; null: all are learnt."""
    widths: tuple[Positive, ...] = Field((0.5, 1, 2, 4, 8, 16, 32, 64), min_length=1)
    """Widths σ of the kernel exp(−d²/2σ²) to choose from, over the median distance of the training samples."""
    regularisations: tuple[Positive, ...] = Field((1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2), min_length=1)
    """Regularisations λ to choose from; the kernel of a sample with itself is 1."""
    folds: int = Field(5, ge=2)
    """Parts of the training samples, in their order, that are held out in turn to choose width and regularisation."""


BROCKHERDE_2017 = """@article{brockherde2017,
  author  = {Brockherde, Felix and Vogt, Leslie and Li, Li and Tuckerman, Mark E. and Burke, Kieron and M{\\"u}ller, Klaus-Robert},
  title   = {Bypassing the {Kohn-Sham} equations with machine learning},
  journal = {Nature Communications},
  volume  = {8},
  pages   = {872},
  year    = {2017},
  doi     = {10.1038/s41467-017-00839-3}
}"""  # noqa: E501


@hookimpl
def edframe_models() -> Iterable[Component]:
    """Kernel ridge regression."""
    return [
        Component(
            kind="model",
            name="krr",
            summary="kernel ridge regression from the channels to Fourier coefficients of the density, in closed form",
            config=KRRConfig,
            factory="edframe_krr.model:KRR",
            api=1,
            references=(BROCKHERDE_2017,),
        )
    ]
