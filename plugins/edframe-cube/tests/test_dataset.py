import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.cube import read_cube, write_cube
from ase.units import Bohr
from edframe_cube.dataset import Cube
from edframe_cube.plugin import CubeConfig

from edframe.errors import DataError
from edframe.io import read, write

REAL = Path(__file__).parents[4] / "shared" / "data" / "cube"


def built(*files, **options):
    dataset = Cube(CubeConfig(files=[str(file) for file in files], **options))
    dataset.build(lambda done, total: None)
    return dataset


@pytest.mark.parametrize(
    ("given", "electrons", "told_by"),
    [(None, 8.0, "integral"), (8.05, 8.05, "data.electrons")],
    ids=["integral", "given"],
)
def test_a_sample_is_what_was_written(cube, given, electrons, told_by):
    made = cube(electrons=8 * 1.001)
    sample = built(made.path, electrons=given)[0]
    assert (sample.electrons, sample.source["electrons_from"]) == (electrons, told_by)
    np.testing.assert_allclose(sample.density[0], made.density * electrons / (8 * 1.001), rtol=1e-4)
    np.testing.assert_allclose(sample.structure.cart_coords, made.atoms.positions, atol=1e-5)
    np.testing.assert_allclose(sample.grid.vectors, made.atoms.cell, atol=1e-4)


def test_a_whole_number_is_taken_only_where_it_is_near(cube):
    assert built(cube(electrons=7.3).path)[0].electrons == pytest.approx(7.3, rel=1e-5)


def test_an_atom_outside_of_a_box_that_repeats_is_moved_into_it(cube):
    made = cube(positions=((1.0, 1.0, 1.0), (-0.5, 1.0, 4.0)))
    sample = built(made.path)[0]
    assert all(sample.grid.periodic)
    inside = made.atoms.copy()
    inside.pbc = True
    inside.wrap()
    np.testing.assert_allclose(sample.structure.cart_coords, inside.positions, atol=1e-5)


def test_an_atom_outside_of_a_box_that_does_not_repeat_is_refused_by_name(cube):
    within, outside = cube("within.cube"), cube("outside.cube", positions=((1.0, 1.0, 1.0), (-0.5, 1.0, 1.0)))
    dataset = built(within.path, outside.path, periodic=False)
    assert list(dataset.ids) == ["within"]
    assert not any(dataset[0].grid.periodic)
    assert f"{outside.path}: atom 2 (O) lies at (-0.500, 1.000, 1.000) Å" in dataset.failures["outside"]


def test_one_density_in_every_format_is_one_density(cube, tmp_path):
    made = cube("a/one.cube")
    with gzip.open(tmp_path / "a" / "two.CUBE.gz", "wb") as packed:
        packed.write(made.path.read_bytes())
    write(tmp_path / "a" / "three.xsf", read(made.path))
    (tmp_path / "a" / "notes.txt").touch()
    dataset = built(tmp_path / "a" / "*")
    assert list(dataset.ids) == ["one", "three", "two"]
    for sample in dataset:
        np.testing.assert_allclose(sample.density, dataset[0].density, rtol=1e-5)


