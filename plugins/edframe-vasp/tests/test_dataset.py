import bz2
import gzip
import lzma
import shutil
from collections import Counter
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from edframe_vasp.dataset import Vasp
from edframe_vasp.plugin import VaspConfig

from edframe.errors import DataError

REAL = Path(__file__).parents[4] / "shared" / "data" / "vasp"
OXYGEN = ("PAW_PBE O 08Apr2002", 6.0)


def built(*files, spins=1):
    dataset = Vasp(VaspConfig(files=[str(file) for file in files], spins=spins))
    dataset.build(lambda done, total: None)
    return dataset


@pytest.mark.parametrize("spins", [1, 2])
def test_a_sample_is_what_was_written(calculation, potcar, spins):
    made = calculation(species=("O", "Li"), electrons=9 * 1.0005, spins=spins)
    potcar(made.folder, OXYGEN, ("PAW_PBE Li_sv 10Sep2004", 3.0))
    sample = built(made.folder, spins=spins)[0]
    assert (sample.electrons, sample.source["electrons_from"]) == (9, "POTCAR")
    assert sample.source["valence"] == {"O": 6.0, "Li": 3.0}
    assert sample.source["file"] == str(made.file)
    assert sample.source["integral"] == pytest.approx(9 * 1.0005)
    np.testing.assert_allclose(sample.density, made.density / 1.0005, rtol=1e-6)
    np.testing.assert_allclose(sample.structure.cart_coords, made.structure.cart_coords, atol=1e-5)


def test_of_a_spin_polarised_file_the_total_can_be_taken(calculation):
    made = calculation(spins=2)
    np.testing.assert_allclose(built(made.folder)[0].density, made.density[:1], rtol=1e-6)


def test_a_file_without_magnetisation_is_left_out_by_name(calculation):
    plain, polarised = calculation("plain"), calculation("polarised", spins=2)
    dataset = built(plain.folder, polarised.folder, spins=2)
    assert list(dataset.ids) == ["polarised"]
    assert str(plain.file) in dataset.failures["plain"]
    assert "data.spins=1" in dataset.failures["plain"]


def test_what_cannot_be_used_is_listed_and_stops_nothing(calculation, tmp_path, potcar):
    for name in ("fine", "cut", "other", "charged"):
        calculation(
            name, species=("O",) * 100 if name == "charged" else ("O",), electrons=599 if name == "charged" else 6
        )
    (tmp_path / "cut" / "CHGCAR").write_bytes((tmp_path / "cut" / "CHGCAR").read_bytes()[:2000])
    potcar(tmp_path / "other", ("PAW_PBE O_h 06Feb2004", 7.0))
    potcar(tmp_path / "charged", OXYGEN)
    (tmp_path / "waiting").mkdir()
    (tmp_path / "waiting" / "INCAR").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.txt").touch()
    dataset = built(tmp_path / "*")
    assert list(dataset.ids) == ["fine"]
    assert set(dataset.failures) == {"cut", "other", "charged", "waiting"}
    assert str(tmp_path / "cut" / "CHGCAR") in dataset.failures["cut"]
    assert "integrates to 6.0000 e, and the POTCAR beside it gives 7 e" in dataset.failures["other"]
    assert "integrates to 599.0000 e" in dataset.failures["charged"]  # 0.2% off: a cell that lost an electron
    assert "VASP has not finished" in dataset.failures["waiting"]


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(calculation, tmp_path, monkeypatch):
    for name in ("a", "b"):
        calculation(name)
    first = built(tmp_path / "*")
    changed = calculation("b", electrons=1.0, seed=7)
    again = Vasp(VaspConfig(files=str(tmp_path / "*")))
    assert not again.ready
    read = []
    monkeypatch.setattr("edframe_vasp.dataset.read", counted(read))
    again.build(lambda done, total: None)
    assert read == [changed.file]
    assert [sample.electrons for sample in again] == [2, 1]
    assert again.fingerprint() != first.fingerprint()
    (tmp_path / "a" / "INCAR").write_text("NELECT = 2.001\n")
    assert not Vasp(VaspConfig(files=str(tmp_path / "*"))).ready


