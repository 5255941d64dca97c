"""Inputs of VASP: what pymatgen reads back is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from edframe.errors import DataError
from edframe.io.vasp_inputs import is_boxed_molecule, write_inputs
from edframe.testing import examples

FILES = ["INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"]


def cubic(side, species, fractions):
    return Structure(side * np.eye(3), species, fractions)


MOLECULE = cubic(7.2, ["Li", "O", "Li"], [[0.3, 0.4, 0.5], [0.5, 0.5, 0.5], [0.7, 0.4, 0.5]])
LONGEST = cubic(7.2, ["Li", "O", "Li"], 0.5 + np.array([[-1.86, 0, 0], [0, 0, 0], [1.86, 0, 0]]) / 7.2)
"""Of li-o-li; 3.48 Å are left. One label on other k-points would spoil the set."""
ROCK_SALT = Structure.from_spacegroup("Fm-3m", 5.69 * np.eye(3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_reads_back(tmp_path):
    written = write_inputs([("a", MOLECULE), ("set/b", ROCK_SALT)], tmp_path)
    assert written == 2
    assert sorted(content(tmp_path)) == sorted(["README.txt", *(f"{n}/{f}" for n in ("a", "set/b") for f in FILES)])
    for name, structure, kpoints in (("a", MOLECULE, (1, 1, 1)), ("set/b", ROCK_SALT, (6, 6, 6))):
        folder = tmp_path / name
        read = Poscar.from_file(folder / "POSCAR").structure
        assert read.species == structure.species  # in their order
        np.testing.assert_allclose(read.lattice.matrix, structure.lattice.matrix, atol=1e-12)
        np.testing.assert_allclose(read.frac_coords, structure.frac_coords, atol=1e-12)
        incar = Incar.from_file(folder / "INCAR")
        assert (incar["LCHARG"], incar["NSW"], incar["ENCUT"]) == (True, 0, 520)
        assert "KSPACING" not in incar
        assert Kpoints.from_file(folder / "KPOINTS").kpts == [kpoints]  # 2π / (0.22 · 5.69) = 5.02
    assert (tmp_path / "a" / "POTCAR.spec").read_text().split() == ["Li_sv", "O", "Li_sv"]


def test_the_readme_names_the_next_command(tmp_path):
    write_inputs([("a", MOLECULE)], tmp_path)
    assert f"""edframe data build vasp --set 'data.files="{tmp_path}/*"'""" in (tmp_path / "README.txt").read_text()
    write_inputs([("set/a", MOLECULE)], tmp_path)
    assert f"""'data.files="{tmp_path}/**"'""" in (tmp_path / "README.txt").read_text()


def test_writing_again_restores_inputs_and_leaves_results_alone(tmp_path):
    structures = [(name, MOLECULE) for name in ("a", "b", "c")]
    seen = []
    assert write_inputs(structures, tmp_path, seen.append) == 3
    assert seen == [1, 2, 3]
    first = content(tmp_path)
    assert write_inputs(structures, tmp_path) == 3
    assert content(tmp_path) == first
    (tmp_path / "a" / "INCAR").write_text("changed")
    (tmp_path / "a" / "KPOINTS").unlink()
    (tmp_path / "b" / "INCAR").write_text("changed")
    (tmp_path / "b" / "CHGCAR.gz").touch()
    (tmp_path / "c" / "OUTCAR").touch()
    assert write_inputs(structures, tmp_path) == 2
    expected = {**first, "b/INCAR": b"changed", "b/CHGCAR.gz": b"", "c/OUTCAR": b""}
    assert content(tmp_path) == expected


def test_a_structure_without_inputs_leaves_no_folder(tmp_path):
    unknown = cubic(8, ["Og"], [[0, 0, 0]])
    with pytest.raises(DataError, match=r"^b: .* makes no inputs for Og1"):
        write_inputs([("a", MOLECULE), ("b", unknown)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["../a", "/a", ""])
def test_an_id_that_is_no_folder_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="cannot be the name of a folder"):
        write_inputs([(name, MOLECULE)], tmp_path / "inputs")


@pytest.mark.parametrize(
    ("structure", "boxed"),
    [
        (MOLECULE, True),
        (examples.molecules(examples.box((16, 16, 16)))[0], True),
        (
            cubic(7.2, ["Li", "O", "Li"], MOLECULE.frac_coords + np.array([0.5, 0.55, 0.5])),
            True,
        ),  # across the cell's faces
        (LONGEST, True),
        (cubic(2.9, ["O"], [[0, 0, 0]]), False),
        (ROCK_SALT, False),
        (
            Structure(5.32 / 2 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]), ["K"], [[0, 0, 0]]),
            False,
        ),  # planes 3.76 Å apart
        (Structure(np.diag([2.46, 2.46, 20]), ["C", "C"], [[0, 0, 0], [0.5, 0.3, 0]]), False),  # a sheet
    ],
    ids=["molecule", "bent", "wrapped", "longest", "tight", "crystal", "bcc", "sheet"],
)
def test_boxes_around_molecules(structure, boxed):
    assert is_boxed_molecule(structure) == boxed
