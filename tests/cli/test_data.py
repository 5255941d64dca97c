"""``edframe data``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from pymatgen.core.structure import Structure
from pymatgen.io.vasp import Chgcar

from edframe.data.store import Store, StoreWriter
from edframe.runs.directory import Run

SMALL = ["--set", "data.grid=12", "--set", "data.samples=16"]


def test_datasets_are_listed(edframe):
    result = edframe("data", "list")
    assert (result.code, result.err) == (0, "")
    assert any(line.startswith("li-o-li ") and "Li–O–Li" in line for line in result.out.splitlines())


def test_info_shows_size_species_and_fingerprint(edframe, finished):
    result = edframe("data", "info", "li-o-li", *SMALL)
    assert (result.code, result.err) == (0, "")
    rows = {
        cells[0].strip(): cells[1].strip()
        for line in result.out.splitlines()
        if len(cells := line.split("│")[1:3]) == 2
    }
    assert rows["samples"] == "16"
    assert rows["species"] == "Li, O"
    assert rows["grids (samples)"] == "12×12×12 (16)"
    assert rows["spacing"] == "0.600 Å"  # of the cube of 7.2 Å
    assert (rows["atoms per structure"], rows["electrons by formula"]) == ("3", "Li2 O1: 12")
    fingerprint = Run(finished).provenance()["dataset"]["fingerprint"]
    assert fingerprint in "".join(result.out.replace("│", " ").split())


def test_build_fills_the_cache_and_does_nothing_the_second_time(edframe, environment, tmp_path):
    first = edframe("data", "build", "li-o-li", "--set", "data.grid=8", "--set", "data.samples=8")
    assert (first.code, first.err) == (0, "")
    assert "8/8" in first.out
    (cache,) = Path(environment["EDFRAME_CACHE"]).glob("li-o-li/8/samples.zarr")
    assert zarr.open_group(cache).attrs["edframe"]["samples"] == 8
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    again = edframe("data", "build", "li-o-li", "--set", "data.grid=8", "--set", "data.samples=8")
    assert again.code == 0
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == before


def test_ctrl_c_is_one_sentence(edframe, monkeypatch):
    from edframe_pyscf.li_o_li import LiOLi

    def interrupted(self, advance, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(LiOLi, "build", interrupted)
    result = edframe("data", "build", "li-o-li", *SMALL)
    assert result.code == 130
    assert result.err == "Stopped; what is done is saved, and the same command continues.\n"


def test_unknown_dataset_and_option_are_one_sentence(edframe):
    for arguments, sentence in (
        (["info", "li-o-la"], "Error: --data: there is no dataset 'li-o-la'; did you mean 'li-o-li'?"),
        (
            ["info", "li-o-li", "--set", "data.gird=12"],
            "Error: --set data.gird=12: there is no option 'data.gird'; did you",
        ),
    ):
        result = edframe("data", *arguments)
        assert result.code == 2
        assert result.err.startswith(sentence)
        assert result.err.count("\n") == 1


@pytest.fixture
def silicon(tmp_path, monkeypatch):
    """Eight CHGCAR files by pymatgen's writer in folders Si-1 … Si-8; the last one is cut off."""
    monkeypatch.chdir(tmp_path)
    wave = 4 * (1 + 0.5 * np.cos(2 * np.pi * np.arange(8) / 8))
    for number in range(1, 9):
        structure = Structure(np.eye(3) * 3, ["Si"], [[0, 0, 0]])
        Path(f"silicon/Si-{number}").mkdir(parents=True)
        values = np.roll(wave, number)[:, None, None] * np.ones((8, 8, 8))
        Chgcar(structure, {"total": values}).write_file(f"silicon/Si-{number}/CHGCAR")
    cut = Path("silicon/Si-8/CHGCAR")
    cut.write_bytes(cut.read_bytes()[:4000])
    return "data.files=[silicon/*]"


def test_what_cannot_be_made_is_listed_and_left_out(edframe, silicon):
    result = edframe("data", "build", "vasp", "--set", silicon)
    assert (result.code, result.err) == (0, "")
    told, reason = result.out.splitlines()[-2:]
    assert told == "7 samples; 1 could not be made and are left out:"
    assert reason.startswith("  Si-8: ")
    assert "silicon/Si-8/CHGCAR:" in reason
    assert "the file ends after" in reason


