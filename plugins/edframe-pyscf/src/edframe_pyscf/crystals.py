"""The dataset ``crystals``: densities of small cells in CIF and POSCAR files, by periodic PySCF with k-points."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from scipy.fft import next_fast_len

from edframe.data.conversion import as_label
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.files import open_bytes
from edframe.io.patterns import names, select
from edframe.sample import Sample
from edframe_pyscf.levels import LEVELS, PSEUDOPOTENTIAL, Level
from edframe_pyscf.options_clusters import CrystalsConfig
from edframe_pyscf.scf import Settings, drive

GAP = 0.02
"""Hartree. An integer filling with a smaller gap is that of a metal, and is done again with smearing."""

LADDER = (Settings(), Settings(smearing=0.005, max_cycle=150), Settings(0.3, 0.005, max_cycle=150))
"""Tried in order until one converges: an insulator's; a metal's; a metal's with level shift."""

BLOCKS = 8
"""Grid sizes are multiples of it, for models that halve the resolution."""


@dataclass(frozen=True)
class Solution:
    """A converged SCF. density_matrices ``[k, orbital, orbital]``; kpoints ``[k, xyz]`` in 1/bohr; energy, gap and
    Fermi level in hartree, gap None where filling is fractional."""

    cell: Any
    kpoints: NDArray[np.float64]
    density_matrices: NDArray[np.complex128]
    energy: float
    gap: float | None
    cycles: int
    settings: Settings


class Crystals(PreparedDataset):
    """Spin-restricted PBE valence densities of crystals, e/Å³, with GTH pseudopotentials.

    Raises DataError for a pattern that matches no structure. What cannot be labelled is left out and listed.
    """

    maker = "edframe_pyscf.crystals:label"

    config: CrystalsConfig

    def __init__(self, config: CrystalsConfig) -> None:
        super().__init__("crystals", config)

    def jobs(self) -> Sequence[Job]:
        files = select(self.config.files, _structure_of, "CIF or POSCAR, nor a folder with one")
        options = self.config.model_dump(mode="json", exclude={"files"})
        # The text itself: a label took minutes, so a file that was copied or touched must not ask for it anew.
        texts = [open_bytes(file).read().decode(errors="replace") for file in files]
        return [
            Job(name, {"file": str(file), "text": text, **options})
            for name, file, text in zip(names(files), files, texts, strict=True)
        ]

    def describe(self) -> Mapping[str, Any]:
        return {**LEVELS[self.config.level].facts(), "spin": "restricted: no magnetism", **super().describe()}


def label(job: Job) -> Sample:
    """The sample of one file. Raises DataError, with its path, for what cannot be read, is disordered, larger than
    ``max_atoms``, without basis or pseudopotential, or does not converge.

    source: file, level of theory, k-points, how the SCF went, and the integral before scaling (e).
    """
    from pyscf import __version__

    file, options = job.inputs["file"], job.inputs
    structure = read_structure(file, options["text"])
    if len(structure) > options["max_atoms"]:
        raise DataError(
            f"{file}: it has {len(structure)} atoms, and only small cells, of at most {options['max_atoms']}, are "
            f"computed: give its primitive cell, or --set data.max_atoms={len(structure)} and hours"
        )
    level = LEVELS[options["level"]]
    cell = build_cell(structure, level, file)
    mesh = kpoint_mesh(structure.lattice.matrix, options["kspacing"], cell.nelectron)
    solution = solve(cell, mesh, file, [replace(rung, conv_tol=level.conv_tol) for rung in LADDER])
    grid = Grid.of(structure.lattice.matrix, grid_shape(structure.lattice.matrix, options["voxel"]))
    density = density_on_grid(solution, grid)
    electrons = float(cell.nelectron)
    integral = float(density.sum()) * grid.voxel_volume
    source = {
        "file": file,
        **level.facts(),
        "kpoints": list(mesh),
        "mesh": [int(n) for n in cell.mesh],
        "energy_hartree": solution.energy,
        "gap_hartree": solution.gap,
        "cycles": solution.cycles,
        **asdict(solution.settings),
        "pyscf": __version__,
        "integral_before_normalisation": integral,
    }
    return as_label(Sample(job.id, structure, grid, density[None], electrons, source))


def read_structure(file: str, text: str) -> Structure:
    """The one structure in a CIF or POSCAR, without velocities or oxidation states. Raises DataError with the path."""
    cif = ".cif" in Path(file).name.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(text, fmt="cif" if cif else "poscar")
    except Exception as error:  # pymatgen raises whatever its parsers meet
        kind = "CIF" if cif else "POSCAR"
        raise DataError(f"{file}: it cannot be read as a {kind} ({error}); check it, or convert it") from error
    for number, site in enumerate(structure, start=1):
        if not site.is_ordered:
            raise DataError(
                f"{file}: site {number} ({site.species_string}) has partial occupancy, and a density has whole atoms: "
                "give an ordered structure"
            )
    return Structure(structure.lattice, [site.specie.symbol for site in structure], structure.frac_coords)


