"""What the model molecules-hcnof says of molecules that it was not made for: ions, open shells, larger rings.

    pip install 'edframe-pyscf[geometries]'
    python docs/results/molecules_failures.py

Geometries are conformers of RDKit, relaxed by GFN2-xTB with the charge and the unpaired electrons; they are in
molecules_failures.xyz. Labels are of the level and in the boxes of ``molecules-hcnof``, open shells unrestricted.
One line of JSON for each, in molecules_failures.jsonl beside this script; what is there is not computed again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import edframe_pyscf.molecules
import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from edframe_pyscf import scf
from edframe_pyscf.geometries import Molecule
from edframe_pyscf.levels import PBE_TZV2P_QUICK
from edframe_pyscf.orbitals import Expansion
from edframe_pyscf.qm9 import boxed
from molecules_errors import whole
from pages import record, records
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

import edframe
from edframe.data.prepared import Job
from edframe.grid import Grid
from edframe.sample import Sample

HERE = Path(__file__).parent
RESULTS, GEOMETRIES = HERE / "molecules_failures.jsonl", HERE / "molecules_failures.xyz"
CASES: dict[str, tuple[str, str, int, int]] = {
    "NH₄⁺": ("ion", "[NH4+]", 1, 0),
    "HCOO⁻": ("ion", "[O-]C=O", -1, 0),
    "CH₃O⁻": ("ion", "C[O-]", -1, 0),
    "C₂H₅NH₃⁺": ("ion", "CC[NH3+]", 1, 0),
    "CH₃": ("open shell", "[CH3]", 0, 1),
    "NO₂": ("open shell", "[O]N=O", 0, 1),
    "O₂": ("open shell", "[O][O]", 0, 2),
    "cyclooctane": ("larger ring", "C1CCCCCCC1", 0, 0),
    "naphthalene": ("larger ring", "c1ccc2ccccc2c1", 0, 0),
    "decane": ("larger", "CCCCCCCCCC", 0, 0),
}
"""Name → kind, SMILES, charge in e, unpaired electrons."""


def geometry(smiles: str, charge: int, unpaired: int) -> Atoms:
    """Relaxed, in its principal axes."""
    from rdkit import Chem
    from rdkit.Chem import AllChem
    from tblite.ase import TBLite

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    atoms = Atoms([a.GetSymbol() for a in mol.GetAtoms()], mol.GetConformer().GetPositions())
    atoms.calc = TBLite(method="GFN2-xTB", charge=charge, multiplicity=unpaired + 1, verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=200)
    places = atoms.positions - atoms.positions.mean(0)
    return Atoms(atoms.symbols, places @ np.linalg.svd(places)[2].T)


def label(job: Job, unpaired: int) -> Sample:
    """The density of a job, also of an open shell."""
    if not unpaired:
        return edframe_pyscf.molecules.label(job)
    from pyscf.pbc import dft

    inputs = job.inputs
    positions, grid = np.array(inputs["positions"]), Grid.of(inputs["sides"], inputs["shape"])
    cell = scf.build_cell(inputs["species"], positions, grid.vectors, PBE_TZV2P_QUICK, mesh=inputs["mesh"])
    cell.spin = unpaired
    cell.build(False, False)
    for settings in scf.LADDER:
        mean_field, _ = scf.drive(dft.UKS(cell).multigrid_numint(), settings)
        if mean_field.converged:
            break
    else:
        raise SystemExit(f"{job.id}: the SCF did not converge")
    matrix = np.asarray(mean_field.make_rdm1()).sum(0)
    density = Expansion.of(cell).density(positions, matrix, grid)
    structure = Structure(Lattice(grid.vectors), inputs["species"], positions, coords_are_cartesian=True)
    density *= cell.nelectron / (density.sum() * grid.voxel_volume)
    return Sample(job.id, structure, grid, density[None].astype(np.float32), float(cell.nelectron), {})


def main() -> None:
    """Geometries that are not there, then a line for each molecule that has none."""
    known = {atoms.info["name"]: atoms for atoms in ase.io.read(GEOMETRIES, ":")} if GEOMETRIES.exists() else {}
    for name, (_, smiles, charge, unpaired) in CASES.items():
        if name not in known:
            atoms = geometry(smiles, charge, unpaired)
            atoms.info = {"name": name, "charge": charge, "multiplicity": unpaired + 1}
            ase.io.write(GEOMETRIES, atoms, append=True, columns=["symbols", "positions"])
    model = edframe.load("molecules-hcnof")
    done = {row["id"] for row in records(RESULTS)} if RESULTS.exists() else set()
    for atoms in ase.io.read(GEOMETRIES, ":"):
        name = atoms.info["name"]
        if name in done:
            continue
        kind, _, charge, unpaired = CASES[name]
        species = tuple(atoms.get_chemical_symbols())
        molecule = Molecule(name, name, species, atoms.positions, None, charge)
        sample = label(boxed(molecule, PBE_TZV2P_QUICK), unpaired)
        predicted = model(sample.structure, grid=(8, 8, 8), electrons=sample.electrons)
        row: dict[str, Any] = {
            "id": name, "kind": kind, "charge": charge, "unpaired": unpaired, "whole": whole(model, sample),
            "expected": predicted.expected_nmae, "warnings": list(predicted.notes),
        }  # fmt: skip
        record(RESULTS, row)
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
