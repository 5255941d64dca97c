"""The dataset ``li-o-li``: densities evaluated from shipped density matrices, on any grid, cached on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from safetensors import SafetensorError, safe_open
from threadpoolctl import threadpool_limits

from edframe.data.cache import DensityCache, cache_folder
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Dataset
from edframe.sample import Sample
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from edframe_pyscf.matrices import unpack
from edframe_pyscf.orbitals import Expansion
from edframe_pyscf.plugin import LiOLiConfig

ELECTRONS = 12
"""Valence electrons: O 6, Li 3 each (the 1s shell of Li is valence)."""

FLUSH_EVERY = 50
"""Densities between two notes on disk of which are there: what a killed build may have to repeat."""

SHIPPED = Path(__file__).parent / "data" / "li_o_li.safetensors"


class Labels(NamedTuple):
    """The content of a file of labels: density matrices ``[configuration, pair]``, and how they were made."""

    level: dict[str, Any]
    records: list[dict[str, Any]]
    matrices: NDArray[np.float32]


def recomputed_folder() -> Path:
    """Where ``edframe data build li-o-li --recompute`` keeps its parts and its result."""
    return cache_folder() / "li-o-li" / "recomputed"


class LiOLi(Dataset):
    """Li–O–Li in a periodic cube of 7.2 Å: each Li on 25 positions, 625 configurations.

    Densities are PBE valence densities with GTH pseudopotentials, e/Å³, scaled to integrate to 12 e exactly
    (on 48³ they miss them by at most 6e-4 e; ``docs/data/li-o-li.md`` has other grids). Raises DataError when the
    density matrices are absent or damaged.

    With ``dimension`` 2 a sample is the cut through the plane of the atoms, ``[s, x, y]``: ρ(x, y, z = centre) times
    1 Å, so that its values in e/Å² are those of the density in e/Å³. A cut has no number of electrons known
    beforehand: it is not scaled, and ``electrons`` is its own integral, which differs from sample to sample. A model
    is thus told the integral of what it is to find. The structure keeps its three-dimensional cell.
    """

    def __init__(self, config: LiOLiConfig) -> None:
        self.config = config
        self.grid = Grid.of([geometry.CELL_LENGTH] * config.dimension, config.grid)
        chosen = np.linspace(0, 624, config.samples).round().astype(int)
        self._rows = [int(row) for row in chosen]
        self._pairs = geometry.pairs()
        self._ids = [geometry.sample_id(*self._pairs[row]) for row in self._rows]
        self._file = SHIPPED if config.source == "shipped" else recomputed_folder() / "li_o_li.safetensors"

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    @property
    def contents(self) -> Contents:
        return Contents(species=("Li", "O"), max_atoms=3, dimension=self.grid.dimension)

    @property
    def groups(self) -> Sequence[int]:
        """Mirror images share a group: 175 groups for the 625 configurations."""
        return [geometry.mirror_class(*self._pairs[row]) for row in self._rows]

    @property
    def holdouts(self) -> Mapping[str, Sequence[int]]:
        """``corners``: an Li has the longest bond and is bent the farthest, 1.86 Å at ±30°; 96 of the 625.

        The rest has that bond and that angle, but never in one Li: both corners of the patch are outside the hull of
        the positions that an Li has in training.
        """
        found = [i for i, row in enumerate(self._rows) if geometry.CORNERS & set(self._pairs[row])]
        return {"corners": found} if found else {}

    def __getitem__(self, index: int) -> Sample:
        row = self._rows[index]
        left, right = self._pairs[row]
        if not self._cache.present[row]:
            self._cache.put(row, self._evaluate(row))
            self._cache.flush()
        density = self._cache.get(row)
        integral = float(density.sum(dtype=np.float64)) * self.grid.voxel_volume
        if not integral > 0:
            raise DataError(f"{self._ids[index]}: the cache {self._cache.folder} is damaged; delete it")
        electrons = float(ELECTRONS) if self.grid.dimension == 3 else integral
        return Sample(
            id=self._ids[index],
            structure=Structure(
                Lattice.cubic(geometry.CELL_LENGTH),
                list(geometry.SPECIES),
                geometry.positions(left, right),
                coords_are_cartesian=True,
            ),
            grid=self.grid,
            density=density * np.float32(electrons / integral),
            electrons=electrons,
            source={**self.level, **self.records[row], "integral_before_normalisation": integral},
        )

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self._file_bytes())
        digest.update(json.dumps([self.grid.to_dict(), self._ids]).encode())
        return digest.hexdigest()

    @property
    def ready(self) -> bool:
        return bool(self._cache.present[self._rows].all())

    def build(
        self,
        advance: Callable[[int, int], None],
        *,
        recompute: bool = False,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Evaluate every density on the grid; with ``recompute``, converge every SCF first."""
        if recompute:
            from edframe_pyscf.recompute import recompute as converge

            converge(recomputed_folder(), workers=workers, scheduler=scheduler, advance=advance)
            return
        cache = self._cache
        todo = sorted(set(cache.missing()) & set(self._rows))
        if not todo:
            return
        _ = self._expansion, self._labels  # made once, before the threads ask for them

        # Threads, because NumPy releases the lock in all the heavy work; one BLAS thread in each, for more wait on
        # each other. Each stores what it evaluated, so an interrupted build loses nothing.
        def fill(row: int) -> None:
            cache.put(row, self._evaluate(row))

        pool = ThreadPoolExecutor(workers)
        try:
            with threadpool_limits(1, "blas"):
                futures = [pool.submit(fill, row) for row in todo]
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    if done % FLUSH_EVERY == 0:
                        cache.flush()
                    advance(len(self._rows) - len(todo) + done, len(self._rows))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            cache.flush()

    def describe(self) -> Mapping[str, Any]:
        cycles = [record["cycles"] for record in self.records]
        rungs = {f"level shift {r['level_shift']:g}, smearing {r['smearing']:g} (hartree)" for r in self.records}
        return {
            "about": "a reconstruction of the 2018 Li-O-Li set, whose positions and grid were not recorded",
            **self.level,
            "grid": "×".join(map(str, self.grid.shape)),
            "electrons": ELECTRONS if self.grid.dimension == 3 else "those of a cut through the plane of the atoms",
            "bond lengths (Å)": ", ".join(map(str, geometry.BOND_LENGTHS)),
            "angles (degrees)": ", ".join(map(str, geometry.ANGLES)),
            "SCF cycles": f"{min(cycles)} to {max(cycles)}, median {np.median(cycles):g}, all converged",
            "SCF settings used": "; ".join(sorted(rungs)),
            "cache": str(self._cache_folder),
        }

    @property
    def level(self) -> dict[str, Any]:
        """Level of theory, from the file's header."""
        return self._labels.level

    @property
    def records(self) -> list[dict[str, Any]]:
        """How the SCF of each of the 625 configurations converged."""
        return self._labels.records

    @cached_property
    def _labels(self) -> Labels:
        self._file_bytes()
        try:
            with safe_open(self._file, framework="numpy") as file:
                metadata, matrices = file.metadata(), file.get_tensor("density_matrices")
            labels = Labels(json.loads(metadata["level"]), json.loads(metadata["scf"]), matrices)
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise DataError(f"li-o-li: {self._file} is damaged ({error}); {self._fix}") from error
        if not len(labels.records) == len(labels.matrices) == len(self._pairs):
            raise DataError(f"li-o-li: {self._file} has {len(labels.matrices)} density matrices; {self._fix}")
        return labels

    @cached_property
    def _expansion(self) -> Expansion:
        """The orbitals, the same for every configuration but for the positions of the atoms."""
        box = np.eye(3) * geometry.CELL_LENGTH
        cell = scf.build_cell(geometry.SPECIES, geometry.positions(0, 0), box, geometry.LEVEL)
        return Expansion.of(cell)

    @cached_property
    def _cache_folder(self) -> Path:
        # Named by the content, so that a cache never outlives the matrices or the evaluation it was made from.
        key = hashlib.sha256(self._file_bytes() + b"evaluation 2").hexdigest()[:12]
        plane = "-plane" if self.grid.dimension == 2 else ""
        return cache_folder() / "li-o-li" / f"{self.config.grid}{plane}-{key}.zarr"

    @cached_property
    def _cache(self) -> DensityCache:
        return DensityCache(self._cache_folder, len(self._pairs), (1, *self.grid.shape))

    def _evaluate(self, row: int) -> NDArray[np.float32]:
        positions, matrix = geometry.positions(*self._pairs[row]), unpack(self._labels.matrices[row])
        if self.grid.dimension == 3:
            density = self._expansion.density(positions, matrix, self.grid)
        else:  # two points along z: the face of the cell, and the plane through its centre, where the atoms are
            layers = Grid.of([geometry.CELL_LENGTH] * 3, (*self.grid.shape, 2))
            density = self._expansion.density(positions, matrix, layers)[..., 1]
        return density[None].astype(np.float32)

    def _file_bytes(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError as error:
            raise DataError(f"li-o-li: the density matrices {self._file} are not there; {self._fix}") from error

    @property
    def _fix(self) -> str:
        if self.config.source == "recomputed":
            return "run `edframe data build li-o-li --recompute`"
        return "reinstall edframe-pyscf"
