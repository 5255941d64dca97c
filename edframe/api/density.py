"""An electron density with its atoms: numbers, pictures, files, and what other libraries take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edframe.api.charges import Method, divided
from edframe.api.sampling import sampled
from edframe.data.level import Level
from edframe.errors import DataError
from edframe.grid import Grid, density_unit

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure
    from pymatgen.core.structure import Structure
    from pymatgen.io.vasp.outputs import Chgcar

    from edframe.sample import Sample


@dataclass(frozen=True, eq=False)
class Density:
    """A valence electron density on the grid of one cell.

    values: ``[s, x, y, z]`` float64 in e/Å³; s = 1: the total, s = 2: the total and the magnetisation. grid: cell and
    points. structure: the atoms. source: where it came from, as plain data. notes: sentences on what was decided in
    reading, or on how far a prediction can be trusted. spread: of a prediction by an ensemble, the standard deviation
    to expect at each point, ``[s, x, y, z]`` in e/Å³. expected_nmae: of that of an ensemble, or by a featurizer that
    knows it, the NMAE to expect in %.
    """

    values: NDArray[np.float64]
    grid: Grid
    structure: Structure
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    spread: NDArray[np.float64] | None = None
    expected_nmae: float | None = None

    @classmethod
    def of(cls, sample: Sample, notes: Sequence[str] = ()) -> Density:
        """The density of a Sample."""
        return cls(sample.density.astype(np.float64), sample.grid, sample.structure, sample.source, tuple(notes))

    @property
    def total(self) -> NDArray[np.float64]:
        """``[x, y, z]`` in e/Å³."""
        total: NDArray[np.float64] = self.values[0]
        return total

    @property
    def magnetisation(self) -> NDArray[np.float64] | None:
        """Spin up minus spin down, ``[x, y, z]`` in e/Å³; None where there is no spin."""
        return self.values[1] if len(self.values) == 2 else None

    @cached_property
    def electrons(self) -> float:
        """The integral of the total density."""
        return float(self.total.sum() * self.grid.voxel_volume)

    @property
    def isolated(self) -> bool:
        """Whether there is a vacuum along each axis, as around a molecule in a box."""
        from edframe.metrics.standard import is_isolated

        return is_isolated(self.total, self.grid)

    @cached_property
    def valence(self) -> NDArray[np.float64]:
        """Electrons that each neutral atom brings, ``[atom]``: those left by the usual pseudopotentials.

        Raises DataError where the number of electrons of the density does not determine them.
        """
        from edframe.api.valence import of_atoms

        return of_atoms(self.structure, self.electrons)

    @property
    def dipole(self) -> NDArray[np.float64] | None:
        """The electric dipole moment in e·Å, ``[3]``, from the negative to the positive charge, with the origin in the
        middle of the atoms; None for a crystal or a slab, where it is not defined.

        Raises DataError where the valence electrons of the atoms are not known.
        """
        from edframe.metrics.standard import centre_of_atoms

        if not self.isolated:
            return None
        centre = centre_of_atoms(self.structure.cart_coords, self.grid)
        inverse = np.linalg.inv(self.grid.vectors)
        middle = centre @ inverse
        atoms = self.structure.cart_coords @ inverse - middle
        atoms -= np.floor(atoms + 0.5)
        moment = self.valence @ atoms
        for axis, n in enumerate(self.grid.shape):
            others = tuple(other for other in range(3) if other != axis)
            fractions = np.arange(n) / n - middle[axis]
            fractions -= np.floor(fractions + 0.5)
            moment[axis] -= float(fractions @ self.total.sum(axis=others)) * self.grid.voxel_volume
        return np.asarray(moment @ self.grid.vectors)

    def electrons_of_atoms(
        self, method: Method = "voronoi", *, atoms_of: str | Path | None = None
    ) -> NDArray[np.float64]:
        """Electrons of each atom, ``[atom]``; their sum is ``electrons``.

        voronoi: each point belongs to the nearest atom (Fonseca Guerra et al. 2004). hirshfeld: points are shared in
        proportion to free atoms (Hirshfeld 1977), or to those fitted in the run ``atoms_of``. bader: basins of the
        density, by the near-grid method (Tang, Sanville & Henkelman 2009). Raises DataError for another method, and for
        an element without a free atom; RunError for a run without fitted atoms.
        """
        return divided(self.total, self.grid, self.structure, method, atoms_of)

    def charges(self, method: Method = "voronoi", *, atoms_of: str | Path | None = None) -> NDArray[np.float64]:
        """Partial charges in e, ``[atom]``: the valence electrons of the neutral atoms less ``electrons_of_atoms``."""
        return np.asarray(self.valence - self.electrons_of_atoms(method, atoms_of=atoms_of))

    def line(
        self, start: ArrayLike, end: ArrayLike, points: int = 200
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances from ``start`` in Å, ``[point]``, and the total density along a straight line, in e/Å³.

        start, end: ``[3]`` in Å, or the number of an atom from 0. Linear between grid points.
        """
        ends = [self.place(start), self.place(end)]
        steps = np.linspace(0, 1, points)
        places = ends[0] + steps[:, None] * (ends[1] - ends[0])
        return steps * float(np.linalg.norm(ends[1] - ends[0])), self.at(places)

    def at(self, places: ArrayLike) -> NDArray[np.float64]:
        """The total density at Cartesian points ``[…, 3]`` in Å, in any image; linear between grid points, e/Å³."""
        return sampled(self.total, self.grid, places)

    def plane(
        self, atoms: Sequence[int] | None = None, points: int = 200
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points ``[n, n, 3]`` in Å of a square plane, and the total density there, ``[n, n]`` in e/Å³.

        atoms: three atoms, by number from 0, that the plane contains; None: the plane of largest spread through the
        middle of all atoms. Raises DataError for three atoms on one line.
        """
        from edframe.api.planes import plane_through

        chosen = plane_through(self.structure, self.grid, atoms)
        places = chosen.mesh(points)
        return places, self.at(places)

    def plot(
        self,
        reference: Density | None = None,
        *,
        plane: Sequence[int] | None = None,
        line: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Figure:
        """A matplotlib figure: the density, or this, a reference and their difference.

        plane: three atoms, by number from 0; None: the plane in which all atoms spread most. line: its two ends, as of
        ``line``, to draw a profile instead. Raises DataError for a reference in another cell or on other points, and
        for atoms that are not there.
        """
        from edframe.api.pictures import along_line, in_plane
        from edframe.api.planes import plane_through

        if reference is not None and (
            reference.grid.shape != self.grid.shape or not np.allclose(reference.grid.vectors, self.grid.vectors)
        ):
            raise DataError("the two densities lie on other points or in other cells; see edframe.compare")
        if line is not None:
            return along_line(self, reference, *line)
        return in_plane(self, reference, plane_through(self.structure, self.grid, plane))

    def isosurface(self, level: float | None = None) -> Any:
        """A plotly figure of the surface where the total density is ``level`` (e/Å³; None: it holds 90% of the
        electrons), with the atoms and their bonds. Raises MissingError where plotly is not installed."""
        from edframe.api.isosurface import isosurface

        return isosurface(self, level)

    def write(self, path: str | Path, *, force: bool = False) -> list[Path]:
        """Write a CHGCAR, cube, XSF or another file, by its name; returns the files.

        Raises DataError for a file that exists, unless ``force``, and for what the format cannot hold.
        """
        from edframe import io
        from edframe.io.spin import by_file

        path = Path(path)
        volume = self._volume()
        files = list(by_file(path, volume, "total")) if io.format_of(path) == "cube" else [path]
        if not force and (there := [str(file) for file in files if file.exists()]):
            raise DataError(f"{', '.join(there)} exists; give another name, or force=True to write over it")
        return io.write(path, volume)

    def to_pymatgen(self) -> Chgcar:
        """A pymatgen ``Chgcar``, whose values are the density times the volume of the cell."""
        from pymatgen.io.vasp.inputs import Poscar
        from pymatgen.io.vasp.outputs import Chgcar

        data = dict(zip(("total", "diff"), self.values * self.grid.volume, strict=False))
        return Chgcar(Poscar(self.structure), data)

    def to_ase(self) -> tuple[Atoms, NDArray[np.float64]]:
        """The atoms, and the total density ``[x, y, z]`` in e/Å³, as ASE's readers of cubes return them."""
        from pymatgen.io.ase import AseAtomsAdaptor

        return AseAtomsAdaptor.get_atoms(self.structure, msonable=False), self.total.copy()

    def __repr__(self) -> str:
        size = "×".join(map(str, self.grid.shape))
        spin = f", magnetisation {self.values[1].sum() * self.grid.voxel_volume:.4g}" if len(self.values) == 2 else ""
        return f"Density of {self.structure.formula}: {self.electrons:.6g} electrons{spin} on {size} points"

    def _repr_png_(self) -> bytes:
        from edframe.report.style import png

        return png(self.plot())

    def place(self, where: ArrayLike) -> NDArray[np.float64]:
        """Cartesian coordinates ``[3]`` in Å of an atom by its number from 0, or of a point. Raises DataError."""
        if np.ndim(where) == 0:
            number = int(np.asarray(where))
            if not 0 <= number < len(self.structure):
                raise DataError(
                    f"there is no atom {number}; {self.structure.formula} has 0 to {len(self.structure) - 1}"
                )
            return np.asarray(self.structure.cart_coords[number])
        return np.asarray(where, dtype=float)

    def _volume(self) -> Any:
        from edframe.io import Volume

        fields = dict(zip(("total", "magnetisation"), self.values, strict=False))
        origin = tuple(self.source.get("origin", (0.0, 0.0, 0.0)))
        title = Level.of_source(self.source).in_title(str(self.source.get("title", self.structure.formula)))
        occupancies = dict(self.source.get("augmentation", {}))
        return Volume(self.structure, self.grid, fields, comment=title, origin=origin, augmentation=occupancies)


UNIT = density_unit(3)
"""Of the values."""