def counted(files):
    """The real reader, which also appends the file that it is given."""
    from edframe.io import read

    def reading(file, *arguments, **options):
        files.append(file)
        return read(file, *arguments, **options)

    return reading


def test_ids_are_the_ends_of_the_paths(calculation, tmp_path):
    for name in ("si/run-03", "ge/run-03", "ge/run-04"):
        calculation(name)
    assert list(built(tmp_path / "*" / "run*").ids) == ["ge/run-03", "ge/run-04", "si/run-03"]
    assert list(built(tmp_path / "ge/**").ids) == ["run-03", "run-04"]
    assert list(built(tmp_path / "si" / "run-03", tmp_path / "ge" / "run-04").ids) == ["run-03", "run-04"]


def test_packed_and_plain_files_of_any_name(calculation, tmp_path):
    plain = calculation("runs/a")
    with gzip.open(tmp_path / "runs" / "CHGCAR.b.gz", "wb") as packed:
        packed.write(plain.file.read_bytes())
    shutil.copy(plain.file, tmp_path / "c.dat")
    with gzip.open(plain.folder / "CHGCAR.gz", "wb") as packed:  # beside what it was made from
        packed.write(plain.file.read_bytes())
    dataset = built(tmp_path / "runs" / "**", tmp_path / "c.dat")
    assert list(dataset.ids) == ["CHGCAR.b", "a", "c.dat"]
    np.testing.assert_array_equal(dataset[0].density, dataset[2].density)


@pytest.mark.parametrize(
    ("ending", "pack"), [("bz2", bz2.compress), ("xz", lzma.compress), ("lz4", lz4.frame.compress)]
)
def test_a_folder_with_a_packed_density_and_packed_files_beside_it(calculation, potcar, ending, pack):
    made = calculation(species=("O",), electrons=6)
    potcar(made.folder, OXYGEN)
    for name in ("CHGCAR", "POTCAR"):
        (made.folder / f"{name}.{ending}").write_bytes(pack((made.folder / name).read_bytes()))
        (made.folder / name).unlink()
    (sample,) = built(made.folder)
    assert (sample.id, sample.electrons, sample.source["electrons_from"]) == ("run", 6, "POTCAR")


@pytest.mark.parametrize("name", ["slab[110]", "what?", "a*b"])
def test_a_folder_with_wildcards_in_its_name(calculation, name):
    made = calculation(name)
    for pattern in (made.file, made.folder, f"{made.folder}/*"):
        assert list(built(pattern).ids) == [name]