def kpoint_mesh(lattice: NDArray[np.float64], kspacing: float, electrons: int) -> tuple[int, int, int]:
    """Points along each reciprocal vector, as VASP's KSPACING: max(1, ⌈|b| / kspacing⌉), b with 2π, in 1/Å.

    An odd number of electrons in a cell takes one more along each vector where all three are odd: PySCF fills whole
    pairs over all k-points together, and would add an electron.
    """
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    counts = np.maximum(1, np.ceil(lengths / kspacing - 1e-9).astype(int))
    a, b, c = (int(n) for n in counts + (electrons % 2 and counts.prod() % 2))
    return a, b, c


def grid_shape(lattice: NDArray[np.float64], voxel: float) -> tuple[int, ...]:
    """The fewest points ``(n1, n2, n3)`` with edges of at most ``voxel`` Å: multiples of 8, no prime beyond 5."""
    fewest = np.ceil(np.linalg.norm(lattice, axis=1) / voxel / BLOCKS - 1e-9).astype(int)
    return tuple(BLOCKS * next_fast_len(int(n), real=True) for n in fewest)


def build_cell(structure: Structure, level: Level, file: str) -> Any:
    """The PySCF cell. Raises DataError, with element and path, where basis or pseudopotential are missing."""
    from pyscf.pbc import gto

    species = [site.specie.symbol for site in structure]
    level.require(species, [file] * len(species))
    return gto.M(
        atom=list(zip(species, structure.cart_coords.tolist(), strict=True)),
        a=structure.lattice.matrix,
        unit="A",
        basis=level.basis,
        pseudo=PSEUDOPOTENTIAL,
        spin=None,  # a cell may hold an odd number of electrons: the SCF is restricted all the same
        mesh=level.mesh(structure.lattice.abc),
        precision=level.precision,
        verbose=0,
    )


def solve(cell: Any, mesh: Sequence[int], label: str, ladder: Sequence[Settings] = LADDER) -> Solution:
    """Converge PBE for ``cell`` on a Γ-centred ``mesh`` of k-points (Coulomb and PBE on the cell's mesh).

    Raises DataError, naming ``label``, when no rung of the ladder converges.
    """
    kpoints = cell.make_kpts(mesh)
    for settings in ladder:
        if cell.nelectron % 2 and not settings.smearing:
            continue  # without spin it is a metal, whatever gap a coarse mesh shows
        mean_field, cycles = _attempt(cell, kpoints, settings)
        gap = None if settings.smearing else _gap(mean_field)
        if mean_field.converged and (gap is None or gap > GAP):
            matrices = np.asarray(mean_field.make_rdm1())
            return Solution(cell, kpoints, matrices, float(mean_field.e_tot), gap, cycles, settings)
    raise DataError(
        f"{label}: the SCF converged neither as an insulator nor as a metal with smearing and level shift. An "
        "unconverged density is not a label: check the distances of its atoms"
    )


def density_on_grid(solution: Solution, grid: Grid) -> NDArray[np.float64]:
    """ρ(r) = Σ_k w_k Σ_μν D_μν(k) φ_μk(r) φ*_νk(r) at the points of ``grid``, ``[x, y, z]`` in e/Å³; any cell."""
    from pyscf.data.nist import BOHR
    from pyscf.pbc.dft import gen_grid, numint

    points = gen_grid.UniformGrids(solution.cell)
    points.mesh = np.array(grid.shape)
    density = numint.KNumInt().get_rho(solution.cell, solution.density_matrices, points, solution.kpoints)
    values: NDArray[np.float64] = np.reshape(density, grid.shape) / BOHR**3
    return values


def _attempt(cell: Any, kpoints: NDArray[np.float64], settings: Settings) -> tuple[Any, int]:
    from pyscf.pbc import dft

    from edframe_pyscf.bloch import BlochNumInt

    mean_field = dft.KRKS(cell, kpoints)
    mean_field._numint = BlochNumInt(cell)
    return drive(mean_field, settings)


def _gap(mean_field: Any) -> float:
    """Lowest empty less highest filled level over all k-points, hartree."""
    levels, filled = np.concatenate(mean_field.mo_energy), np.concatenate(mean_field.mo_occ) > 0
    return float(levels[~filled].min() - levels[filled].max()) if not filled.all() else np.inf


def _structure_of(path: Path) -> Path | None:
    """A CIF or POSCAR, or the POSCAR in a folder; None for other files."""
    if path.is_dir():
        return path / "POSCAR" if (path / "POSCAR").is_file() else None
    name = path.name.lower().removesuffix(".gz")
    return path if name.endswith((".cif", ".vasp", ".poscar")) or "poscar" in name or "contcar" in name else None
