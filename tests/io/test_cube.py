"""Cube files against ASE and pymatgen, made-up text, and CP2K's own file number by number."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import ase.io.cube
import ase.units
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.common import VolumetricData

from edframe import io
from edframe.data.conversion import sample_of, volume_of
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import cube
from edframe.io.digits import decimal, scientific
from edframe.io.units import BOHR, HARTREE
from edframe.io.volume import Volume

CP2K = Path(__file__).parents[3] / "shared" / "data" / "cube" / "cp2k_elec.cube.gz"

HEAD = """Water, almost
made up
    2    0.100000   -0.200000    0.300000
    2    1.000000    0.000000    0.000000
    3    0.500000    1.000000    0.000000
    4    0.000000   -0.250000    1.000000
    8    8.000000    1.100000    0.800000    0.300000
    1    1.000000    1.600000    2.300000   -1.700000
"""
ANGSTROM = HEAD.replace("\n    2    1", "\n   -2    1").replace("  3    0", " -3    0").replace("  4    0", " -4    0")
VALUES = [0.125 * k for k in range(24)]
EDGES = np.array([[1, 0, 0], [0.5, 1, 0], [0, -0.25, 1]])


def text_of(values=VALUES, head=HEAD):
    runs = [" ".join(f"{value:.5E}" for value in values[k : k + 4]) for k in range(0, len(values), 4)]
    return head + "\n".join(runs) + "\n"


@pytest.fixture
def read_text(tmp_path):
    def read(text, name="made_up.cube"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return io.read(path)

    return read


@pytest.fixture
def volume():
    cell = np.array([[5.0, 0.1, 0], [1.2, 6.0, 0], [-0.4, 0.3, 4.0]])
    grid = Grid.of(cell, (5, 6, 7))
    density = np.random.default_rng(1).random(grid.shape) * 10.0 ** np.random.default_rng(2).integers(-6, 3, grid.shape)
    structure = Structure(Lattice(cell), ["Li", "O", "Li"], [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [1.1, -0.2, 0.7]])
    return Volume(structure, grid, {"total": density}, comment="a title\nin two lines", origin=(0.5, -1.0, 2.0))


def test_bohr(read_text):
    volume = read_text(text_of())
    np.testing.assert_allclose(volume.grid.vectors, EDGES * [[2], [3], [4]] * BOHR)
    np.testing.assert_allclose(volume.structure.cart_coords, np.array([[1, 1, 0], [1.5, 2.5, -2]]) * BOHR)
    assert volume.structure.atomic_numbers == (8, 1)
    np.testing.assert_allclose(volume.origin, np.array([0.1, -0.2, 0.3]) * BOHR)
    assert list(volume.fields) == ["total"]
    assert volume.quantity == "density"
    assert volume.comment == "Water, almost\nmade up"
    np.testing.assert_allclose(volume.fields["total"], np.reshape(VALUES, (2, 3, 4)) / BOHR**3)
    # The integral has no unit, so it is the same in the file's.
    in_file = sum(VALUES) * abs(np.linalg.det(EDGES))
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(in_file)


def test_negative_numbers_of_points_mean_angstrom(read_text):
    volume = read_text(text_of(head=ANGSTROM))
    np.testing.assert_allclose(volume.grid.vectors, EDGES * [[2], [3], [4]])
    np.testing.assert_allclose(volume.structure.cart_coords, [[1, 1, 0], [1.5, 2.5, -2]])
    np.testing.assert_allclose(volume.fields["total"], np.reshape(VALUES, (2, 3, 4)) / BOHR**3)


@pytest.mark.parametrize(
    ("atoms", "fifth", "listed", "names"),
    [
        ("   -2", "", "    2   21   22\n", ["field_21", "field_22"]),
        ("   -2", "    1", "    2\n   21\n 22\n", ["field_21", "field_22"]),
        ("   -2", "    2", "    2    7    7\n", ["field_1", "field_2"]),
        ("    2", "    2", "", ["field_1", "field_2"]),
    ],
    ids=["list", "over lines", "numbered alike", "several values"],
)
def test_several_fields_stay_as_they_are(read_text, atoms, fifth, listed, names):
    head = HEAD.replace("    2    0.100000   -0.200000    0.300000", f"{atoms}  0.1 -0.2 0.3{fifth}") + listed
    volume = read_text(text_of(np.arange(48.0), head))
    assert volume.quantity == "field"
    assert list(volume.fields) == names
    # The fields change fastest.
    np.testing.assert_array_equal(volume.fields[names[0]], np.arange(0, 48, 2).reshape(2, 3, 4))
    np.testing.assert_array_equal(volume.fields[names[1]], np.arange(1, 48, 2).reshape(2, 3, 4))


def test_a_list_of_one_orbital_is_no_density(read_text):
    volume = read_text(text_of(head=HEAD.replace("    2    0.1", "   -2    0.1") + "    1   13\n"))
    assert (list(volume.fields), volume.quantity) == (["field_13"], "field")


@pytest.mark.parametrize("name", ["a.cube", "a.cub", "a.cube.gz"])
def test_ase_and_pymatgen_read_what_is_written(volume, tmp_path, name):
    path = tmp_path / name
    io.write(path, volume)
    with (gzip.open if name.endswith("gz") else open)(path, "rt") as file:
        theirs = ase.io.cube.read_cube(file)
    np.testing.assert_allclose(theirs["atoms"].cell, volume.grid.vectors, atol=7 * 1e-6)
    np.testing.assert_allclose(theirs["origin"], volume.origin, atol=1e-6)
    np.testing.assert_allclose(theirs["atoms"].positions - theirs["origin"], volume.structure.cart_coords, atol=2e-6)
    np.testing.assert_allclose(theirs["data"] / ase.units.Bohr**3, volume.fields["total"], rtol=1e-5)
    if not name.endswith("cub"):
        theirs = VolumetricData.from_cube(path)
        np.testing.assert_allclose(theirs.data["total"] / BOHR**3, volume.fields["total"], rtol=1e-5)
        np.testing.assert_allclose(theirs.structure.cart_coords, volume.structure.cart_coords, atol=2e-6)


def test_reads_what_ase_and_pymatgen_write(volume, tmp_path):
    structure, values = volume.structure, volume.fields["total"]
    with open(tmp_path / "ase.cube", "w") as file:
        ase.io.cube.write_cube(file, structure.to_ase_atoms(), values * BOHR**3, origin=volume.origin)
    VolumetricData(structure, {"total": values * BOHR**3}).to_cube(tmp_path / "pymatgen.cube")
    for name, places in (("ase", structure.cart_coords - volume.origin), ("pymatgen", structure.cart_coords)):
        ours = io.read(tmp_path / f"{name}.cube")
        np.testing.assert_allclose(ours.grid.vectors, volume.grid.vectors, atol=7 * 1e-6)
        np.testing.assert_allclose(ours.structure.cart_coords, places, atol=2e-6)
        np.testing.assert_allclose(ours.fields["total"], values, rtol=1e-5)
        assert ours.structure.species == structure.species


def test_several_fields_and_potentials_are_written(volume, tmp_path):
    values = volume.fields["total"]
    fields = {f"field_{k}": values * k for k in range(5, 17)}
    io.write(tmp_path / "fields.cube", Volume(volume.structure, volume.grid, fields, quantity="field"))
    again = io.read(tmp_path / "fields.cube")
    assert list(again.fields) == list(fields)
    for name, expected in fields.items():
        np.testing.assert_allclose(again.fields[name], expected, rtol=1e-5)
    io.write(tmp_path / "potential.cube", Volume(volume.structure, volume.grid, {"total": values}, "potential"))
    with open(tmp_path / "potential.cube") as file:
        np.testing.assert_allclose(ase.io.cube.read_cube(file)["data"] * HARTREE, values, rtol=1e-5)


def test_the_file_of_cp2k_comes_back_number_by_number(tmp_path):
    if not CP2K.exists():
        pytest.skip(f"{CP2K} is absent")
    sample = sample_of(io.read(CP2K), "cp2k")
    io.write(tmp_path / "again.cube", volume_of(sample))
    before = gzip.decompress(CP2K.read_bytes()).decode().split("\n")
    after = (tmp_path / "again.cube").read_text().split("\n")
    assert after[:15] == before[:15]
    assert [[float(word) for word in line.split()] for line in after[15:]] == [
        [float(word) for word in line.split()] for line in before[15:]
    ]
    with gzip.open(CP2K, "rt") as file:
        theirs = ase.io.cube.read_cube(file)
    np.testing.assert_allclose(sample.density[0], theirs["data"] / ase.units.Bohr**3, rtol=1e-8)
    np.testing.assert_allclose(sample.structure.cart_coords, theirs["atoms"].positions, rtol=1e-8)


def test_origin_and_title_come_back_from_a_sample(read_text, tmp_path):
    io.write(tmp_path / "again.cube", volume_of(sample_of(read_text(text_of()), "made up")))
    again = (tmp_path / "again.cube").read_text().split("\n")
    charges_gone = HEAD.replace(" 8.000000", " 0.000000").replace(
        "    1    1.000000    1.6", "    1    0.000000    1.6"
    )
    assert again[:8] == charges_gone.split("\n")[:8]
    assert [float(word) for line in again[8:] for word in line.split()] == VALUES


def test_exponents_of_three_digits_as_fortran_prints_them(read_text):
    text = text_of().replace(f"{VALUES[5]:.5E}", "0.12345-100")
    assert read_text(text).fields["total"][0, 1, 1] * BOHR**3 == pytest.approx(0.12345e-100)


def test_atoms_outside_of_the_cell_stay_there(read_text):
    volume = read_text(text_of(head=HEAD.replace("    1.600000    2.300000", "   -9.400000   22.300000")))
    np.testing.assert_allclose(volume.structure.cart_coords[1], np.array([-9.5, 22.5, -2]) * BOHR)


def lines(text, number, replacement):
    return "".join(replacement if k == number else line for k, line in enumerate(text.splitlines(True), start=1))


BROKEN = {
    "empty": ("", 1, "ends where"),
    "cut in the head": (HEAD[:150], 6, "should be here"),
    "cut in the atoms": ("\n".join(HEAD.split("\n")[:7]) + "\n", 8, "ends where atom 2"),
    "cut in the values": (text_of(VALUES[:20]), 13, "after 20 of the 24"),
    "cut in the last number": (text_of()[:-8], 14, "within a number"),
    "more values": (text_of([*VALUES, 1.0]), 15, "more after"),
    "stars": (text_of().replace("1.25000E+00", "***********"), 11, r"\*\*\*"),
    "not a number": (text_of().replace("1.25000E+00", "NaN"), 11, "NaN"),
    "infinite": (text_of().replace("1.25000E+00", "-Infinity"), 11, "Infinity"),
    "two numbers in a word": (text_of().replace("1.25000E+00", "1.2.3"), 11, "1.2.3"),
    "letters": (text_of().replace("1.25000E+00", "1.2x"), 11, "1.2x"),
    "number of atoms": (HEAD.replace("    2    0.1", "    x    0.1"), 3, "'x'"),
    "too few atoms": (text_of(head=HEAD.replace("    2    0.1", "    1    0.1")), 13, "more after"),
    "too many atoms": (text_of(head=HEAD.replace("    2    0.1", "    3    0.1")), 9, "atom 3 of 3"),
    "no atoms": (text_of(head=HEAD.replace("    2    0.1", "    0    0.1")), 3, "no atoms"),
    "only ghosts": (
        text_of(head=HEAD.replace("    8    8", "    0    8").replace("    1    1.0", "    X    0.0")), 8, "ghosts"),
    "no element 119": (text_of(head=HEAD.replace("    8    8", "  119    8")), 7, "no element 119"),
    "no points": (text_of(head=lines(HEAD, 5, "  0 0.5 1 0\n")), 6, "numbers of points"),
    "both units": (text_of(head=lines(HEAD, 5, " -3 0.5 1 0\n")), 6, "all negative"),
    "flat cell": (text_of(head=lines(HEAD, 5, "  3 2.0 0 0\n")), 6, "no volume"),
    "a billion points": (text_of(head=lines(HEAD, 4, "999999999 1 0 0\n")), 8, "room"),
    "most points": (
        text_of(head=lines(lines(HEAD, 4, "999999999 1e-6 0 0\n"), 5, "999999999 0 1e-6 0\n")), 8, "room"),
    "position": (text_of(head=HEAD.replace("1.600000", "nan")), 8, "'nan'"),
    "list of another length": (
        text_of(head=HEAD.replace("    2    0.1", "   -2    0.1") + "    1   13   14\n"), 9, "2 entries"),
    "list of none": (text_of(head=HEAD.replace("    2    0.1", "   -2    0.1") + "    0\n"), 9, "0 orbitals"),
    "other order": (text_of().replace("made up", "OUTER LOOP: Z, MIDDLE LOOP: Y, INNER LOOP: X"), 2, "loops over Z"),
    "repeated planes": (text_of().replace("made up", "from castep2cube"), 2, "castep2cube"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "what"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_with_its_line(read_text, text, line, what):
    with pytest.raises(DataError, match=what) as error:
        read_text(text)
    assert f"made_up.cube:{line}: " in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file_or_no_gzip_is_said(read_text, tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        io.read(tmp_path / "absent.cube")
    with pytest.raises(DataError, match="cannot be read"):
        read_text(text_of(), "unpacked.cube.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_text(gzip.compress(text_of().encode())[:-20], "cut.cube.gz")


def test_what_a_cube_cannot_hold_is_refused(volume, tmp_path):
    for bad in (math.nan, math.inf, 1e120):
        values = volume.fields["total"].copy()
        values[1, 2, 3] = bad
        with pytest.raises(DataError, match="cannot be written"):
            io.write(tmp_path / "bad.cube", Volume(volume.structure, volume.grid, {"total": values}))
    assert list(tmp_path.iterdir()) == []


ordinary = st.floats(-9e98, 9e98).map(lambda x: x if abs(x) >= 1e-98 else 0.0)
ties = st.builds(lambda n, k: n / 2**k, st.integers(-(2**30), 2**30), st.integers(0, 30))
powers = st.builds(lambda k, side: float(np.nextafter(10.0**k, side)), st.integers(-97, 97), st.sampled_from([0, 1e99]))


@settings(max_examples=150, deadline=None)
@given(st.lists(ordinary | ties | powers, min_size=1, max_size=14), st.sampled_from([(6, 13), (10, 17), (14, 21)]))
def test_numbers_are_written_as_python_does(numbers, form):
    digits, width = form
    words = [f"{number + 0.0:{width}.{digits - 1}E}" for number in numbers]
    expected = "".join("".join(words[k : k + 6]) + "\n" for k in range(0, len(words), 6))
    written = b"".join(scientific(np.array([numbers, numbers]), digits, width)).decode()
    assert written == expected * 2


@settings(max_examples=150, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(2, 14))
def test_decimals_are_those_of_python(number, digits):
    (whole,), (power,) = decimal(np.array([number]), digits)
    front, back = f"{abs(number):.{digits - 1}e}".split("e")
    assert (whole, power) == (int(front.replace(".", "")), int(back))


def test_the_memory_taken_is_twice_the_fields_at_most(tmp_path):
    import tracemalloc

    grid = Grid.of([5.0] * 3, 100)
    structure = Structure(Lattice.cubic(5.0), ["He"], [[0.5] * 3])
    cube.write(tmp_path / "large.cube", Volume(structure, grid, {"total": np.random.default_rng(0).random(grid.shape)}))
    tracemalloc.start()
    try:
        cube.read(tmp_path / "large.cube")
        assert tracemalloc.get_traced_memory()[1] < 2 * 8 * grid.points + 2e6
    finally:
        tracemalloc.stop()