def test_what_cannot_be_used_is_listed_and_stops_nothing(cube, tmp_path):
    made = cube("fine.cube")
    (tmp_path / "cut.cube").write_bytes(made.path.read_bytes()[:1500])
    volume = read(made.path)
    write(tmp_path / "orbital.cube", replace(volume, fields={"field_7": volume.fields["total"]}, quantity="field"))
    write(tmp_path / "minus.cube", replace(volume, fields={"total": volume.fields["total"] - 0.09}))
    cube("more.cube", electrons=7.0)
    dataset = built(tmp_path / "*", electrons=6.0)
    assert list(dataset.ids) == ["fine"]
    assert {name: sentence.split(":")[0] for name, sentence in dataset.failures.items()} == {
        name: str(tmp_path / f"{name}.cube") for name in ("cut", "minus", "more", "orbital")
    }
    assert "integrates to 7.0000 e, not to 6 e" in dataset.failures["more"]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("SPIN1_CHG.cube", "SPIN2_CHG.cube"),
        ("rho_up.cube", "rho_down.cube"),
        ("rho-up.cube.gz", "rho-dn.cube.gz"),
        ("water.alpha.cube", "water.beta.cube"),
        ("Alpha_density.cube", "Beta_density.cube"),
        ("density_spin_1.cube", "density_spin_2.cube"),
        ("chgs1.cube", "chgs2.cube"),
        ("density-sp1.cube", "density-sp2.cube"),
        ("Da.cube", "Db.cube"),
    ],
)
def test_both_spins_in_two_files_are_one_sample(cube, tmp_path, up, down):
    first, second = cube("one.cube", electrons=3.6, seed=1), cube("two.cube", electrons=2.4, seed=2)
    for name, made in ((up, first), (down, second)):
        content = made.path.read_bytes()
        (tmp_path / "pair").mkdir(exist_ok=True)
        (tmp_path / "pair" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    dataset = built(tmp_path / "pair" / "*", spins=2)
    (sample,) = dataset
    assert sample.electrons == 6
    np.testing.assert_allclose(sample.density[0], first.density + second.density, rtol=1e-4)
    np.testing.assert_allclose(sample.density[1], first.density - second.density, rtol=1e-4, atol=1e-6)
    assert f"both spins are added: {up} + {down}" in dataset.remarks[sample.id]
    assert len(built(tmp_path / "pair" / "*")[0].density) == 1


def test_one_spin_alone_is_no_density(cube):
    with pytest.raises(DataError, match=r"integrates to 3\.6000 e in O1, which holds 6 to 8 e: .*one spin of two"):
        built(cube("SPIN1_CHG.cube", electrons=3.6).path)


def test_names_of_both_spins_with_other_atoms_are_refused(cube, tmp_path):
    cube("up.cube", electrons=3.6)
    cube("down.cube", electrons=2.4, positions=((2.0, 1.0, 1.0),))
    cube("plain.cube")
    dataset = built(tmp_path / "*.cube")
    assert list(dataset.ids) == ["plain"]
    assert "of other atoms or another grid" in next(iter(dataset.failures.values()))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("e/Å³", 1.0), ("e/bohr³", Bohr**3), ("e per voxel", 42 / 480), ("times volume", 42.0)],
)
def test_a_density_in_any_unit_is_refused_with_the_option_that_takes_it(cube, tmp_path, unit, factor):
    made = cube()
    with (tmp_path / "other.cube").open("w") as file:
        write_cube(file, made.atoms, made.density * factor)
    if unit != "e/bohr³":
        with pytest.raises(
            DataError, match=rf"which holds 6 to 8 e: its values are probably {unit} .*data\.unit={unit}"
        ):
            built(tmp_path / "other.cube")
    (sample,) = built(tmp_path / "other.cube", unit=unit)
    assert (sample.electrons, sample.source["unit"]) == (6, unit)
    np.testing.assert_allclose(sample.density[0], made.density, rtol=1e-4)


def test_a_region_of_a_larger_box_is_refused(tmp_path):
    box = Atoms("OH2", [(3, 3, 3), (3.96, 3, 3), (2.76, 3.9, 3)], cell=[6, 6, 6])
    far = np.linalg.norm(np.indices((30, 30, 30)).transpose(1, 2, 3, 0) * 0.2 - 3.0, axis=-1)
    density = np.exp(-(far**2) / 0.5)
    density *= 8 / (density.sum() * 0.008)
    part = box.copy()
    part.set_cell([1.4, 1.4, 1.4])
    with (tmp_path / "region.cube").open("w") as file:
        write_cube(file, part, density[11:18, 11:18, 11:18] * Bohr**3, origin=(2.2, 2.2, 2.2))
    with pytest.raises(DataError, match=r"atoms? .*lies? outside of the box: it holds a region of a larger box"):
        built(tmp_path / "region.cube")


def test_ghost_atoms_are_left_out_and_said(cube, tmp_path):
    lines = cube().path.read_text().splitlines(keepends=True)
    head, atom, values = lines[:6], lines[6], lines[7:]
    for ghost in (
        atom.replace("    8", "    0", 1),
        atom.replace("    8", "   -8", 1),
        atom.replace("    8", "    X", 1),
    ):
        head[2] = head[2].replace("    1", "    2", 1)
        (tmp_path / "ghost.cube").write_text("".join([*head, ghost, atom, *values]))
        dataset = built(tmp_path / "ghost.cube")
        assert dataset[0].structure.formula == "O1"
        assert "1 ghost atom without a nucleus, left out" in dataset.remarks["ghost"]


def test_the_charges_of_cores_tell_the_electrons(cube, tmp_path):
    text = cube(electrons=6).path.read_text()
    atom = text.splitlines()[6]
    cored = text.replace(atom, atom.replace("0.000000", "6.000000", 1))
    (tmp_path / "cored.cube").write_text(cored)
    assert built(tmp_path / "cored.cube")[0].electrons == 6
    lithium = cored.replace("    8    6.0", "    3    1.0")  # an integer number that lithium with this core cannot hold
    (tmp_path / "lithium.cube").write_text(lithium)
    with pytest.raises(DataError, match=r"integrates to 6\.0000 e in Li1, which holds 1 e"):
        built(tmp_path / "lithium.cube")


