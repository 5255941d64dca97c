"""Which files patterns mean, and names from their paths."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.structure import Structure

from edframe import io
from edframe.data.conversion import volume_of
from edframe.data.level import Level
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.patterns import is_prediction, names, select, stamp
from edframe.predict.predictor import predicted_sample


@pytest.fixture
def folder(tmp_path):
    for name in ("b/1.dat", "a/1.dat", "a/2.dat", "a/deep/3.dat", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def chosen(folder, *patterns):
    """Paths below ``folder`` of the files that end in .dat."""
    paths = select(patterns, lambda path: path if path.suffix == ".dat" else None, "data")
    assert all(path.is_absolute() for path in paths)
    return [path.relative_to(folder).as_posix() for path in paths]


def test_patterns_keep_their_order_and_files_are_sorted(folder):
    assert chosen(folder, f"{folder}/b/*", f"{folder}/a/*") == ["b/1.dat", "a/1.dat", "a/2.dat"]
    assert chosen(folder, f"{folder}/**") == ["a/1.dat", "a/2.dat", "a/deep/3.dat", "b/1.dat"]


def test_a_file_is_found_once(folder):
    (folder / "b" / "0.dat").symlink_to(folder / "a" / "1.dat")
    assert chosen(folder, f"{folder}/a/1.dat", f"{folder}/a/../a/1*", f"{folder}/b/*") == ["a/1.dat", "b/1.dat"]


def test_relative_patterns_and_the_home_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "a"))
    assert chosen(folder, "b/*", "~/1.dat") == ["b/1.dat", "a/1.dat"]


def test_a_file_that_is_written_out_is_always_taken(folder):
    assert chosen(folder, f"{folder}/a/notes.txt") == ["a/notes.txt"]


@pytest.mark.parametrize("name", ["slab[110]", "a*", "what?", "[x]"])
def test_a_name_with_wildcards_in_it_means_itself(folder, name):
    (folder / name).mkdir()
    (folder / name / "4.dat").touch()
    (folder / name / "notes.txt").touch()
    for pattern in ("4.dat", "*.dat", "4*", "**/4.dat"):
        assert f"{name}/4.dat" in chosen(folder, f"{folder}/{name}/{pattern}")
    assert chosen(folder, f"{folder}/{name}/notes.txt") == [f"{name}/notes.txt"]


def test_two_stars_are_no_folder_too(folder):
    assert chosen(folder, f"{folder}/**/1.dat") == ["a/1.dat", "b/1.dat"]
    assert chosen(folder, f"{folder}/a/**/*.dat") == ["a/1.dat", "a/2.dat", "a/deep/3.dat"]


def test_nothing_is_an_error_that_names_the_nearest_folder(folder):
    with pytest.raises(DataError, match=f"'{folder}/a/absent/x/\\*' matches nothing; .* exists is {folder}/a$"):
        chosen(folder, f"{folder}/b/*", f"{folder}/a/absent/x/*")


def test_nothing_of_what_is_wanted_is_an_error(folder):
    with pytest.raises(DataError, match=r"notes\*' matches 1 files and folders, but no data$"):
        chosen(folder, f"{folder}/a/notes*")


def test_names_are_as_short_as_tells_all_apart():
    assert names([Path("/x/si/run-03"), Path("/x/si/run-04")]) == ["run-03", "run-04"]
    assert names([Path("/x/si/run-03"), Path("/x/ge/run-03"), Path("/y")]) == ["si/run-03", "ge/run-03", "y"]
    assert names([]) == []


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, unique_by=tuple))
def test_names_are_unique_ends_and_none_can_be_shorter(parts):
    paths = [Path("/", *part) for part in parts]
    given_names = [name.split("/") for name in names(paths)]
    count = max(map(len, given_names))
    assert all(name == part[-count:] for name, part in zip(given_names, parts, strict=True))
    assert len({tuple(name) for name in given_names}) == len(parts)
    assert count == 1 or len({tuple(part[1 - count :]) for part in parts}) < len(parts)


def test_a_stamp_changes_with_the_file(tmp_path):
    file = tmp_path / "a"
    stamps = [stamp(file)]
    for content in ("x", "yy"):
        file.write_text(content)
        stamps.append(stamp(file))
    os.utime(file, ns=(0, 10**9 + 1))
    stamps.append(stamp(file))
    assert stamps[0] == [str(file), -1, 0]
    assert [size for _, size, _ in stamps] == [-1, 1, 2, 2]
    assert stamps[-1][2] == 10**9 + 1


@pytest.mark.parametrize("name", ["CHGCAR", "a.cube", "a.xsf", "CHGCAR.gz"])
def test_the_file_of_a_prediction_is_known_as_one(tmp_path, name):
    structure = Structure(4 * np.eye(3), ["He"], [[0.5, 0.5, 0.5]])
    grid, density = Grid.of(4 * np.eye(3), 4), np.full((1, 4, 4, 4), 2 / 64)
    sample = predicted_sample(structure, grid, density, 2.0, [], "a run", Level())
    (file,) = io.write(tmp_path / name, volume_of(sample))
    assert is_prediction(file)
    (file,) = io.write(tmp_path / f"other-{name}", volume_of(replace(sample, source={})))
    assert not is_prediction(file)
