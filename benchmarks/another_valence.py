"""Densities of LiF by ABINIT with one valence electron on lithium, where the atoms that edframe ships have three.

    apt-get install --no-install-recommends abinit abinit-data
    python benchmarks/another_valence.py FOLDER [--samples 30] [--seed 0]

FOLDER gets one folder per sample with a CHGCAR, as VASP would leave it without the files that tell the electrons. Half
of the samples are cubic cells of 8 atoms (32 electrons), half are triclinic cells of 4 (16 electrons), strained, and
each atom is displaced by 0.1 Å in each direction. LDA, HGH pseudopotentials 3li.1 and 9f.7, 30 hartree, one k-point:
made to be quick, not converged. A finished sample is left as it is, so a stopped command goes on. Then

    edframe run --data vasp --set "data.files=[FOLDER/*]"
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from pathlib import Path

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe import io
from edframe.data.resampling import fourier
from edframe.grid import Grid
from edframe.io.units import BOHR

SIDE = 4.03
"""Of the cube of 4 LiF, Å."""
DISPLACED = 0.1
"""Standard deviation of each coordinate, Å."""
STRAINED = 0.03
"""Standard deviation of the entries of the strain."""
CUTOFF = 30
"""Of the plane waves, hartree."""
VALENCE = {"Li": 1, "F": 7}
POTENTIALS = {"Li": "3li.1.hgh", "F": "9f.7.hgh"}
INPUT = """pp_dirpath "{potentials}"
pseudos "{files}"
natom {atoms}
ntypat 2
znucl 3 9
typat {types}
acell 1 1 1
rprim {cell}
xred {places}
ecut {cutoff}
nband {bands}
occopt 1
kptopt 1
ngkpt 1 1 1
nshiftk 1
shiftk 0.5 0.5 0.5
nstep 60
tolvrs 1e-10
iomode 3
prtwf 0
prteig 0
prtgsr 0
prtebands 0
"""


def structure(index: int, seed: int) -> Structure:
    """Sample ``index``: cubic when even, triclinic when odd."""
    rng = np.random.default_rng([seed, index])
    if index % 2 == 0:
        cell, sites = SIDE * np.eye(3), 0.5 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
        lithium, fluorine = sites, sites + np.array([0.5, 0, 0])
    else:
        cell = SIDE * np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [1.0, 1.0, 0.0]])
        lithium, fluorine = np.array([[0, 0, 0], [0, 0, 0.5]]), np.array([[0.5, 0.5, 0.25], [0.5, 0.5, 0.75]])
        strain = rng.normal(0, STRAINED, (3, 3))
        cell = cell @ (np.eye(3) + (strain + strain.T) / 2)
    if index % 2 == 0:
        cell = cell * (1 + rng.normal(0, STRAINED))
    species = ["Li"] * len(lithium) + ["F"] * len(fluorine)
    made = Structure(Lattice(cell), species, np.concatenate([lithium, fluorine]))
    for atom in range(len(made)):
        made.translate_sites([atom], rng.normal(0, DISPLACED, 3), frac_coords=False)
    return made


def solve(atoms: Structure, folder: Path, potentials: str) -> io.Volume:
    """The density of a converged calculation. Raises RuntimeError when it does not converge."""
    electrons = sum(VALENCE[site.specie.symbol] for site in atoms)
    numbers = "\n  ".join
    text = INPUT.format(
        potentials=potentials,
        files=", ".join(POTENTIALS.values()),
        atoms=len(atoms),
        types=" ".join(str(1 + list(VALENCE).index(site.specie.symbol)) for site in atoms),
        cell=numbers(" ".join(f"{x:.12f}" for x in row) for row in atoms.lattice.matrix / BOHR),
        places=numbers(" ".join(f"{x:.12f}" for x in row) for row in atoms.frac_coords),
        bands=electrons // 2,
        cutoff=CUTOFF,
    )
    (folder / "x.abi").write_text(text)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (folder / "x.log").open("w") as log:
        subprocess.run(["abinit", "x.abi"], cwd=folder, stdout=log, stderr=log, env=environment, check=False)
    done = (folder / "x.abo").read_text() if (folder / "x.abo").exists() else ""
    if not re.search(r"vres2\s*=\s*\S+ < tolvrs=", done):
        raise RuntimeError(f"{folder}: ABINIT did not converge; see {folder / 'x.log'}")
    import h5py

    with h5py.File(folder / "xo_DEN.nc") as file:
        density = np.asarray(file["density"][0, ..., 0], dtype=np.float64).transpose(2, 1, 0) / BOHR**3
    grid = Grid.of(atoms.lattice.matrix, density.shape)
    total = density.sum() * grid.voxel_volume
    if abs(total - electrons) > 1e-6 * electrons:
        raise RuntimeError(f"{folder}: the density of ABINIT integrates to {total:.6f} e, not to {electrons} e")
    # A density of plane waves is the same on any finer grid. A U-Net takes six times as long where it cannot halve one.
    finer = [8 * -(-n // 8) for n in density.shape]
    density, grid = fourier(density, grid, finer)
    return io.Volume(atoms, grid, {"total": density}, comment=atoms.formula)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--potentials", default="/usr/share/abinit/psp", help="folder with 3li.1.hgh and 9f.7.hgh")
    arguments = parser.parse_args()
    for index in range(arguments.samples):
        folder = arguments.folder / f"LiF-{index:02d}"
        if not (folder / "CHGCAR").exists():
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            io.write(folder / "CHGCAR", solve(structure(index, arguments.seed), folder, arguments.potentials))
            for beside in folder.iterdir():
                if beside.name not in ("CHGCAR", "x.abi", "x.abo"):
                    beside.unlink()
        print(f"\r{index + 1} of {arguments.samples}", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
