"""What this distribution offers, and its options. Light: a code is run when a dataset is built."""

from __future__ import annotations

from collections.abc import Iterable

from edframe.plugin import Component, ComponentConfig, Patterns, hookimpl

GIANNOZZI_2017 = """@article{giannozzi2017,
  author  = {Giannozzi, P. and others},
  title   = {Advanced capabilities for materials modelling with {Quantum ESPRESSO}},
  journal = {Journal of Physics: Condensed Matter},
  volume  = {29},
  pages   = {465901},
  year    = {2017},
  doi     = {10.1088/1361-648X/aa8f79}
}"""
GONZE_2020 = """@article{gonze2020,
  author  = {Gonze, Xavier and others},
  title   = {The {ABINIT} project: Impact, environment and recent developments},
  journal = {Computer Physics Communications},
  volume  = {248},
  pages   = {107042},
  year    = {2020},
  doi     = {10.1016/j.cpc.2019.107042}
}"""


class QeConfig(ComponentConfig):
    """Options of the dataset ``qe``."""

    inputs: Patterns = ("*.in",)
    """Patterns of input files of pw.x, with ~, * and **; each is one sample."""


class AbinitConfig(ComponentConfig):
    """Options of the dataset ``abinit``."""

    inputs: Patterns = ("*.abi",)
    """Patterns of input files of ABINIT, with ~, * and **; each is one sample."""


@hookimpl
def edframe_datasets() -> Iterable[Component]:
    return [
        Component(
            kind="dataset",
            name="qe",
            summary="densities computed by Quantum ESPRESSO from inputs of your own",
            config=QeConfig,
            factory="edframe_labels.dataset:Qe",
            api=1,
            references=(GIANNOZZI_2017,),
        ),
        Component(
            kind="dataset",
            name="abinit",
            summary="densities computed by ABINIT from inputs of your own",
            config=AbinitConfig,
            factory="edframe_labels.dataset:Abinit",
            api=1,
            references=(GONZE_2020,),
        ),
    ]
