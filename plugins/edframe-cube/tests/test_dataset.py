import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io.cube import read_cube
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
