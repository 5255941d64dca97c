"""The geometries that ``molecules-hcnof`` is trained on: made from nothing but RDKit and GFN2-xTB, in minutes.

    pip install 'edframe-pyscf[geometries]'
    python docs/results/molecules.py geometries --held-out ../shared/data/geometries/*.xyz
    edframe data build molecules-hcnof --workers 2

The first command writes the list that ships in edframe-pyscf, the second labels it; stopped, it goes on where it was.
Molecules are grown atom by atom, from one to seven heavy atoms; of each size the most different are chosen, by the
farthest point of Morgan fingerprints. Those of the held-out files are left out, by canonical SMILES and by the graph
of their bonds. Each molecule gives one geometry: a conformer of ETKDG, relaxed by GFN2-xTB, four of ten as they are,
the others displaced along their normal modes as at 300 to 1500 K.
"""

from __future__ import annotations

import argparse
import glob
import itertools
import random
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.optimize import BFGS
from ase.vibrations import VibrationsData
from edframe_pyscf.hcnof import GEOMETRIES, bonds
from numpy.typing import NDArray
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdDetermineBonds, rdFingerprintGenerator
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker
from tblite.ase import TBLite

VALENCE = {"C": 4, "N": 3, "O": 2, "F": 1}
BLOCK = {1: 1, 2: 2, 3: 3, 4: 5, 5: 5, 6: 3, 7: 1}
"""Molecules of each number of heavy atoms in 20 that follow one another, as long as there are any."""
GROWN = 400
"""Molecules of each size, at most, that the next size grows from."""
TEMPERATURES = (None, 300, None, 600, 1000, None, 300, None, 1500, 600)
"""K, in turn; None: the relaxed geometry."""
SOFTEST = 150.0
"""Wave numbers in 1/cm below which a mode is displaced as if it had this one: a harmonic torsion would go too far."""
ZWITTERIONS = (
    "[C-]#[O+]",
    "C[N+]#[C-]",
    "C[N+](=O)[O-]",
    "CC[N+](=O)[O-]",
    "CN=[N+]=[N-]",
    "C=[N+]=[N-]",
    "N#CC[N+](=O)[O-]",
)
"""Closed shells that no growth by valence gives."""
UNSTABLE = [
    Chem.MolFromSmarts(pattern)
    for pattern in (
        "[O;!a]~[O;!a]", "[N,O,F]F", "[#7,#8;!a]~[#7,#8;!a]~[#7,#8;!a]", "[R]#[R]", "[R]=[R]=[R]", "[r3]=[r3]",
        "[a;r3,r4]", "[R2]=[R]", "[r3,r4]=[r4]", "[N;!a][N;!a][#6]=O", "[N;r3][N,O;r3]", "[OH]N", "C(F)O[H]",
        "C([OH])[OH]", "C#C[N,O]", "N#C[O,N]", "[CX3]=C=[N,O]", "C=C=C=*", "N=C=N", "C(F)N", "[N,O][CX4;!R][N,O]",
        "N=[C,N]F", "O=NN", "N=NN", "NON", "[CX2]=[CX2]=*",
    )
]  # fmt: skip


def grown(mol: Chem.Mol) -> list[str]:
    """Canonical SMILES of all molecules with one heavy atom more, or the same and one ring more."""
    found = []
    free = [atom.GetTotalNumHs() for atom in mol.GetAtoms()]
    orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    for (place, hydrogens), (symbol, valence) in itertools.product(enumerate(free), VALENCE.items()):
        for order in range(1, min(hydrogens, valence, 3) + 1):
            wider = Chem.RWMol(mol)
            wider.AddBond(place, wider.AddAtom(Chem.Atom(symbol)), orders[order])
            found.append(wider)
    return [smiles for one in found if (smiles := _kept(one))]


