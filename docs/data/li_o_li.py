"""Prints the numbers of the data sheet ``li-o-li.md``.

OMP_NUM_THREADS=1 python docs/data/li_o_li.py          what is shipped; half a minute
OMP_NUM_THREADS=1 python docs/data/li_o_li.py --mesh   two configurations on finer SCF meshes; two minutes
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from edframe_pyscf.li_o_li import ELECTRONS, SHIPPED, LiOLi, evaluated, grid_of, labels
from edframe_pyscf.matrices import unpack
from edframe_pyscf.orbitals import density_on_grid
from edframe_pyscf.plugin import LiOLiConfig


def shipped() -> None:
    dataset = LiOLi(LiOLiConfig())
    level, records, matrices = labels("shipped")
    cycles = [record["cycles"] for record in records]
    energies = np.array([record["energy_hartree"] for record in records])
    print("level:", level)
    print(f"shipped: {SHIPPED.stat().st_size / 1e6:.2f} MB, {matrices.shape} float32")
    print(f"SCF cycles: {min(cycles)} / {np.median(cycles):g} / {max(cycles)}")
    print("settings:", Counter((r["level_shift"], r["smearing"], r["max_cycle"], r["conv_tol"]) for r in records))
    lowest = dataset.ids[int(energies.argmin())]
    print(f"energies: {energies.min():.4f} ({lowest}) to {energies.max():.4f} hartree")
    print("mirror classes:", dict(Counter(Counter(dataset.groups).values())), "(size: how many)")
    within: dict[int, list[float]] = {}
    for group, energy in zip(dataset.groups, energies, strict=True):
        within.setdefault(group, []).append(energy)
    print(f"energies within a class differ by at most {max(np.ptp(e) for e in within.values()):.1e} hartree")

    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T * geometry.CELL_LENGTH
    shifts = shifts[(shifts != 0).any(axis=1)]
    images, inside = [], []
    for pair in geometry.pairs():
        left, _, right = geometry.positions(*pair)
        images.append(np.linalg.norm(left - right + shifts, axis=-1).min())
        inside.append(np.linalg.norm(left - right))
    print(f"Li–Li: {min(inside):.2f} to {max(inside):.2f} Å in the molecule, ≥ {min(images):.2f} Å to an image")

    for points in (16, 24, 32, 40, 48, 64):
        grid = grid_of(points, 3)
        densities = (evaluated(geometry.positions(*pair), unpack(matrix), grid)
                     for pair, matrix in zip(geometry.pairs(), matrices, strict=True))  # fmt: skip
        integrals = np.array([density.sum() for density in densities]) * grid.voxel_volume
        worst = int(np.abs(integrals - ELECTRONS).argmax())
        print(f"{points}³: largest |∫ρ − 12| {abs(integrals[worst] - ELECTRONS):.1e} e ({dataset.ids[worst]})")


def meshes() -> None:
    """How far the density is from that of the finest mesh, on 48³."""
    grid = LiOLi(LiOLiConfig()).grid
    for pair in ((12, 12), (3, 21)):
        densities = {}
        for mesh in (128, 96, 80, 64):
            positions = geometry.positions(*pair)
            cell = scf.build_cell(geometry.SPECIES, positions, grid.vectors, geometry.LEVEL, mesh=[mesh] * 3)
            solution = scf.solve(cell, geometry.sample_id(*pair))
            densities[mesh] = density_on_grid(cell, solution.density_matrix, grid)
            nmae = np.abs(densities[mesh] - densities[128]).sum() / densities[128].sum()
            print(f"{geometry.sample_id(*pair)}, mesh {mesh}³: {solution.energy:.6f} hartree, NMAE {100 * nmae:.4f} %")


if __name__ == "__main__":
    meshes() if "--mesh" in sys.argv else shipped()
