"""CHGCAR and LOCPOT against pymatgen's reader and writer, real files, and headers whose meaning is known."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import tracemalloc
import warnings
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Chgcar, Locpot

import edframe.io
from edframe.data.conversion import sample_of, volume_of
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import Volume, reading, vasp

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

FILES = Path(__file__).resolve().parents[3] / "shared" / "data" / "vasp"
CELL = [[3.1, 0.2, -0.1], [0.0, 2.75, 0.4], [-1.3, 0.0, 4.0]]
PYMATGEN = {"magnetisation": "diff", **{f"magnetisation_{axis}": f"diff_{axis}" for axis in "xyz"}}
"""Names of fields where pymatgen's differ."""

VALUES = "".join(f" {0.25 * k:.11E}" + "\n" * (k % 5 == 0 or k == 24) for k in range(1, 25))
OCCUPANCIES = """augmentation occupancies   1   3
  0.2743786E+00 -0.3307158E-01  0.0000000E+00
augmentation occupancies   2   2
  0.2743786E+00 -0.3307158-101
"""
FILE = f"""Li F bulk
   1.00000000000000
     3.000000    0.000000    0.000000
     0.000000    3.000000    0.000000
     0.000000    0.000000    4.000000
   Li   F
     1     1
Direct
  0.000000  0.000000  0.000000
  0.500000 -0.250000  1.500000

    2    3    4
{VALUES}{OCCUPANCIES}  0.100000000000E+01  0.200000000000E+01
    2    3    4
{VALUES}{OCCUPANCIES}"""
"""24 values on lines 13 to 17, occupancies from line 18, moments on line 22."""


def structure_of(symbols=("Li", "O", "Li")) -> Structure:
    positions = np.random.default_rng(len(symbols)).uniform(-0.2, 1.2, (len(symbols), 3))
    return Structure(CELL, symbols, positions)


def volume_with(fields, quantity="density", **more) -> Volume:
    shape = next(iter(fields.values())).shape
    return Volume(structure_of(), Grid.of(CELL, shape), fields, quantity, comment="Li O Li", **more)


def random_fields(names, shape=(3, 4, 5), seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) * 10.0 ** rng.integers(-12, 5, shape) for name in names}


def written_by_pymatgen(path: Path, volume: Volume, **more) -> bytes:
    potential = volume.quantity == "potential"
    scale = 1.0 if potential else volume.grid.volume
    data = {PYMATGEN.get(name, name): values * scale for name, values in volume.fields.items()}
    other = (Locpot if potential else Chgcar)(volume.structure, data, **more)
    other.name = volume.comment
    other.write_file(path)
    return path.read_bytes()


@pytest.fixture
def read_text(tmp_path):
    def read(text, name="CHGCAR"):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return edframe.io.read(path, "chgcar")

    return read


# Writing