def closed(mol: Chem.Mol) -> list[str]:
    """The same molecule with one ring more, of three to six atoms."""
    distances = Chem.GetDistanceMatrix(mol)
    found = []
    for i, j in itertools.combinations(range(mol.GetNumAtoms()), 2):
        if (
            2 <= distances[i, j] <= 5
            and mol.GetAtomWithIdx(i).GetTotalNumHs()
            and mol.GetAtomWithIdx(j).GetTotalNumHs()
        ):
            ring = Chem.RWMol(mol)
            ring.AddBond(i, j, Chem.BondType.SINGLE)
            found.append(ring)
    return [smiles for one in found if (smiles := _kept(one))]


def _kept(mol: Chem.RWMol) -> str:
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    try:
        Chem.SanitizeMol(mol)
    except Exception:
        return ""
    smiles = Chem.MolToSmiles(mol)
    mol = Chem.MolFromSmiles(smiles)
    if mol is None or mol.GetRingInfo().NumRings() > 2 or any(mol.HasSubstructMatch(p) for p in UNSTABLE):
        return ""
    hetero = sum(atom.GetSymbol() != "C" for atom in mol.GetAtoms())
    return smiles if mol.GetNumHeavyAtoms() < 4 or 2 * hetero <= mol.GetNumHeavyAtoms() + 1 else ""


def farthest(names: list[str], count: int, seed: int) -> list[str]:
    """``count`` of ``names``, each the farthest from those before it, by Tanimoto's distance of Morgan fingerprints."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(name)) for name in names]
    picked = MaxMinPicker().LazyBitVectorPick(prints, len(prints), min(count, len(prints)), seed=seed)
    return [names[i] for i in picked]


def enumerated(largest: int = 7, most: int = 2000) -> dict[int, list[str]]:
    """Canonical SMILES by the number of heavy atoms, in the order of farthest points."""
    rng = random.Random(0)
    sizes: dict[int, list[str]] = {}
    last = ["C", "N", "O", "F"]
    for size in range(1, largest + 1):
        if size > 1:
            every = sorted({new for name in last for new in grown(Chem.MolFromSmiles(name))})
            rings = {new for name in every for new in closed(Chem.MolFromSmiles(name))} - {*every}
            rings |= {new for name in rings for new in closed(Chem.MolFromSmiles(name))} - {*every}
            straight, rings = rng.sample(every, min(len(every), most)), sorted(rings)
            last = sorted({*straight, *rng.sample(rings, min(len(rings), most))})
        extra = [Chem.CanonSmiles(z) for z in ZWITTERIONS if Chem.MolFromSmiles(z).GetNumHeavyAtoms() == size]
        sizes[size] = farthest(sorted({*last, *extra}), GROWN, size)
        last = [name for name in sizes[size] if "+" not in name]
    return sizes


def relaxed(name: str, seed: int) -> Atoms | None:
    """A conformer, relaxed, in its principal axes turned at random; None where it does not stay the molecule."""
    mol = Chem.AddHs(Chem.MolFromSmiles(name))
    if AllChem.EmbedMolecule(mol, randomSeed=seed) != 0:
        return None
    atoms = Atoms([a.GetSymbol() for a in mol.GetAtoms()], mol.GetConformer().GetPositions())
    wanted = {tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in mol.GetBonds()}
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    try:
        converged = BFGS(atoms, logfile=None).run(fmax=0.01, steps=150)
    except Exception:  # an SCF of GFN2-xTB that does not converge
        return None
    return atoms if converged and bonds(atoms.get_chemical_symbols(), atoms.positions) == wanted else None


def displaced(atoms: Atoms, temperature: float, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Positions drawn from the harmonic oscillators of the normal modes, zero-point motion included; None where the
    molecule fell apart, or the geometry is no minimum."""
    hessian = _hessian(atoms)
    energies, modes = VibrationsData(atoms, hessian.reshape(len(atoms), 3, len(atoms), 3)).get_energies_and_modes()
    if np.abs(energies.imag).max() > 150 * units.invcm:
        return None
    count = 3 * len(atoms) - (5 if _linear(atoms) else 6)
    places = atoms.positions.copy()
    for energy, mode in zip(energies.real[-count:], modes[-count:], strict=True):
        quantum = max(float(energy), SOFTEST * units.invcm)
        variance = units._hbar**2 / (quantum * units._e) / np.tanh(quantum / (2 * units.kB * temperature)) / 2
        width = np.sqrt(variance / units._amu) * 1e10  # Å √amu; the modes are divided by √mass
        places += np.clip(rng.normal(), -2.5, 2.5) * width * mode
    same = bonds(atoms.get_chemical_symbols(), places) == bonds(atoms.get_chemical_symbols(), atoms.positions)
    return places if same else None