def test_a_store_is_checked_and_a_flipped_byte_names_its_sample(edframe, silicon):
    assert edframe("data", "build", "vasp", "--set", silicon, "--out", "si.zarr").code == 0
    whole = edframe("data", "check", "si.zarr")
    assert (whole.code, whole.err) == (0, "")
    assert "si.zarr is whole: 7 samples, fingerprint " in whole.out
    (shard,) = Path("si.zarr").glob("density-*/c/0/0")
    content = bytearray(shard.read_bytes())
    content[30] ^= 1
    shard.write_bytes(content)
    damaged = edframe("data", "check", "si.zarr")
    assert damaged.code == 2
    assert damaged.err.startswith("Error: si.zarr is damaged; restore it from a copy, or build it again: ")
    assert damaged.err.count("sample 'Si-") == 1


def test_a_store_is_a_copy_that_goes_on_where_it_was_stopped(edframe, silicon, monkeypatch):
    add, added = StoreWriter.add, []

    def interrupted(self, sample, **places):
        if len(added) == 3:
            raise KeyboardInterrupt
        add(self, sample, **places)
        added.append(sample.id)

    edframe("data", "build", "vasp", "--set", silicon)
    monkeypatch.setattr(StoreWriter, "add", interrupted)
    stopped = edframe("data", "build", "vasp", "--set", silicon, "--out", "si.zarr")
    assert (stopped.code, stopped.err) == (130, "Stopped; what is done is saved, and the same command continues.\n")
    assert list(Store("si.zarr").ids) == added == ["Si-1", "Si-2", "Si-3"]
    monkeypatch.setattr(StoreWriter, "add", add)
    assert edframe("data", "build", "vasp", "--set", silicon, "--out", "si.zarr").code == 0
    assert edframe("data", "build", "vasp", "--set", silicon, "--out", "at-once.zarr").code == 0
    assert list(Store("si.zarr").ids) == [f"Si-{number}" for number in range(1, 8)]
    assert Store("si.zarr").fingerprint() == Store("at-once.zarr").fingerprint()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export", "vasp", "Si-9", "CHGCAR"], "vasp has no sample 'Si-9'; did you mean 'Si-7'"),
        (["export", "vasp", "Si-1", "density.txt"], "density.txt: its name shows no known format"),
        (["convert", "absent.cube", "CHGCAR"], "absent.cube: there is no such file"),
        (["convert", "silicon/Si-8/CHGCAR", "si.cube"], "silicon/Si-8/CHGCAR:"),
        (["convert", "silicon/Si-1/CHGCAR", "si.txt"], "si.txt: its name shows no known format"),
        (["check", "absent.zarr"], "absent.zarr: there is no store of samples"),
        (["check", "silicon"], "silicon"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(edframe, silicon, arguments, sentence):
    settings = ["--set", silicon] if "vasp" in arguments else []
    edframe("data", "build", "vasp", "--set", silicon)
    before = sorted(Path().rglob("*"))
    result = edframe("data", *arguments, *settings)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"Error: {sentence}"), result.err
    assert result.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_pattern_without_files_is_one_sentence(edframe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = edframe("data", "build", "vasp", "--set", "data.files=[nothing/*]")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "nothing/*" in result.err


@pytest.mark.parametrize(
    ("way", "names"),
    [([], ["no.cube", "no_spin.cube"]), (["--spin", "up-down"], ["no_up.cube", "no_down.cube"])],
)
def test_a_spin_density_is_converted_to_two_cubes_which_are_named(edframe, tmp_path, way, names):
    structure = Structure(np.eye(3) * 4, ["O"], [[0.5, 0.5, 0.5]])
    values = np.random.default_rng(0).random((4, 4, 4))
    values *= 6 / values.mean()
    Chgcar(structure, {"total": values, "diff": values / 2}).write_file(tmp_path / "CHGCAR")
    result = edframe("data", "convert", tmp_path / "CHGCAR", tmp_path / "no.cube", *way)
    assert (result.code, result.err) == (0, "")
    *files, electrons = result.out.splitlines()
    assert files == [str(tmp_path / name) for name in names]
    assert electrons == f"{tmp_path / 'CHGCAR'}: 6.0000 electrons in O1 (times volume), magnetisation 3.0000"
    assert {path.name for path in tmp_path.glob("*.cube")} == set(names)