@given(
    names=st.sampled_from([*vasp.DENSITY.values(), ("spin_up", "spin_down"), ()]),
    data=st.data(),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_bytes_are_pymatgens(tmp_path_factory, names, data, shape):
    sizes = st.floats(allow_nan=False, min_value=-1e300, max_value=1e300) | st.sampled_from([0.5, -1e-5, 1e22, 0.125])
    # pymatgen fails on negative zeros.
    fields = {name: data.draw(arrays(np.float64, shape, elements=sizes)) + 0.0 for name in names or ("total",)}
    potential = names in [("spin_up", "spin_down"), ()]
    moments = "  0.100000000000E+01 -0.200000000000E+01  0.000000000000E+00\n"
    behind = dict.fromkeys(list(fields)[:-1], moments)  # pymatgen writes none of its own
    volume = volume_with(fields, "potential" if potential else "density", augmentation=behind)
    folder = tmp_path_factory.mktemp("bytes")
    ours = folder / ("LOCPOT" if potential else "CHGCAR")
    edframe.io.write(ours, volume)
    theirs = {PYMATGEN.get(name, name): [text] for name, text in behind.items()}
    assert ours.read_bytes() == written_by_pymatgen(folder / "theirs", volume, data_aug=theirs)


def test_augmentation_text_and_groups_of_species_are_written_as_pymatgen_does(tmp_path):
    text = OCCUPANCIES + "  0.100000000000E+01\n"
    volume = volume_with(
        random_fields(vasp.DENSITY[2], (7, 6, 11)), augmentation={"total": text, "magnetisation": text}
    )
    edframe.io.write(tmp_path / "CHGCAR", volume)
    lines = text.splitlines(keepends=True)
    theirs = written_by_pymatgen(tmp_path / "theirs", volume, data_aug={"total": lines, "diff": lines})
    assert (tmp_path / "CHGCAR").read_bytes() == theirs
    assert b"\nLi   O    Li   \n     1     1     1\n" in theirs


def test_writing_in_slabs_changes_nothing(tmp_path, monkeypatch):
    volume = volume_with(random_fields(("total",), (5, 3, 23)))
    edframe.io.write(tmp_path / "CHGCAR", volume)
    monkeypatch.setattr(vasp, "SLAB", 80)
    edframe.io.write(tmp_path / "CHG", volume)
    assert (tmp_path / "CHG").read_bytes() == (tmp_path / "CHGCAR").read_bytes()


PACK = {
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zst": zstandard.ZstdCompressor(write_content_size=False).compress,
    "lz4": lz4.frame.compress,
    "gz": gzip.compress,
}
"""By the libraries that own each form."""


@pytest.mark.parametrize("ending", PACK)
def test_packed_files_are_read_and_what_is_damaged_is_said(tmp_path, ending):
    (tmp_path / "CHGCAR").write_text(FILE)
    plain = edframe.io.read(tmp_path / "CHGCAR")
    packed = tmp_path / f"CHGCAR.{ending}"
    packed.write_bytes(PACK[ending](FILE.encode()))
    np.testing.assert_array_equal(edframe.io.read(packed).fields["total"], plain.fields["total"])
    packed.rename(tmp_path / "CHGCAR.packed")  # by its content
    if ending != "lzma":
        np.testing.assert_array_equal(
            edframe.io.read(tmp_path / "CHGCAR.packed").fields["total"], plain.fields["total"]
        )
    packed.write_bytes(PACK[ending](FILE.encode())[:200])
    with pytest.raises(DataError, match=rf"CHGCAR\.{ending}(:1)?( cannot be read to its end|: the end of)"):
        edframe.io.read(packed)
    packed.write_text(FILE)
    with pytest.raises(DataError, match=rf"CHGCAR\.{ending} cannot be read"):
        edframe.io.read(packed)


@pytest.mark.parametrize("ending", PACK)
def test_what_is_written_under_a_packed_name_is_packed(tmp_path, ending):
    volume = volume_with(random_fields(("total",)))
    edframe.io.write(tmp_path / "CHGCAR", volume)
    edframe.io.write(tmp_path / f"CHGCAR.{ending}", volume)
    packed = (tmp_path / f"CHGCAR.{ending}").read_bytes()
    unpack = {
        "bz2": bz2.decompress,
        "xz": lzma.decompress,
        "lzma": lzma.decompress,
        "zst": lambda data: zstandard.ZstdDecompressor().stream_reader(data).read(),
        "lz4": lz4.frame.decompress,
        "gz": gzip.decompress,
    }[ending]
    assert unpack(packed) == (tmp_path / "CHGCAR").read_bytes()


@pytest.mark.parametrize("where", [np.nan, np.inf, 1e308])
def test_values_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path, where):
    fields = random_fields(("total",))
    fields["total"][1, 2, 3] = where
    with pytest.raises(DataError, match=r"CHGCAR: the field 'total' has values that are not finite"):
        edframe.io.write(tmp_path / "CHGCAR", volume_with(fields))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "quantity", "file", "sentence"),
    [
        (
            ("total", "spin"),
            "density",
            "CHGCAR",
            r"fields total, spin do not go into a density; choices: total; total, m",
        ),
        (("total", "a", "b"), "density", "CHGCAR", r"fields total, a, b do not go into"),
        (("total",), "density", "LOCPOT", r"it would be read as a potential, not as a density; .* one without"),
        (("total",), "potential", "CHGCAR", r"it would be read as a density, not as a potential; .* LOCPOT"),
        (("total",), "field", "CHGCAR", r"it would be read as a density, not as a field"),
    ],
)
def test_fields_that_the_format_does_not_have_are_refused(tmp_path, names, quantity, file, sentence):
    with pytest.raises(DataError, match=sentence):
        edframe.io.write(tmp_path / file, volume_with(random_fields(names), quantity))