def test_a_calculation_that_wrote_hdf5_is_told_from_one_that_has_not_finished(calculation, tmp_path):
    folder = calculation("run").folder
    (folder / "CHGCAR").rename(tmp_path / "CHGCAR.other")
    (folder / "INCAR").write_text("LH5 = .TRUE.\n")
    (folder / "vaspwave.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    reason = built(folder, tmp_path / "CHGCAR.other").failures["run"]
    assert "there is no CHGCAR, and vaspwave.h5, where VASP writes the density with LH5 = .TRUE." in reason


def test_the_density_of_a_band_is_no_label(calculation):
    made = calculation(species=("O",), electrons=2.0, file="PARCHG.0001.ALLK")
    with pytest.raises(DataError, match=r"integrates to 2\.0000 e in O1, which holds 6 to 8 e"):
        built(made.file)


def test_one_calculation_under_two_names_is_one_group_and_is_counted(calculation, tmp_path):
    calculation("a/run-1", seed=1)
    calculation("a/run-2", seed=2)
    calculation("b/again", seed=1)
    dataset = built(tmp_path / "*" / "*")
    assert set(dataset.ids) == {"run-1", "run-2", "again"}
    groups = dict(zip(dataset.ids, dataset.groups, strict=True))
    assert groups["run-1"] == groups["again"] != groups["run-2"]


@pytest.mark.parametrize(("together", "sizes"), [(None, [1] * 5), ("folder", [2, 3]), (2, [1, 2, 2])])
def test_frames_of_a_folder_or_blocks_of_them_stay_together(calculation, tmp_path, together, sizes):
    for number, name in enumerate(("md/1", "md/2", "md/10", "other/1", "other/2")):
        calculation(name, seed=number)
    dataset = Vasp(VaspConfig(files=str(tmp_path / "*" / "*"), together=together))
    dataset.build(lambda done, total: None)
    groups = dict(zip(dataset.ids, dataset.groups, strict=True))
    assert sorted(Counter(groups.values()).values()) == sizes
    if together == 2:
        assert groups["md/1"] == groups["md/2"] != groups["md/10"]


def predicted(file):
    """Give a CHGCAR the title of one that `edframe predict` writes."""
    packed = file.name.endswith(".gz")
    text = gzip.decompress(file.read_bytes()) if packed else file.read_bytes()
    text = b"Li2 O1, predicted by edframe\n" + text.partition(b"\n")[2]
    file.write_bytes(gzip.compress(text) if packed else text)
    return file


@pytest.mark.parametrize("name", ["CHGCAR", "CHGCAR.gz"])
def test_a_prediction_is_left_out_by_name_unless_it_is_named(calculation, tmp_path, name):
    real = calculation("real")
    file = calculation("made", seed=1, file=name).folder / name
    predicted(file)
    dataset = built(tmp_path / "*")
    assert list(dataset.ids) == ["real"]
    assert dataset.failures == {
        "made": f"{file}: its title says that a model of edframe predicted it; to learn from it all the same, name the "
        "file in data.files"
    }
    assert list(built(real.folder, file).ids) == ["real", "made"]


def test_by_default_only_what_is_named_chgcar_is_taken(calculation, tmp_path, monkeypatch):
    calculation(".", file="POSCAR.vasp"), calculation(".", seed=1, file="silicon.CHGCAR"), calculation("run", seed=2)
    monkeypatch.chdir(tmp_path)
    assert [Path(job.inputs["density"][0]).name for job in Vasp(VaspConfig()).jobs()] == ["CHGCAR", "silicon.CHGCAR"]
    (job,) = Vasp(VaspConfig(files="*.vasp")).jobs()
    assert Path(job.inputs["density"][0]).name == "POSCAR.vasp"


def test_a_pattern_without_a_density_is_an_error_at_once(tmp_path):
    (tmp_path / "POSCAR").touch()
    with pytest.raises(DataError, match=r"POS\*' matches 1 files and folders, but no CHGCAR, nor a folder with one"):
        _ = Vasp(VaspConfig(files=str(tmp_path / "POS*"))).ready


def test_the_description_counts_where_electrons_are_from(calculation, potcar):
    first, second = calculation("a", species=("O",), electrons=6), calculation("b")
    potcar(first.folder, OXYGEN)
    told = built(first.folder, second.folder).describe()["number of electrons from"]
    assert sorted(told.split(", ")) == ["POTCAR (1)", "integral (1)"]


@pytest.mark.skipif(not REAL.is_dir(), reason="real files are not there")
def test_real_files():
    dataset = built(REAL / "CHGCAR.N*", spins=1)
    assert [(sample.id, sample.electrons, sample.grid.shape) for sample in dataset] == [
        ("CHGCAR.NO_spin", 11.0, (32, 48, 64)),
        ("CHGCAR.NaCl", 8.0, (56, 56, 56)),
    ]
    assert all(sample.source["augmentation"]["total"].startswith("augmentation") for sample in dataset)
    assert len(built(REAL / "CHGCAR.NO_spin.gz", spins=2)[0].density) == 2
