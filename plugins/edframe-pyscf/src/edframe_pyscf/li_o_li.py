"""The dataset ``li-o-li``: densities evaluated from shipped density matrices, on any grid, once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from safetensors import SafetensorError, safe_open
from threadpoolctl import threadpool_limits

from edframe.data.cache import cache_folder
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.sample import Sample
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from edframe_pyscf.matrices import unpack
from edframe_pyscf.orbitals import Expansion
from edframe_pyscf.plugin import LiOLiConfig

ELECTRONS = 12
"""Valence electrons: O 6, Li 3 each (the 1s shell of Li is valence)."""

EVALUATION = 3
"""Raised when the same density matrix gives another sample: what was evaluated before is not used then."""

BRIEF = 64**3
"""Points up to which a density, in 0.05 s, is evaluated sooner than another process has started."""

SHIPPED = Path(__file__).parent / "data" / "li_o_li.safetensors"


class Labels(NamedTuple):
    """The content of a file of labels: density matrices ``[configuration, pair]``, and how they were made."""

    level: dict[str, Any]
    records: list[dict[str, Any]]
    matrices: NDArray[np.float32]


def recomputed_folder() -> Path:
    """Where ``edframe data build li-o-li --recompute`` writes its parts and its result."""
    return cache_folder() / "li-o-li" / "recomputed"


class LiOLi(PreparedDataset):
    """Li–O–Li in a periodic cube of 7.2 Å: each Li on 25 positions, 625 configurations.

    Densities are PBE valence densities with GTH pseudopotentials, e/Å³, scaled to integrate to 12 e exactly
    (on 48³ they miss them by at most 6e-4 e; ``docs/data/li-o-li.md`` has other grids). A sample that is read before
    ``build`` is evaluated then. Raises DataError when the density matrices are absent or damaged.

    With ``dimension`` 2 a sample is the cut through the plane of the atoms, ``[s, x, y]``: ρ(x, y, z = centre) times 1
    Å, so that its values in e/Å² are those of the density in e/Å³. A cut has no number of electrons known beforehand:
    it is not scaled, and ``electrons`` is its own integral, which differs from sample to sample. So a model gets the
    integral of what it is to find as an input. The structure has its three-dimensional cell.
    """

    maker = "edframe_pyscf.li_o_li:label"

    config: LiOLiConfig

    def __init__(self, config: LiOLiConfig) -> None:
        super().__init__("li-o-li", config)
        self.grid = grid_of(config.grid, config.dimension)
        self.brief = self.grid.points <= BRIEF
        chosen = np.linspace(0, 624, config.samples).round().astype(int)
        self.rows = [int(row) for row in chosen]
        """Which of the 625 the samples are."""
        self._pairs = geometry.pairs()
        self._names = [geometry.sample_id(*self._pairs[row]) for row in self.rows]

    def jobs(self) -> Sequence[Job]:
        same = {"grid": self.config.grid, "dimension": self.config.dimension, "source": self.config.source,
                "labels": _digest(self.config.source), "evaluation": EVALUATION}  # fmt: skip
        return [Job(name, {"row": row, **same}) for row, name in zip(self.rows, self._names, strict=True)]

    @property
    def folder(self) -> Path:
        """One for each grid: more samples of it share what is there."""
        plane = "-plane" if self.grid.dimension == 2 else ""
        return cache_folder() / "li-o-li" / f"{self.config.grid}{plane}"

    @property
    def ids(self) -> Sequence[str]:
        return self._names

    @property
    def contents(self) -> Contents:
        return Contents(species=("Li", "O"), max_atoms=3, dimension=self.grid.dimension)

    @property
    def groups(self) -> Sequence[int]:
        """Mirror images share a group: 175 groups for the 625 configurations."""
        return [geometry.mirror_class(*self._pairs[row]) for row in self.rows]

    @property
    def buckets(self) -> Sequence[int]:
        return [0] * len(self.rows)

    @property
    def holdouts(self) -> Mapping[str, Sequence[int]]:
        """``corners``: an Li has the longest bond and is bent the farthest, 1.86 Å at ±30°; 96 of the 625.

        The rest has that bond and that angle, but never in one Li: both corners of the patch are outside the hull of
        the positions that an Li has in training.
        """
        corners = [i for i, row in enumerate(self.rows) if geometry.CORNERS & set(self._pairs[row])]
        return {"corners": corners} if corners else {}

    def __getitem__(self, index: int) -> Sample:
        job = self._jobs[index]
        row = self._row(job)
        return label(job) if row is None else replace(self._store[row], id=job.id)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(_bytes_of(self.config.source))
        digest.update(json.dumps([self.grid.to_dict(), self._names]).encode())
        return digest.hexdigest()

    def build(
        self,
        advance: Callable[[int, int], None],
        *,
        recompute: bool = False,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Evaluate every density on the grid; with ``recompute``, converge every SCF instead."""
        if recompute:
            from edframe_pyscf.recompute import recompute as converge

            converge(recomputed_folder(), workers=workers, scheduler=scheduler, advance=advance)
        elif not self.ready:
            super().build(advance, workers=workers, scheduler=scheduler)

    def describe(self) -> Mapping[str, Any]:
        level, records, _ = labels(self.config.source)
        cycles = [record["cycles"] for record in records]
        rungs = {f"level shift {r['level_shift']:g}, smearing {r['smearing']:g} (hartree)" for r in records}
        return {
            "about": "a reconstruction of the 2018 Li-O-Li set, whose positions and grid were not recorded",
            **level,
            "grid": "×".join(map(str, self.grid.shape)),
            "electrons": ELECTRONS if self.grid.dimension == 3 else "those of a cut through the plane of the atoms",
            "bond lengths (Å)": ", ".join(map(str, geometry.BOND_LENGTHS)),
            "angles (degrees)": ", ".join(map(str, geometry.ANGLES)),
            "SCF cycles": f"{min(cycles)} to {max(cycles)}, median {np.median(cycles):g}, all converged",
            "SCF settings used": "; ".join(sorted(rungs)),
            "kept in": str(self.folder),
        }


