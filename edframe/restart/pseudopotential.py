"""The head of a pseudopotential in UPF or GTH, which pw.x reads: its electrons, its functional, its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edframe.errors import DataError

FUNCTIONALS = {
    "sla pw pbe pbe": "pbe",
    "sla pw pbx pbc": "pbe",
    "sla pw psx psc": "pbesol",
    "sla pz nogx nogc": "lda",
    "sla pz": "lda",
    "pz": "lda",
    "sla pw nogx nogc": "lda-pw",
    "sla pw ggx ggc": "pw91",
    "b88 p86": "bp",
    "sla lyp b88 blyp": "blyp",
}
"""Short names of combinations that pw.x spells out."""

NUMBERED = {"1": "lda", "7": "lda-pw", "11": "pbe"}
"""By the number ``pspxc`` in the head of GTH, which is ABINIT's ``ixc``."""

HEAD = 1 << 18
"""Bytes of a file in which the head is looked for."""


@dataclass(frozen=True)
class Pseudopotential:
    """name: of the file. valence: electrons. functional: that it was made with. kind: NC, USPP or PAW."""

    name: str
    valence: float
    functional: str
    kind: str

    @classmethod
    def read(cls, path: Path) -> Pseudopotential:
        """Both versions of UPF, and GTH in a file ``.gth``. Raises DataError for a file that is not there, or is of
        another format."""
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(HEAD)
        except OSError as error:
            raise DataError(f"{path}: the pseudopotential cannot be read ({error.strerror or error})") from error
        given = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', (re.search(r"<PP_HEADER(.*?)>", text, re.S) or ["", ""])[1]))
        try:
            if path.suffix.lower() == ".gth":  # pw.x goes by it, too
                valence, functional = text.splitlines()[1].split()[1], text.splitlines()[2].split()[1]
                return cls(path.name, float(valence), NUMBERED.get(functional, f"pspxc {functional}"), "NC")
            if "z_valence" in given:
                kind = {"SL": "NC", "US": "USPP"}.get(given["pseudo_type"].strip(), given["pseudo_type"].strip())
                return cls(path.name, float(given["z_valence"]), short(given["functional"]), kind)
            lines = (re.search(r"<PP_HEADER>\s*\n(.*?)</PP_HEADER>", text, re.S) or ["", ""])[1].splitlines()
            kind = {"US": "USPP"}.get(lines[2].split()[0], lines[2].split()[0])
            return cls(path.name, float(lines[5].split()[0]), short(" ".join(lines[4].split()[:4])), kind)
        except (KeyError, IndexError, ValueError) as error:
            raise DataError(f"{path} is no pseudopotential in UPF or GTH; convert it by upfconv.x") from error


def short(functional: str) -> str:
    """A functional as pw.x spells it, in one word where it is a usual one: ``SLA PW PBX PBC`` → ``pbe``."""
    words = " ".join(functional.lower().replace("+", " ").replace("-", " ").split())
    return FUNCTIONALS.get(words, words)
