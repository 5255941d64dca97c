"""Densities as starts of the DFT codes that people run: what each code reads, and whether it read it.

| code   | what it reads                                | modules               |
|--------|----------------------------------------------|-----------------------|
| qe     | ``prefix.save/charge-density.dat``, ``.hdf5`` | ``espresso``          |
| abinit | ``…_DEN.nc``                                 | ``abinit``            |
| pyscf  | a density matrix, ``mf.kernel(dm0=…)``       | ``pyscf``, ``fock``   |
| vasp   | ``CHGCAR`` with occupancies                  | ``vasp``              |
| cp2k   | a cube on its grid                           | ``cp2k``              |
| siesta | ``Rho.IN.grid.nc``                           | ``siesta``            |
| gpaw   | nothing; its calculation is set              | ``gpaw``              |

A code is a class with the methods of ``edframe.restart.code.Code``, listed in ``CODES``.
"""

from __future__ import annotations

import difflib
import importlib

from edframe.errors import ConfigError
from edframe.restart.code import Code

CODES = {
    "qe": "edframe.restart.espresso:Espresso",
    "abinit": "edframe.restart.abinit:Abinit",
    "pyscf": "edframe.restart.pyscf:PySCF",
    "vasp": "edframe.restart.vasp:Vasp",
    "cp2k": "edframe.restart.cp2k:Cp2k",
    "siesta": "edframe.restart.siesta:Siesta",
    "gpaw": "edframe.restart.gpaw:Gpaw",
}
"""Code and the class that writes for it."""

__all__ = ["CODES", "Code", "code_of"]


def code_of(name: str) -> Code:
    """The code of a name. Raises ConfigError for one that is not known."""
    if name not in CODES:
        near = difflib.get_close_matches(name, CODES, 1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"there is no code '{name}'; choices: {', '.join(CODES)}{meant}")
    module, _, attribute = CODES[name].partition(":")
    code: Code = getattr(importlib.import_module(module), attribute)()
    return code