def grid_of(points: int, dimension: int) -> Grid:
    """So many points along each side of the cube, or of the square through its centre."""
    return Grid.of([geometry.CELL_LENGTH] * dimension, points)


def label(job: Job) -> Sample:
    """The sample of a job, from the density matrix of its row. Raises DataError when the matrices are damaged.

    source: the level, energy (hartree), cycles and settings of the SCF, and the integral before scaling (e).
    """
    row, grid = job.inputs["row"], grid_of(job.inputs["grid"], job.inputs["dimension"])
    level, records, matrices = _parsed(_file_of(job.inputs["source"]), job.inputs["labels"])
    positions = geometry.positions(*geometry.pairs()[row])
    density = evaluated(positions, unpack(matrices[row]), grid)[None].astype(np.float32)
    integral = float(density.sum(dtype=np.float64)) * grid.voxel_volume
    electrons = float(ELECTRONS) if grid.dimension == 3 else integral
    return Sample(
        id=job.id,
        structure=Structure(
            Lattice.cubic(geometry.CELL_LENGTH), list(geometry.SPECIES), positions, coords_are_cartesian=True
        ),
        grid=grid,
        density=density * np.float32(electrons / integral),
        electrons=electrons,
        source={**level, **records[row], "integral_before_normalisation": integral},
    )


def evaluated(positions: NDArray[np.float64], matrix: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """The density of a matrix ``[orbital, orbital]`` on ``grid``, as it is, in e/Å³: ``[x, y, z]``, or ``[x, y]``."""
    with threadpool_limits(1, "blas"):  # the same numbers on any number of cores
        if grid.dimension == 3:
            return _expansion().density(positions, matrix, grid)
        # Two points along z: the face of the cell, and the plane through its centre, where the atoms are.
        layers = Grid.of([geometry.CELL_LENGTH] * 3, (*grid.shape, 2))
        return _expansion().density(positions, matrix, layers)[..., 1]


@cache
def _expansion() -> Expansion:
    """The orbitals, the same for every configuration but for the positions of the atoms."""
    box = np.eye(3) * geometry.CELL_LENGTH
    return Expansion.of(scf.build_cell(geometry.SPECIES, geometry.positions(0, 0), box, geometry.LEVEL))


def labels(source: str) -> Labels:
    """All 625 density matrices, ``"shipped"`` or ``"recomputed"``, with their level of theory and how each SCF
    converged. Raises DataError when their file is absent or damaged."""
    return _parsed(_file_of(source), _digest(source))


@cache
def _parsed(path: Path, digest: str) -> Labels:
    """The content of a file whose SHA-256 is ``digest``: that of the process that asked for a label."""
    source = "shipped" if path == SHIPPED else "recomputed"
    if _digest(source) != digest:
        raise DataError(f"li-o-li: {path} has other density matrices here; install the same edframe-pyscf everywhere")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, matrices = file.metadata(), file.get_tensor("density_matrices")
        content = Labels(json.loads(metadata["level"]), json.loads(metadata["scf"]), matrices)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise DataError(f"li-o-li: {path} is damaged ({error}); {FIXES[source]}") from error
    if not len(content.records) == len(content.matrices) == len(geometry.pairs()):
        raise DataError(f"li-o-li: {path} has {len(content.matrices)} density matrices; {FIXES[source]}")
    return content


FIXES = {"shipped": "reinstall edframe-pyscf", "recomputed": "run `edframe data build li-o-li --recompute`"}


def _file_of(source: str) -> Path:
    return SHIPPED if source == "shipped" else recomputed_folder() / "li_o_li.safetensors"


def _digest(source: str) -> str:
    return hashlib.sha256(_bytes_of(source)).hexdigest()


def _bytes_of(source: str) -> bytes:
    try:
        return _file_of(source).read_bytes()
    except OSError as error:
        raise DataError(f"li-o-li: the density matrices {_file_of(source)} are not there; {FIXES[source]}") from error
