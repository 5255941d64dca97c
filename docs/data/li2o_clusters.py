"""Makes what ``li2o-clusters`` ships, and prints the numbers of its data sheet ``li2o-clusters.md``.

OMP_NUM_THREADS=1 python docs/data/li2o_clusters.py            what is shipped; half a minute
OMP_NUM_THREADS=1 python docs/data/li2o_clusters.py --search   structures, by DFT from the minima of rigid ions; hours
OMP_NUM_THREADS=1 python docs/data/li2o_clusters.py --solve    density matrices; half an hour; continues when stopped
OMP_NUM_THREADS=1 python docs/data/li2o_clusters.py --box      a cluster in a larger box; a minute
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from edframe_pyscf import clusters, scf
from edframe_pyscf import clusters_geometry as geometry
from edframe_pyscf.matrices import pack
from edframe_pyscf.orbitals import density_on_grid
from numpy.typing import NDArray
from pymatgen.core.structure import Molecule
from pymatgen.symmetry.analyzer import PointGroupAnalyzer
from pyscf import __version__, dft, gto
from pyscf.data.nist import BOHR
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize

from edframe.data.cache import cache_folder
from edframe.grid import Grid

STARTS = {1: 20, 2: 60, 3: 150, 4: 300}
"""Random arrangements of rigid ions from which a search begins, by n."""

REFINED = {1: 1, 2: 2, 3: 5, 4: 6}
"""Minima of rigid ions, the lowest first, that are relaxed with PBE/def2-SVP."""

FINALISTS = {1: 1, 2: 2, 3: 2, 4: 2}
"""Of these the lowest, which are relaxed with PBE/def2-TZVP."""

DISPLACEMENT = 0.08
"""Standard deviation of each coordinate of an atom, Å."""

CLOSEST = 1.4
"""Smallest distance of two atoms in a displaced cluster, Å."""

MARGIN, SMALLEST, STEP = 2.8, 7.2, 1.2
"""Least vacuum beyond the atoms, least side of a box, and what its sides are multiples of, Å."""

Positions = NDArray[np.float64]


def species(n: int) -> list[str]:
    return ["Li"] * (2 * n) + ["O"] * n


def rigid_ions(flat: Positions, lithium: NDArray[np.bool_]) -> tuple[float, Positions]:
    """Energy (eV) and gradient of Li⁺ and O²⁻: Coulomb and Buckingham.

    Li–O 632.1018 eV, 0.2906 Å; O–O 22764.3 eV, 0.149 Å, 27.88 eV Å⁶: Catlow's potentials for oxides.
    """
    r = flat.reshape(-1, 3)
    i, j = np.triu_indices(len(r), 1)
    apart = r[i] - r[j]
    d = np.linalg.norm(apart, axis=1)
    mixed, oxygens = lithium[i] != lithium[j], ~lithium[i] & ~lithium[j]
    a = np.where(mixed, 632.1018, np.where(oxygens, 22764.3, 0.0))
    rho, c = np.where(mixed, 0.2906, 0.149), np.where(oxygens, 27.88, 0.0)
    q = np.where(lithium, 1.0, -2.0)
    coulomb = 14.399645 * q[i] * q[j] / d
    energy = coulomb + a * np.exp(-d / rho) - c / d**6
    slope = -coulomb / d - a / rho * np.exp(-d / rho) + 6 * c / d**7
    gradient = np.zeros_like(r)
    np.add.at(gradient, i, (slope / d)[:, None] * apart)
    np.add.at(gradient, j, -(slope / d)[:, None] * apart)
    return float(energy.sum()), gradient.ravel()


def minima(n: int) -> list[Positions]:
    """Distinct minima of rigid ions, the lowest first, ``[atom, xyz]`` in Å: from random flat and round starts."""
    rng, lithium = np.random.default_rng(0), np.array(species(n)) == "Li"
    distinct: list[tuple[float, Positions, Positions]] = []
    for _ in range(STARTS[n]):
        start = rng.uniform(-1, 1, (3 * n, 3)) * [1, 1, rng.uniform()] * 1.8 * n ** (1 / 3)
        options = {"maxiter": 2000, "gtol": 1e-6, "ftol": 1e-13}
        result = minimize(rigid_ions, start.ravel(), (lithium,), "L-BFGS-B", jac=True, options=options)
        positions = result.x.reshape(-1, 3)
        distances = np.sort(pair_distances(positions))
        whole = distances.min() > 1.2 and distances.max() < 12
        known = any(abs(result.fun - e) < 1e-4 and np.abs(distances - d).max() < 0.02 for e, d, _ in distinct)
        if whole and not known:
            distinct.append((result.fun, distances, positions))
    return [positions for _, _, positions in sorted(distinct, key=lambda entry: entry[0])]


def relax(positions: Positions, basis: str, gtol: float) -> tuple[float, Positions, float]:
    """Energy (hartree), positions ``[atom, xyz]`` (Å) and largest force (hartree/bohr): PBE, BFGS, density fitting."""
    guess: list[Any] = [None]

    def energy_and_gradient(x: Positions) -> tuple[float, Positions]:
        atoms = list(zip(species(len(positions) // 3), x.reshape(-1, 3).tolist(), strict=True))
        mean_field = dft.RKS(gto.M(atom=atoms, unit="B", basis=basis, verbose=0)).density_fit()
        mean_field.xc = "pbe"
        mean_field.kernel(guess[0])
        if not mean_field.converged:
            raise SystemExit("a relaxation met an SCF that does not converge")
        guess[0] = mean_field.make_rdm1()
        gradient = mean_field.nuc_grad_method()
        gradient.grid_response = True
        return mean_field.e_tot, gradient.kernel().ravel()

    result = minimize(energy_and_gradient, positions.ravel() / BOHR, jac=True, options={"gtol": gtol})
    force = np.linalg.norm(result.jac.reshape(-1, 3), axis=1).max()
    return float(result.fun), result.x.reshape(-1, 3) * BOHR, float(force)


def search() -> None:
    """Find, orient, displace and write the structures of every size."""
    stored = {}
    for n in geometry.SIZES:
        candidates = [relax(start, "def2-svp", 4e-3) for start in minima(n)[: REFINED[n]]]
        for energy, positions, _ in sorted(candidates, key=lambda entry: entry[0]):
            print(f"n = {n}, PBE/def2-SVP: {energy:.4f} hartree, {point_group(positions)}", flush=True)
        finalists = sorted(candidates, key=lambda entry: entry[0])[: FINALISTS[n]]
        relaxed = [relax(positions, "def2-tzvp", 4e-4) for _, positions, _ in finalists]
        stored[str(n)] = entry_of(n, relaxed)
    geometry.FILE.write_text(json.dumps(stored) + "\n", encoding="utf-8")


def entry_of(n: int, relaxed: list[tuple[float, Positions, float]]) -> dict[str, Any]:
    """What ships of one size: the lowest of the relaxed structures, along its principal axes, and its displacements."""
    relaxed = sorted(relaxed, key=lambda entry: entry[0])
    for energy, positions, force in relaxed:
        print(
            f"n = {n}, PBE/def2-TZVP: {energy:.4f} hartree, {point_group(positions)}, force ≤ {force:.1e}", flush=True
        )
    energy, positions, force = relaxed[0]
    centred = positions - positions.mean(axis=0)
    centred = centred @ np.linalg.svd(centred)[2].T
    rng, configurations = np.random.default_rng(n), [centred]
    while len(configurations) < geometry.SAMPLES:
        displaced = centred + rng.normal(0, DISPLACEMENT, centred.shape)
        if pair_distances(displaced).min() >= CLOSEST:
            configurations.append(displaced)
    middle = [(p.min(axis=0) + p.max(axis=0)) / 2 for p in configurations]
    kept = np.round(np.array([p - m for p, m in zip(configurations, middle, strict=True)]), 6)
    extent = np.ptp(kept, axis=1).max(axis=0) + 2 * MARGIN
    sides = np.maximum(SMALLEST, np.ceil(extent / STEP) * STEP)
    return {
        "species": species(n),
        "point_group": point_group(positions),
        "energy_hartree": round(energy, 6),
        "level": "PBE/def2-TZVP, all electrons, density fitting",
        "max_force_hartree_per_bohr": float(f"{force:.1e}"),
        "sides": np.round(sides, 6).tolist(),
        "positions": kept.tolist(),
    }


def solve() -> None:
    """Converge the SCF of every configuration and write what ships."""
    parts = cache_folder() / "li2o-clusters" / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    matrices: dict[str, NDArray[np.float32]] = {}
    records: dict[str, list[dict[str, Any]]] = {}
    for n in geometry.SIZES:
        packed = []
        for sample in range(geometry.SAMPLES):
            part, record = (parts / f"{geometry.sample_id(n, sample)}{ending}" for ending in (".safetensors", ".json"))
            if not record.exists():
                solution = clusters.solve(n, sample)
                save_file({"matrix": pack(solution.density_matrix)}, part)
                record.write_text(json.dumps(solution.record()))
                print(record.stem, solution.energy, solution.cycles, flush=True)
            packed.append(load_file(part)["matrix"])
            records.setdefault(str(n), []).append(json.loads(record.read_text()))
        matrices[f"n{n}"] = np.stack(packed)
    save_file(matrices, clusters.SHIPPED, metadata={"pyscf": __version__, "scf": json.dumps(records)})


def shipped() -> None:
    sheet, units = json.loads(geometry.FILE.read_text(encoding="utf-8")), []
    size = (clusters.SHIPPED.stat().st_size + geometry.FILE.stat().st_size) / 1e6
    print(f"shipped: {size:.2f} MB; level: {geometry.LEVEL.facts()}; PySCF {clusters.shipped().pyscf}")
    for n, cluster in geometry.clusters().items():
        entry, records = sheet[str(n)], clusters.shipped().records[n]
        relaxed = cluster.positions[0]
        distances = np.linalg.norm(relaxed[: 2 * n, None] - relaxed[None, 2 * n :], axis=-1)
        neighbours = sorted((distances < 2.4).sum(axis=0).tolist())
        print(f"n = {n}: {entry['point_group']}, {entry['level']} {entry['energy_hartree']:.4f} hartree, "
              f"force ≤ {entry['max_force_hartree_per_bohr']:.1e}; Li–O {distances.min():.3f} to "
              f"{distances[distances < 2.4].max():.3f} Å, Li around each O {neighbours}")  # fmt: skip
        closest = min(pair_distances(p).min() for p in cluster.positions)
        margin = ((cluster.sides - np.ptp(cluster.positions, axis=1)) / 2).min()
        moved = np.sqrt(np.mean([kabsch(p, relaxed) ** 2 for p in cluster.positions[1:]]))
        print(f"  box {cluster.sides} Å, grid {cluster.shape(0.15)}, SCF mesh {geometry.LEVEL.mesh(cluster.sides)}, "
              f"vacuum ≥ {margin:.2f} Å; closest atoms {closest:.3f} Å; displaced by {moved:.3f} Å rms")  # fmt: skip
        energies = np.array([record["energy_hartree"] for record in records])
        units.append(energies[0] / n)
        cycles, shifts = [r["cycles"] for r in records], {(r["level_shift"], r["smearing"]) for r in records}
        print(f"  SCF: {clusters.shipped().matrices[n].shape} float32, cycles {min(cycles)} to {max(cycles)}, "
              f"(level shift, smearing) {shifts}; energies {energies[0]:.4f} (relaxed) to {energies.max():.4f}; "
              f"per Li2O {units[-1]:.4f}, binding {27.2114 * (units[0] - units[-1]):.2f} eV")  # fmt: skip
        for voxel in (0.225, 0.18, 0.15, 0.12):
            fields = [density(n, sample, voxel) for sample in range(geometry.SAMPLES)]
            missed = max(abs(field.sum() * grid.voxel_volume - cluster.electrons) for field, grid in fields)
            print(f"  voxel {fields[0][1].spacing.max():.3f} Å: largest |∫ρ − {cluster.electrons}| {missed:.1e} e")
        field, _ = density(n, 0, 0.15)
        faces = [field.take(0, axis).max() for axis in range(3)]
        print(f"  largest density on the faces of the box, relaxed: {', '.join(f'{f:.1e}' for f in faces)} e/Å³")


def boxes() -> None:
    """The density of the relaxed clusters against that in a box 2.4 Å longer each way, on the same points."""
    for n in (1, 2):
        cluster = geometry.clusters()[n]
        fields = []
        for sides in (cluster.sides, cluster.sides + 4.8):
            lattice, level = np.diag(sides), geometry.LEVEL
            cell = scf.build_cell(cluster.species, cluster.positions[0] + sides / 2, lattice, level)
            solution = scf.solve(cell, f"n = {n}, box {sides}")
            fields.append(density_on_grid(cell, solution.density_matrix, Grid.of(sides, cluster_shape(sides))))
        inner = fields[1][tuple(slice(16, -16) for _ in range(3))]
        print(f"n = {n}: NMAE {100 * np.abs(fields[0] - inner).sum() / fields[1].sum():.3f} % against a larger box")


def cluster_shape(sides: Positions) -> list[int]:
    return [round(side / 0.15) for side in sides]


def density(n: int, sample: int, voxel: float) -> tuple[Positions, Grid]:
    cluster = geometry.clusters()[n]
    grid = Grid.of(cluster.sides, cluster.shape(voxel))
    matrix = clusters.unpack(clusters.shipped().matrices[n][sample])
    return clusters.expansion(n).density(cluster.positions[sample] + cluster.sides / 2, matrix, grid), grid


def pair_distances(positions: Positions) -> Positions:
    i, j = np.triu_indices(len(positions), 1)
    return np.asarray(np.linalg.norm(positions[i] - positions[j], axis=1))


def kabsch(positions: Positions, reference: Positions) -> float:
    """Root mean square distance of an atom from its place, after the best shift; small displacements barely turn."""
    moved = positions - positions.mean(axis=0) - reference + reference.mean(axis=0)
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def point_group(positions: Positions) -> str:
    molecule = Molecule(species(len(positions) // 3), positions)
    return str(PointGroupAnalyzer(molecule, tolerance=0.15).sch_symbol)


if __name__ == "__main__":
    {"--search": search, "--solve": solve, "--box": boxes}.get(sys.argv[-1], shipped)()
