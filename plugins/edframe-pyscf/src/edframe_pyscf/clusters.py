"""The dataset ``li2o-clusters``: (Li₂O)ₙ at the level of ``li-o-li``, for models that should hold on larger systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from safetensors import SafetensorError, safe_open

from edframe.data.conversion import as_label
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample
from edframe_pyscf import scf
from edframe_pyscf.clusters_geometry import LEVEL, SAMPLES, SIZES, Cluster, chosen, clusters, sample_id
from edframe_pyscf.matrices import unpack
from edframe_pyscf.options_clusters import Li2OClustersConfig
from edframe_pyscf.orbitals import Expansion

SHIPPED = Path(__file__).parent / "data" / "li2o_clusters.safetensors"


class Labels(NamedTuple):
    """What ships. matrices: packed density matrices ``[sample, pair]`` by size; records: of each SCF, by size."""

    pyscf: str
    records: dict[int, list[dict[str, Any]]]
    matrices: dict[int, NDArray[np.float32]]


class Li2OClusters(PreparedDataset):
    """Relaxed and displaced (Li₂O)ₙ, n = 1 to 4, each size in a periodic box of its own, voxels alike in all.

    Densities are PBE valence densities with GTH pseudopotentials, e/Å³, scaled to integrate to 12 n electrons. A
    sample's source has n, its number of Li₂O units, and the id begins with it: ``li2o-3-07``.
    """

    maker = "edframe_pyscf.clusters:label"

    config: Li2OClustersConfig

    def __init__(self, config: Li2OClustersConfig) -> None:
        super().__init__("li2o-clusters", config)
        self.brief = config.source == "shipped"

    def jobs(self) -> Sequence[Job]:
        return [self._job(n, sample) for n, sample in chosen(self.config.sizes, self.config.samples)]

    @property
    def holdouts(self) -> Mapping[str, Sequence[int]]:
        """``n>1``, ``n>2`` and ``n>3``, those that are not empty: the clusters of more Li₂O units than that."""
        larger = {f"n>{n}": [i for i, job in enumerate(self._made) if job.inputs["n"] > n] for n in SIZES}
        return {name: indices for name, indices in larger.items() if indices}

    def build(
        self,
        advance: Callable[[int, int], None],
        *,
        recompute: bool = False,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Evaluate the shipped density matrices; with the option ``source=recomputed``, converge every SCF instead."""
        if recompute and self.config.source == "shipped":
            raise DataError(
                "li2o-clusters evaluates the density matrices in the package; "
                "`edframe data build li2o-clusters --set data.source=recomputed` converges every SCF again"
            )
        super().build(advance, workers=workers, scheduler=scheduler)

    def describe(self) -> Mapping[str, Any]:
        return {
            "about": "(Li2O)n, relaxed and displaced, for the transfer of models from li-o-li to larger systems",
            **LEVEL.facts(),
            "point groups": ", ".join(f"n = {n}: {clusters()[n].point_group}" for n in self.config.sizes),
            "boxes (Å)": "; ".join("×".join(f"{a:g}" for a in clusters()[n].sides) for n in self.config.sizes),
            "density matrices": self.config.source,
            **super().describe(),
        }

    def _job(self, n: int, sample: int) -> Job:
        cluster = clusters()[n]
        inputs: dict[str, Any] = {
            "n": n,
            "sample": sample,
            "positions": cluster.positions[sample].tolist(),
            "sides": cluster.sides.tolist(),
            "shape": list(cluster.shape(self.config.voxel)),
            "source": self.config.source,
            **LEVEL.facts(),
        }
        if self.config.source == "shipped":
            inputs["matrix"] = hashlib.sha256(shipped().matrices[n][sample].tobytes()).hexdigest()
        return Job(sample_id(n, sample), inputs)


def label(job: Job) -> Sample:
    """The sample of a job. Raises DataError when its SCF, if it asks for one, does not converge.

    source: n, whether relaxed, the level, mesh, energy (hartree), cycles and settings of the SCF, PySCF's version, and
    the integral before scaling (e).
    """
    n, sample = job.inputs["n"], job.inputs["sample"]
    cluster, grid = clusters()[n], Grid.of(job.inputs["sides"], job.inputs["shape"])
    positions = cluster.positions[sample] + cluster.sides / 2
    if job.inputs["source"] == "shipped":
        version, records, matrices = shipped()
        matrix, record = unpack(matrices[n][sample]), records[n][sample]
    else:
        from pyscf import __version__

        solution = solve(n, sample)
        version, matrix, record = __version__, solution.density_matrix, solution.record()
    density = expansion(n).density(positions, matrix, grid)
    source = {
        "n": n,
        "relaxed": sample == 0,
        **LEVEL.facts(),
        "mesh": LEVEL.mesh(cluster.sides.tolist()),
        **record,
        "pyscf": version,
        "integral_before_normalisation": float(density.sum()) * grid.voxel_volume,
    }
    structure = Structure(Lattice(grid.vectors), list(cluster.species), positions, coords_are_cartesian=True)
    return as_label(Sample(job.id, structure, grid, density[None], float(cluster.electrons), source))


def solve(n: int, sample: int) -> scf.Solution:
    """Converge the SCF of one configuration. Raises DataError when no rung of the ladder does."""
    cluster = clusters()[n]
    return scf.solve(cell_of(cluster, cluster.positions[sample]), sample_id(n, sample))


@cache
def shipped() -> Labels:
    """The density matrices in the package. Raises DataError when their file is absent or damaged."""
    try:
        with safe_open(SHIPPED, framework="numpy") as file:
            metadata = file.metadata()
            matrices = {n: file.get_tensor(f"n{n}") for n in clusters()}
        records = {int(n): entries for n, entries in json.loads(metadata["scf"]).items()}
        if any(len(matrices[n]) != SAMPLES or len(records[n]) != SAMPLES for n in clusters()):
            raise ValueError(f"not {SAMPLES} density matrices of each size")
        return Labels(metadata["pyscf"], records, matrices)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise DataError(f"li2o-clusters: {SHIPPED} is damaged ({error}); reinstall edframe-pyscf") from error


def cell_of(cluster: Cluster, positions: NDArray[np.float64]) -> Any:
    return scf.build_cell(cluster.species, positions + cluster.sides / 2, np.diag(cluster.sides), LEVEL)


@cache
def expansion(n: int) -> Expansion:
    """The orbitals, the same for every configuration of a size but for the positions of the atoms."""
    cluster = clusters()[n]
    return Expansion.of(cell_of(cluster, cluster.positions[0]))
