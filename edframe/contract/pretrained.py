"""The record of a trained model that a distribution ships. Light: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """A trained model, made by ``edframe export``.

    name, version: the weights change with the version. summary: one line. source: where its files are, as
    ``package:folder`` or as an address that ends in ``/``, from which they are fetched once. files: path in the source
    → SHA-256 in hexadecimal; nothing is read before it agrees. species: symbols in order of atomic number. functional,
    pseudopotential, basis: the level of the densities that it was trained on; empty: not known. domain: one sentence on
    what it is for. licence: by its SPDX name. card: the Markdown of its model card, as ``package:file``.
    """

    name: str
    version: str
    summary: str
    source: str
    files: Mapping[str, str]
    species: tuple[str, ...]
    domain: str
    licence: str
    card: str
    functional: str = ""
    pseudopotential: str = ""
    basis: str = ""

    @property
    def remote(self) -> bool:
        """Whether its files are fetched from an address."""
        return "://" in self.source

    @property
    def level(self) -> str:
        """Functional, pseudopotential and basis, in words."""
        return ", ".join(filter(None, (self.functional, self.pseudopotential, self.basis))) or "not known"