@pytest.mark.parametrize("title", ["Spin density", "potential", "ELF", "MO 4", "density difference"])
def test_a_title_of_another_quantity_is_believed_until_told(cube, tmp_path, title):
    text = cube().path.read_text()
    (tmp_path / "other.cube").write_text(f"{title}\n{text.split(chr(10), 1)[1]}")
    with pytest.raises(DataError, match=rf"not an electron density; the title says '{title}'.*data\.quantity"):
        built(tmp_path / "other.cube")
    assert built(tmp_path / "other.cube", quantity="density")[0].electrons == 6


@pytest.mark.parametrize("title", ["Mo2 slab", "density, ML potential", "pseudopotential, PBE", "orbital-free density"])
def test_a_title_that_only_sounds_like_another_quantity_is_a_density(cube, tmp_path, title):
    text = cube().path.read_text()
    (tmp_path / "Mo4.cube").write_text(f"{title}\n{text.split(chr(10), 1)[1]}")
    assert built(tmp_path / "Mo4.cube")[0].electrons == 6


def test_a_grid_of_every_few_points_is_taken_with_a_note(cube):
    dataset = built(cube(electrons=5.8).path)  # 3% off
    assert dataset[0].electrons == pytest.approx(5.8, rel=1e-5)
    assert "5.8000 e is not a whole number" in dataset.remarks["a"][0]


@pytest.mark.parametrize("fields", ["total and spin", "up and down"])
def test_two_fields_are_a_density_when_told(cube, tmp_path, fields):
    made = cube()
    volume = read(made.path)
    up, down = 0.6 * volume.fields["total"], 0.4 * volume.fields["total"]
    first, second = (up + down, up - down) if fields == "total and spin" else (up, down)
    write(tmp_path / "two.cube", replace(volume, fields={"field_1": first, "field_2": second}, quantity="field"))
    with pytest.raises(DataError, match=r"it holds field_1, field_2 .*data\.quantity"):
        built(tmp_path / "two.cube")
    (sample,) = built(tmp_path / "two.cube", quantity="density", spins=2)
    assert sample.electrons == 6
    np.testing.assert_allclose(sample.density[1], 0.2 * sample.density[0], rtol=1e-4)


def test_other_options_make_the_samples_anew(cube):
    made = cube()
    assert built(made.path).fingerprint() != built(made.path, periodic=False).fingerprint()


def test_two_files_that_differ_in_their_endings_alone_are_refused(cube, tmp_path):
    write(tmp_path / "a.xsf", read(cube("a.cube").path))
    with pytest.raises(DataError, match="two samples have the id"):
        _ = Cube(CubeConfig(files=f"{tmp_path}/a.*")).ready


def test_a_pattern_without_a_cube_is_an_error_at_once(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"matches 1 files and folders, but no file named \.cube, \.cub or \.xsf"):
        _ = Cube(CubeConfig(files=f"{tmp_path}/n*")).ready


@pytest.mark.skipif(not REAL.is_dir(), reason="real files are not there")
def test_a_real_file():
    with gzip.open(REAL / "cp2k_elec.cube.gz", "rt") as file:
        known = read_cube(file)
    values = known["data"] / Bohr**3
    electrons = values.sum() * known["atoms"].get_volume() / values.size  # 89.2: every few points of CP2K's grid
    (sample,) = built(REAL / "*.cube.gz")
    assert sample.id == "cp2k_elec"
    assert sample.electrons == pytest.approx(electrons, rel=1e-6)
    assert [site.specie.symbol for site in sample.structure] == ["Cr"] * 4 + ["O"] * 5
    np.testing.assert_allclose(sample.density[0], values, rtol=1e-5)


def test_a_prediction_is_left_out_by_name_unless_it_is_named(cube, tmp_path):
    cube("real.cube")
    file = cube("made.cube", seed=1).path
    file.write_bytes(b"O1, predicted by edframe\n" + file.read_bytes().partition(b"\n")[2])
    dataset = built(tmp_path / "*.cube")
    assert list(dataset.ids) == ["real"]
    assert "its title says that a model of edframe predicted it" in dataset.failures["made"]
    assert list(built(file).ids) == ["made"]