def _hessian(atoms: Atoms, step: float = 0.01) -> NDArray[np.float64]:
    start, rows = atoms.positions.copy(), []
    for atom, axis in itertools.product(range(len(atoms)), range(3)):
        forces = []
        for sign in (1, -1):
            atoms.positions[:] = start
            atoms.positions[atom, axis] += sign * step
            forces.append(atoms.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / (2 * step))
    atoms.positions[:] = start
    return (np.array(rows) + np.array(rows).T) / 2


def _linear(atoms: Atoms) -> bool:
    moments = np.linalg.svd(atoms.positions - atoms.positions.mean(0), compute_uv=False)
    return len(atoms) == 2 or bool(moments[1] < 1e-2 * moments[0])


def held_out(files: list[str]) -> tuple[set[str], set[Any]]:
    """Canonical SMILES of the molecules in ``files``, where bond orders can be found, and all graphs of bonds."""
    from edframe_pyscf.hcnof import graph

    names, graphs = set(), set()
    for frame in [frame for file in files for frame in ase.io.read(file, ":")]:
        graphs.add(graph(frame.get_chemical_symbols(), frame.positions))
        rows = [f"{s} {x:.8f} {y:.8f} {z:.8f}" for s, (x, y, z) in zip(frame.symbols, frame.positions, strict=True)]
        mol = Chem.MolFromXYZBlock("\n".join([str(len(frame)), "", *rows]))
        try:
            rdDetermineBonds.DetermineBonds(mol, charge=0)
            names.add(Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False))
        except ValueError:  # a stretched bond; the graph is there
            pass
    return names, graphs


def main(count: int, files: list[str], out: Path) -> None:
    """Write ``count`` geometries, those of each block of 20 of all sizes."""
    from edframe_pyscf.hcnof import graph

    names, graphs = held_out(files)
    sizes = {size: [name for name in some if name not in names] for size, some in enumerated().items()}
    print("molecules by heavy atoms:", {size: len(some) for size, some in sizes.items()}, "held out:", len(graphs))
    queue = {size: iter(some) for size, some in sizes.items()}
    written, seen = 0, set(graphs)
    with out.open("w", encoding="utf-8") as file:
        for size in itertools.cycle(_mixed()):
            while written < count:
                name = next(queue[size], None)
                if name is None:
                    break
                rng = np.random.default_rng([7, written])
                atoms = relaxed(name, written + 1)
                key = atoms and graph(atoms.get_chemical_symbols(), atoms.positions)
                if atoms is None or key in seen:
                    continue
                temperature = TEMPERATURES[written % len(TEMPERATURES)]
                places = atoms.positions if temperature is None else displaced(atoms, temperature, rng)
                if places is None:
                    continue
                seen.add(key)
                turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
                places = (places - places.mean(0)) @ turn
                lines = [
                    f"{s} {x:.4f} {y:.4f} {z:.4f}"
                    for s, (x, y, z) in zip(atoms.get_chemical_symbols(), places, strict=True)
                ]
                file.write(f'{len(atoms)}\nsmiles="{name}" kelvin={temperature or 0}\n' + "\n".join(lines) + "\n")
                file.flush()
                written += 1
                break
            if written == count:
                return


def _mixed() -> list[int]:
    """Sizes of a block, each spread evenly over it."""
    places = [((k + 0.5) / n, size) for size, n in BLOCK.items() for k in range(n)]
    return [size for _, size in sorted(places)]


if __name__ == "__main__":
    RDLogger.DisableLog("rdApp.*")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["geometries"])
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--held-out", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, default=GEOMETRIES)
    given = parser.parse_args()
    main(given.count, [file for pattern in given.held_out for file in glob.glob(pattern)], given.out)
