"""What an ensemble of Li–O–Li expects of its error, what the error is, and the distance from the training set.

OMP_NUM_THREADS=1 python benchmarks/extrapolation.py ENSEMBLE

Both bonds of the linear molecule are stretched from below the shortest to beyond the longest of the dataset li-o-li,
1.38 to 1.86 Å; each density is computed anew at the level of the dataset, about 3 s of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from edframe_pyscf.orbitals import density_on_grid
from pymatgen.core import Lattice, Structure

from edframe.predict.ensemble import Ensemble, predictor_of

BONDS = (1.25, 1.38, 1.5, 1.62, 1.74, 1.86, 1.95, 2.07, 2.2)
"""Å."""


def main() -> None:
    """Print a row per bond length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ensemble", type=Path, help="folder made by edframe ensemble")
    ensemble = Ensemble.open(parser.parse_args().ensemble)
    predictor = predictor_of(ensemble, "cpu")
    lattice = np.eye(3) * geometry.CELL_LENGTH
    print("| bonds, Å | NMAE, % | expected NMAE, % | distance |\n|---|---|---|---|")
    for bond in BONDS:
        positions = geometry.CELL_LENGTH / 2 + np.array([[-bond, 0, 0], [0, 0, 0], [bond, 0, 0]])
        cell = scf.build_cell(geometry.SPECIES, positions, lattice, geometry.LEVEL)
        matrix = scf.solve(cell, f"bonds of {bond} Å").density_matrix
        structure = Structure(Lattice(lattice), list(geometry.SPECIES), positions, coords_are_cartesian=True)
        sample, _, expected = predictor(structure)
        reference = density_on_grid(cell, matrix, sample.grid)
        error = 100 * np.abs(sample.density[0] - reference).sum() / reference.sum()
        novelty = predictor.novelty(structure)
        distance = "–" if novelty is None else f"{novelty.distance:.2f}"
        print(f"| {bond} | {error:.2f} | {expected:.2f} | {distance} |", flush=True)


if __name__ == "__main__":
    main()
