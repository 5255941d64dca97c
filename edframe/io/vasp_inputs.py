"""Inputs of static VASP calculations whose CHGCAR files become a dataset: a folder for each structure.

Settings: pymatgen's set of MatPES (PBE, doi:10.48550/arXiv.2503.04070) with the cutoff of the Materials Project. Each
folder gets POSCAR (atoms in their order), INCAR, KPOINTS, and the names of the potentials in POTCAR.spec: the POTCAR
itself is licensed, and is made where VASP is.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Kpoints
from pymatgen.io.vasp.sets import BadInputSetWarning, MatPESStaticSet

from edframe.errors import DataError
from edframe.io.files import replacing

SETTINGS = {"ENCUT": 520, "LCHARG": True, "LAECHG": False, "KSPACING": None}
"""On top of the set's: the all-electron densities would triple what is written, and KPOINTS are a file here."""

KSPACING = 0.22
"""Largest distance of k-points, 2π/Å, as in the set."""

VACUUM = 3.0
"""Å that are empty along every lattice vector of a box around a molecule, at least."""

CONTACT = 1.3
"""Atoms nearer than this times the sum of their covalent radii touch."""

README = """\
Inputs of {count} static VASP calculations, one a folder, written by edframe.

1. In each folder, put the potentials that POTCAR.spec lists, in its order, into one POTCAR (for instance by
   `pmg potcar --symbols Li_sv O --functional PBE_64`). POTCAR files are licensed and must not be passed on.
2. Run VASP in each folder. What is needed of a result is CHGCAR (or CHGCAR.gz), INCAR and POTCAR.
3. edframe data build vasp --set {files}
   edframe run --data vasp --set {files}

Writing again leaves folders with a CHGCAR as they are, and makes the others what they were.
The grid of a CHGCAR follows from ENCUT and PREC in INCAR; NGXF, NGYF and NGZF there set it.
"""


def write_inputs(
    structures: Iterable[tuple[str, Structure]], folder: Path, advance: Callable[[int], None] = lambda done: None
) -> int:
    """Write a folder of inputs under ``folder`` for each ``(id, structure)``; the number of folders written.

    Each file appears whole or not at all; what is missing after a kill is added by writing again. A folder with a
    CHGCAR or CHGCAR.gz is left alone. A box around a molecule gets the Γ point alone. ``advance(done)`` reports
    progress. Raises DataError for an id that is no folder's name, for a species without a potential, and when a file
    cannot be written.
    """
    written, nested = 0, False
    done = 0
    for done, (name, structure) in enumerate(structures, start=1):
        place = folder / _relative(name)
        nested |= place.parent != folder
        if not any((place / density).exists() for density in ("CHGCAR", "CHGCAR.gz")):
            _write_folder(place, _inputs(name, structure))
            written += 1
        advance(done)
    if done:
        pattern = folder.absolute() / ("**" if nested else "*")
        with replacing(folder / "README.txt") as file:
            files = shlex.quote(f"data.files={json.dumps(str(pattern), ensure_ascii=False)}")
            file.write(README.format(count=done, files=files).encode())
    return written


def is_boxed_molecule(structure: Structure) -> bool:
    """Whether the atoms are one group with vacuum on all sides that touches none of its periodic images."""
    fractions = structure.frac_coords % 1
    heights = 1 / np.linalg.norm(structure.lattice.inv_matrix, axis=0)  # distances of the cell's faces
    for axis in range(3):
        along = np.sort(fractions[:, axis])
        gaps = np.diff(along, append=along[0] + 1)
        widest = int(gaps.argmax())
        if gaps[widest] * heights[axis] < VACUUM:
            return False
        fractions[:, axis] = (fractions[:, axis] - along[widest] - gaps[widest] / 2) % 1  # the cut is in the vacuum
    positions = fractions @ structure.lattice.matrix
    radii = np.array([CovalentRadius.radius[site.specie.symbol] for site in structure])
    reach = CONTACT * (radii[:, None] + radii)
    images = [np.array(image) for image in itertools.product((-1, 0, 1), repeat=3) if any(image)]
    return all(_farther(positions, positions + image @ structure.lattice.matrix, reach) for image in images)


def _farther(here: NDArray[np.float64], there: NDArray[np.float64], reach: NDArray[np.float64]) -> bool:
    return bool((np.linalg.norm(here[:, None] - there, axis=2) > reach).all())


def _inputs(name: str, structure: Structure) -> dict[str, bytes]:
    """The content of each file by its name."""
    try:
        lengths = (0, 0, 0) if is_boxed_molecule(structure) else structure.lattice.reciprocal_lattice.abc
        a, b, c = (max(1, math.ceil(length / KSPACING)) for length in lengths)
        kpoints: Any = Kpoints.gamma_automatic((a, b, c))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BadInputSetWarning)
            made = MatPESStaticSet(
                structure,
                user_incar_settings=SETTINGS,
                user_kpoints_settings=kpoints,
                sort_structure=False,
            ).get_input_set(potcar_spec=True)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{name}: pymatgen's MatPESStaticSet makes no inputs for {structure.formula} ({error})"
        ) from error
    return {file: f"{str(content).rstrip()}\n".encode() for file, content in made.items()}


def _relative(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise DataError(f"the id '{name}' cannot be the name of a folder")
    return path


def _write_folder(place: Path, inputs: dict[str, bytes]) -> None:
    """Each file that is missing or differs, whole or not at all."""
    for name, content in inputs.items():
        path = place / name
        if not path.is_file() or path.read_bytes() != content:
            with replacing(path) as file:
                file.write(content)
