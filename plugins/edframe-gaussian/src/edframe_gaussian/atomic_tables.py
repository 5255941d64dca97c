"""Makes ``atomic_densities.safetensors``: valence densities of free atoms, H to Ar, from PySCF.

    python -m edframe_gaussian.atomic_tables [--out FILE]

PySCF is needed here only (``pip install edframe-gaussian[tables]``); the finished file is part of the package.
The level is that of the Li-O-Li set: PBE, GTH pseudopotentials, basis ``gth-dzvp``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from edframe.files import whole
from edframe_gaussian.tables import PATH

FUNCTIONAL = "pbe"
PSEUDOPOTENTIAL = "gth-pbe"
BASIS = "gth-dzvp"
ELEMENTS = ("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar")
BOHR = 0.529177210903
"""Å per bohr (CODATA 2018)."""
SPACING = 0.01
"""Distance of the radial points, Å: a fifteenth of the width of lithium's 1s peak."""
TAIL = (1e-4, 2e-5)
"""The density fades smoothly to zero between the radii beyond which these numbers of electrons lie."""


def solve_atom(symbol: str) -> Any:
    """The converged spherical Kohn–Sham atom: spin-restricted, shells of one l equally (fractionally) filled.

    PySCF's AtomSphericAverageRKS knows no pseudopotentials and its AtomSCFPP no functional, so the Hamiltonian
    of the second is put into the first. Raises RuntimeError when the SCF does not converge.
    """
    from pyscf import gto
    from pyscf.scf.atom_hf_pp import AtomSCFPP
    from pyscf.scf.atom_ks import AtomSphericAverageRKS

    class Atom(AtomSphericAverageRKS):  # type: ignore[misc]
        get_hcore = AtomSCFPP.get_hcore

    mol = gto.M(atom=f"{symbol} 0 0 0", basis=BASIS, pseudo=PSEUDOPOTENTIAL, spin=None, verbose=0)
    atom = Atom(mol)
    atom.xc = FUNCTIONAL
    atom.init_guess = "1e"  # the guesses from tabulated potentials are all-electron
    atom.grids.level = 6
    atom.conv_tol = 1e-11
    atom.max_cycle = 200
    atom.kernel()
    if not atom.converged:
        raise RuntimeError(f"the spherical atom {symbol} does not converge ({FUNCTIONAL}, {PSEUDOPOTENTIAL}, {BASIS})")
    return atom


def evaluate(atom: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of a solved atom in e/Å³ at Cartesian ``points`` ``[n, xyz]`` in Å from its nucleus."""
    orbitals = atom.mol.eval_gto("GTOval_sph", points / BOHR)
    density = np.einsum("ni,ij,nj->n", orbitals, atom.make_rdm1(), orbitals)
    return np.asarray(density / BOHR**3, dtype=np.float64)


def tabulate(symbol: str) -> tuple[NDArray[np.float64], float, dict[str, Any]]:
    """Density ``[n]`` in e/Å³ at ``SPACING * arange(n)`` Å, the valence charge in e, and facts about both.

    The table fades to zero as ``TAIL`` says and is scaled (by less than 1 + 1e-4) to hold the charge exactly.
    """
    atom = solve_atom(symbol)
    charge = float(atom.mol.nelectron)
    r = SPACING * np.arange(3001)
    density = evaluate(atom, r[:, None] * [[0.0, 0.0, 1.0]])
    shells = 4 * np.pi * r**2 * density * SPACING  # the trapezoidal rule is spectrally accurate: no end terms
    inside = np.cumsum(shells)
    first, last = (int(np.argmax(charge - inside < left)) for left in TAIL)
    fade = np.cos(np.pi / 2 * np.clip((r[: last + 1] - r[first]) / (r[last] - r[first]), 0, 1)) ** 2
    fade[-1] = 0.0
    table = density[: last + 1] * fade
    scale = charge / (shells[: last + 1] * fade).sum()
    facts = {
        "valence_charge": charge,
        "basis": BASIS,
        "cutoff_angstrom": round(float(r[last]), 6),
        "electrons_before_cut": float(inside[-1]),
        "scaled_by": float(scale),
        "energy_hartree": float(atom.e_tot),
    }
    return table * scale, charge, facts


def main() -> None:
    """Compute all tables and write the file (to a temporary name first)."""
    parser = argparse.ArgumentParser(description="Make the atomic densities of the featurizer 'sad' with PySCF.")
    parser.add_argument("--out", type=Path, default=PATH, help="file to write (default: the one in the package)")
    out: Path = parser.parse_args().out
    import pyscf

    tables, facts = {}, {}
    for symbol in ELEMENTS:
        tables[symbol], _, facts[symbol] = tabulate(symbol)
        print(symbol, json.dumps(facts[symbol]))
    metadata = {
        "functional": FUNCTIONAL,
        "pseudopotential": PSEUDOPOTENTIAL,
        "occupation": "spin-restricted, spherically averaged",
        "pyscf": pyscf.__version__,
        "spacing_angstrom": SPACING,
        "unit": "e/angstrom^3",
        "elements": facts,
    }
    with whole(out) as file:
        file.write(save(tables, metadata={"edframe": json.dumps(metadata)}))


if __name__ == "__main__":
    main()