def test_atoms_that_the_format_cannot_hold_are_refused(tmp_path):
    grid, values = Grid.of(CELL, 2), {"total": np.ones((2, 2, 2))}
    mixed = Structure(CELL, [{"Li": 0.5, "Na": 0.5}], [[0, 0, 0]])
    with pytest.raises(DataError, match="a site is shared by several species"):
        edframe.io.write(tmp_path / "CHGCAR", Volume(mixed, grid, values))
    with pytest.raises(DataError, match="the lattice of the atoms is not the cell of the grid"):
        edframe.io.write(tmp_path / "CHGCAR", Volume(structure_of(), Grid.of([3, 3, 4], 2), values))


# Reading


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("names", vasp.DENSITY.values(), ids=["plain", "collinear", "noncollinear"])
def test_what_pymatgen_wrote_is_read(tmp_path, names, compressed):
    volume = volume_with(random_fields(names, (6, 5, 7)))
    rng = np.random.default_rng(1)
    keys = [PYMATGEN.get(name, name) for name in names]
    occupancies = {key: {1: rng.standard_normal(8), 2: rng.standard_normal(3) + 0.5j} for key in keys}
    path = tmp_path / ("CHGCAR.gz" if compressed else "CHGCAR")
    written_by_pymatgen(path, volume, data_aug=occupancies)
    ours, theirs = edframe.io.read(path), Chgcar.from_file(path)
    assert list(ours.fields) == list(names)
    for name, key in zip(names, keys, strict=True):
        np.testing.assert_allclose(ours.fields[name], theirs.data[key] / theirs.structure.volume, rtol=1e-14)
        assert ours.fields[name].flags.c_contiguous
        text = ours.augmentation[name]
        assert text.count("(imaginary part)") == 1
        numbers = [float(word) for line in text.splitlines() if line[0] == " " for word in line.split()]
        np.testing.assert_allclose(numbers, np.r_[occupancies[key][1], occupancies[key][2].real, [0.5] * 3], rtol=1e-9)
    assert ours.structure == theirs.structure
    assert ours.comment == "Li O Li"
    assert (ours.quantity, ours.grid.shape) == ("density", (6, 5, 7))


@pytest.mark.parametrize(("chunk", "slab"), [(24, 6), (64, 18), (300, 5), (1 << 20, 1)])
def test_reading_in_pieces_changes_nothing(read_text, monkeypatch, chunk, slab):
    whole = read_text(FILE)
    monkeypatch.setattr(reading, "CHUNK", chunk)
    monkeypatch.setattr(vasp, "SLAB", slab)
    pieces = read_text(FILE)
    for name in whole.fields:
        np.testing.assert_array_equal(pieces.fields[name], whole.fields[name])
    assert pieces.augmentation == whole.augmentation
    with pytest.raises(DataError, match=r"CHGCAR:16: '1\.\.75' appears where value 19 of 24 of block 1"):
        read_text(FILE.replace("4.75000000000E+00", "1..75", 1))


def test_values_are_divided_by_the_volume_and_x_is_fastest(read_text):
    volume = read_text(FILE)
    expected = 0.25 * np.arange(1, 25).reshape(4, 3, 2).T / 36
    for name in ("total", "magnetisation"):
        np.testing.assert_allclose(volume.fields[name], expected, rtol=1e-15)
    np.testing.assert_array_equal(volume.structure.frac_coords, [[0, 0, 0], [0.5, -0.25, 1.5]])
    assert volume.augmentation["total"] == OCCUPANCIES + "  0.100000000000E+01  0.200000000000E+01\n"
    assert volume.augmentation["magnetisation"] == OCCUPANCIES


