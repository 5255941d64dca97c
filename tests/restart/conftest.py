"""Inputs of pw.x, with pseudopotentials that are heads alone or those of Debian."""

from __future__ import annotations

from pathlib import Path

import pytest

SHIPPED = Path("/usr/share/espresso/pseudo")

PW = """&CONTROL calculation = 'scf', prefix='x' ! the prefix = 'y'
  outdir = './tmp/', pseudo_dir = '{pseudo}' /
&System
 {cell}, nat=2, ntyp=1, Ecutwfc={cutoff}, nosym=.true., noinv=.true.{more}
/
&electrons
 conv_thr = 1d-8
/
ATOMIC_SPECIES
Si 28.085 Si.pz-vbc.UPF
ATOMIC_POSITIONS crystal
Si 0.01 0.02 0.03
Si 0.25 0.27 0.24
K_POINTS {points}
{card}"""

HEAD = """<UPF version="2.0.1"><PP_INFO>made by hand</PP_INFO>
<PP_HEADER element="Si" pseudo_type="{kind}" functional=" SLA  PZ   NOGX NOGC" z_valence="4.000000000000e0"/></UPF>
"""


@pytest.fixture
def pw(tmp_path):
    """Writes ``si.in`` for two Si atoms, and the head of its pseudopotential; or uses that of Debian."""

    def write(
        cell="ibrav=2, A=5.43", card="", *, cutoff=8, points="gamma", more="", electrons="", kind="NC", real=False
    ):
        (tmp_path / "Si.pz-vbc.UPF").write_text(HEAD.format(kind=kind))
        words = {"cell": cell, "card": card, "cutoff": cutoff, "points": points, "more": more, "electrons": electrons}
        path = tmp_path / "si.in"
        path.write_text(PW.format(pseudo=SHIPPED if real else ".", **words))
        return path

    return write