def test_a_potential_is_as_it_stands(read_text):
    volume = read_text(FILE, "LOCPOT.gz")
    assert (volume.quantity, list(volume.fields)) == ("potential", ["spin_up", "spin_down"])
    np.testing.assert_array_equal(volume.fields["spin_down"].ravel(order="F"), 0.25 * np.arange(1, 25))


def test_exponents_of_three_digits_need_no_letter(read_text):
    text = FILE.replace("2.50000000000E-01", "-0.250000000-100", 1).replace("6.00000000000E+00", "0.60000000000+101", 1)
    values = read_text(text).fields["total"].ravel(order="F") * 36
    assert values[[0, 1, 22, 23]] == pytest.approx([-0.25e-100, 0.5, 5.75, 0.6e101])


def test_zeros_that_fill_the_last_line_are_no_values(read_text):
    text = FILE.replace(" 6.00000000000E+00\n", " 6.00000000000E+00  0.00000000000E+00\n")
    np.testing.assert_array_equal(read_text(text).fields["total"], read_text(FILE).fields["total"])


OTHER = FILE.replace(" 2.50000000000E-01", " 2.50000000000E+01").replace("1.500000", "1.750000")
"""A later step: the first value a hundred times larger, and the second atom moved."""


@pytest.mark.parametrize(
    "again",
    [
        lambda step: step,
        lambda step: step.replace("Li F bulk", ""),
        lambda step: step.replace("Li F bulk", "12 3"),
        lambda step: step.replace("Li F bulk", "40 K, MD"),
    ],
    ids=["title", "no title", "numbers", "words"],
)
def test_of_several_steps_the_last_is_taken_and_that_is_said(read_text, again):
    volume = read_text("".join(map(again, (FILE, FILE, OTHER))), "CHG")
    expected = read_text(OTHER)
    for name in expected.fields:
        np.testing.assert_array_equal(volume.fields[name], expected.fields[name])
    np.testing.assert_array_equal(volume.structure.frac_coords, [[0, 0, 0], [0.5, -0.25, 1.75]])
    assert volume.notes == ("it has 3 steps, of which the last is taken",)
    assert volume.augmentation == expected.augmentation


def test_steps_without_magnetisation_or_occupancies(read_text):
    plain, moved = (text[: text.index("augmentation")] for text in (FILE, OTHER))
    volume = read_text(plain + moved, "CHG")
    assert list(volume.fields) == ["total"]
    assert volume.fields["total"][0, 0, 0] == pytest.approx(25 / 36)


def test_a_last_step_that_is_cut_off_is_said(read_text):
    with pytest.raises(DataError, match=r"CHGCAR:44: .* the file is too short to hold them"):
        read_text(FILE + FILE[: SECOND - 600])


STARS = "*" * 17


@pytest.mark.parametrize("steps", [1, 2])
def test_stars_in_the_magnetisation_leave_the_total(read_text, steps):
    starred = FILE[:SECOND] + FILE[SECOND:].replace("1.00000000000E+00", STARS, 1)
    volume = read_text(starred * (steps - 1) + starred)
    assert list(volume.fields) == ["total"]
    np.testing.assert_array_equal(volume.fields["total"], read_text(FILE).fields["total"])
    assert "the magnetisation is left out, and the total taken: " in volume.notes[0]
    assert "value 4 of 24 of block 2" in volume.notes[0]
    assert volume.augmentation["total"] == OCCUPANCIES + "  0.100000000000E+01  0.200000000000E+01\n"


@pytest.mark.parametrize("stars", ["  0.2743786E+00 ************** ", "  0.2743786E+00************** ", "*" * 45 + " "])
def test_stars_in_occupancies_leave_the_density(read_text, stars):
    volume = read_text(FILE.replace("  0.2743786E+00 -0.3307158E-01  0.0000000E+00", stars, 1))
    assert list(volume.fields) == ["total", "magnetisation"]
    assert list(volume.augmentation) == ["magnetisation"]
    assert volume.notes == ("the PAW occupancies after block 1 have stars in place of numbers, and are left out",)


def test_an_elf_is_as_it_stands_and_no_density(read_text, tmp_path):
    (tmp_path / "ELFCAR").write_text(FILE)
    volume = edframe.io.read(tmp_path / "ELFCAR")
    assert (volume.quantity, list(volume.fields), volume.unit) == ("field", ["spin_up", "spin_down"], None)
    np.testing.assert_array_equal(volume.fields["spin_down"].ravel(order="F"), 0.25 * np.arange(1, 25))
    with pytest.raises(
        DataError, match=r"ELFCAR: it holds .* \(field\), not an electron density; the name of the file"
    ):
        sample_of(volume, str(tmp_path / "ELFCAR"))


HEADS = {
    "selective dynamics": FILE.replace("Direct", "Selective dynamics\nDirect").replace(
        "0.000000\n  0.500000 -0.250000  1.500000", "0.000000 T F T\n  0.500000 -0.250000  1.500000 F F F"
    ),
    "cartesian": FILE.replace("Direct", "Cartesian").replace("1.00000000000000", "1.25"),
    "potentials": FILE.replace("Li   F\n", "Li_sv/474ac0d  F/79d9987ad87\n"),
    "many groups": FILE.replace("   Li   F\n     1     1\n", " Li\n F\n 1\n 1\n"),
    "windows": FILE.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("head", HEADS)
def test_heads_mean_what_pymatgen_takes_them_for(read_text, head):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Poscar.from_str(HEADS[head].replace("\r", "").split("\n\n")[0]).structure
    structure = read_text(HEADS[head]).structure
    np.testing.assert_allclose(structure.lattice.matrix, expected.lattice.matrix)
    np.testing.assert_allclose(structure.frac_coords, expected.frac_coords, atol=1e-15)
    assert structure.species == expected.species


def test_a_negative_scale_is_the_volume(read_text):
    head = HEADS["cartesian"].replace("1.25", "-288")
    volume = read_text(head)
    np.testing.assert_allclose(volume.structure.lattice.matrix, np.diag([6, 6, 8]))
    np.testing.assert_allclose(volume.structure.cart_coords[1], [1.0, -0.5, 3.0])
    assert volume.fields["total"].max() == pytest.approx(6 / 288)


@pytest.mark.parametrize("name", ["H1.25", "H.5", "H1.25/0123abc", "H_h", "H1", "D", "T", "H.75_GW"])
def test_hydrogen_of_any_charge_or_mass_is_hydrogen(read_text, name):
    assert read_text(FILE.replace("Li   F\n", f"Li   {name}\n")).structure.formula == "Li1 H1"


VASP_4 = FILE.replace("   Li   F\n", "")


def test_vasp_4_takes_species_from_the_potcar_or_the_title(read_text, tmp_path):
    with pytest.raises(
        DataError, match=r"CHGCAR:6: VASP 4 named no species here: insert a line with 2 symbols .* POTCAR"
    ):
        read_text(VASP_4)
    assert read_text(VASP_4.replace("Li F bulk", "Na  Cl")).structure.formula == "Na1 Cl1"
    titles = "   TITEL  = PAW_PBE Mg_pv 06Sep2000\n junk\n   TITEL  = PAW O 22Mar2012\n"
    (tmp_path / "POTCAR").write_text(titles)
    assert read_text(VASP_4.replace("Li F bulk", "Na  Cl")).structure.formula == "Mg1 O1"


SECOND = FILE.rindex("    2    3    4")
"""Where the second block begins."""

REFUSED = {
    "empty": ("", 1, "the end of the file appears where the scale should be"),
    "binary": (bytes(range(256)) * 400, 2, "appears where the scale should be"),
    "no lines": ("x" * 100_000, 1, "a line of more than 65536 bytes: this is not a text file"),
    "zero scale": (FILE.replace("1.00000000000000", "0.0"), 2, "the scale is 0"),
    "vector": (FILE.replace("3.000000    0.000000    0.000000", "3.0 0.0"), 3, "lattice vector 1"),
    "flat cell": (FILE.replace("0.000000    3.000000 ", "3.000000    0.000000 "), 5, "has no volume"),
    "tiny cell": (FILE.replace("1.00000000000000", "1e-5"), 5, r"the cell has a volume of 3\.6e-14 Å³"),
    "species": (FILE.replace("Li   F\n", "Li   Fx\n"), 6, r"'Fx' is not an element \(did you mean 'F'\?\)"),
    "fewer counts": (FILE.replace("     1     1\n", "     2\n"), 8, "2 species, but 1 numbers of atoms"),
    "more counts": (FILE.replace("     1     1\n", "     2 1 1\n"), 7, "2 species, but 3 numbers of atoms"),
    "mode": (FILE.replace("Direct", "Fractional"), 8, "'Fractional' appears where Direct or Cartesian should be"),
    "too few atoms": (
        FILE.replace("     1     1\n", "     1     2\n"),
        11,
        "an empty line appears where one of the positions of 3 atoms \\(line 7\\)",
    ),
    "too many atoms": (FILE.replace("     1     1\n", "     1     0\n"), 10, "appears where the grid should be"),
    "far atom": (FILE.replace("1.500000", "1500.5"), 10, "an atom more than 1000 cells away"),
    "nan position": (FILE.replace("1.500000", "nan"), 10, "'nan' appears where one of the positions"),
    "grid of floats": (FILE.replace("    2    3    4", " 2.0 3.0 4.0", 1), 12, "'2.0 3.0 4.0' appears where the grid"),
    "grid of zeros": (FILE.replace("    2    3    4", " 2 0 4", 1), 12, "'2 0 4' appears where the grid"),
    "large grid": (FILE.replace("    2    3    4", " 999 999 999", 1), 12, "too short to hold them"),
    "larger grid": (FILE.replace("    2    3    4", " 2 3 5", 1), 18, "'augmentation' appears where value 25 of 30"),
    "smaller grid": (FILE.replace("    2    3    4", " 2 3 3", 1), 16, "follows the last of the 18 values"),
    "other grid": (
        FILE[:SECOND] + FILE[SECOND:].replace("2    3    4", "2 4 3"),
        23,
        "a grid of 2 × 4 × 3 after one of 2 × 3",
    ),
    "stars": (
        FILE.replace("1.00000000000E+00", "*" * 17, 1),
        13,
        "value 4 of 24 of block 1 should be: stars replace",
    ),
    "nan": (FILE.replace("1.00000000000E+00", "NaN", 1), 13, "'NaN' appears where value 4 .* diverged"),
    "infinity": (FILE.replace("6.00000000000E+00", "-Infinity"), 17, "'-Infinity' appears where value 24 .* diverged"),
    "overflow": (FILE.replace("6.00000000000E+00", "6.0E+999"), 17, r"'6\.0E\+999' appears where value 24"),
    "underflow": (FILE.replace("1.00000000000E+00", "1.0E-400", 1), 13, r"'1\.0E-400' appears where value 4"),
    "two in one": (FILE.replace("1.00000000000E+00", "1.0.0", 1), 13, r"'1\.0\.0' appears where value 4"),
    "lost line": (FILE.replace(VALUES[:91], "", 1), 17, "'augmentation' appears where value 20 of 24"),
    "line twice": (FILE.replace(VALUES[:91], VALUES[:91] * 2, 1), 17, "follows the last of the 24 values of block 1"),
    "cut in a number": (FILE[: FILE.index("6.00000000000E") + 12], 17, "the file ends inside of a number"),
    "cut in a block": (
        FILE[: FILE.index("5.00000000000E+00")],
        16,
        "the file ends after 19 of the 24 values of block 1",
    ),
    "cut in occupancies": (FILE[: FILE.rindex("-0.3307158-101")], 32, "1 of the occupancies announced on line 31"),
    "cut before a block": (FILE[: SECOND + 16], 23, "too short"),
    "lost occupancies": (FILE.replace("augmentation occupancies   1   3\n", "", 1), 19, "3 numbers before this line"),
    "many occupancies": (FILE.replace("1   3", "1   2", 1), 19, "1 more than the occupancies announced on line 18"),
    "moments": (FILE.replace("  0.200000000000E+01\n", "  0.2E+01 0.3E+01\n"), 23, "3 numbers before this line"),
    "three blocks": (FILE + FILE[SECOND:], 42, "the file has 3 blocks"),
    "two files": (FILE + FILE.replace("Li   F\n", "Li   O\n"), 33, "Li1 O1 begins after Li1 F1: .* joined"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_told_with_its_line(read_text, case):
    text, line, sentence = REFUSED[case]
    with pytest.raises(DataError, match=rf"/CHGCAR:{line}: [^\n]*{sentence}[^\n]*$"):
        read_text(text)


@pytest.mark.parametrize("size", ["half", "damaged"])
def test_damaged_gzip_is_refused(tmp_path, size):
    data = gzip.compress(FILE.encode())
    data = {"half": data[: len(data) // 2], "damaged": data[:60] + b"zzz" + data[63:]}[size]
    (tmp_path / "CHGCAR.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"CHGCAR\.gz cannot be read to its end .*: it is damaged; copy it again$"):
        edframe.io.read(tmp_path / "CHGCAR.gz")


# Memory


def peak(call) -> tuple[int, object]:
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_memory_is_below_twice_the_fields(tmp_path):
    fields = {name: np.random.default_rng(0).random((80, 90, 100)) for name in vasp.DENSITY[2]}
    volume = volume_with(fields)
    size = sum(values.nbytes for values in fields.values())
    written, _ = peak(lambda: edframe.io.write(tmp_path / "CHGCAR", volume))
    held, read = peak(lambda: edframe.io.read(tmp_path / "CHGCAR"))
    np.testing.assert_allclose(read.fields["total"], fields["total"], rtol=1e-10)
    assert held < 2 * size
    assert written + size < 2 * size


@pytest.mark.parametrize("name", ["CHGCAR", "CHGCAR.gz"])
def test_a_lying_grid_takes_no_memory(tmp_path, name):
    text = FILE.replace("    2    3    4", " 400 400 400", 1) + " 1.0" * 10_000
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())

    def refused():
        with pytest.raises(DataError, match=r":12: a grid of 400 × 400 × 400 needs 64000000 values"):
            edframe.io.read(path)

    assert peak(refused)[0] < 8_000_000


# Real files


@pytest.mark.parametrize("path", sorted(FILES.glob("*.gz")) or [None], ids=lambda path: path and path.name)
def test_real_files_come_back(tmp_path, path):
    if path is None:
        pytest.skip(f"no files in {FILES.parent.name}/{FILES.name} beside the repository")
    volume = edframe.io.read(path)
    copy = tmp_path / path.name
    # The densities of Si and the potential are no samples: negative beyond noise, or no density.
    as_sample = volume.quantity == "density" and path.name != "CHGCAR.Si.gz"
    edframe.io.write(copy, volume_of(sample_of(volume, path.name)) if as_sample else volume)
    before, after = (gzip.decompress(p.read_bytes()).decode() for p in (path, copy))
    words, numbers = (re.split(r"\n\s*\n", text.replace("\r", ""), maxsplit=1)[1].split() for text in (before, after))
    if "Fe3O4" in path.name:  # a tool's form, of twelve digits, with two zeros to fill its last line
        np.testing.assert_allclose(np.array(numbers, float), np.array(words[:-2], float), rtol=5e-11)
        assert words[-2:] == ["0.00000000000E+00"] * 2
    else:
        assert numbers == words
    again = edframe.io.read(copy)
    assert again.augmentation == volume.augmentation
    np.testing.assert_allclose(again.structure.frac_coords, volume.structure.frac_coords, atol=1e-6)
    np.testing.assert_allclose(again.structure.lattice.matrix, volume.structure.lattice.matrix, atol=1e-6)


def test_the_real_files_are_all_there():
    if not FILES.is_dir():
        pytest.skip(f"no files in {FILES.parent.name}/{FILES.name} beside the repository")
    assert len(os.listdir(FILES)) >= 7
