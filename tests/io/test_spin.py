"""How a spin-polarised density is divided into files, by closed forms, and what their names are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core.structure import Structure

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.spin import beside

SHAPE = (4, 5, 6)
RNG = np.random.default_rng(0)
UP, DOWN = RNG.random(SHAPE), RNG.random(SHAPE)


def volume(quantity="density", **fields):
    structure = Structure(np.diag([3.0, 4.0, 5.0]), ["O"], [[0.5, 0.5, 0.5]])
    return io.Volume(structure, Grid.of([3.0, 4.0, 5.0], SHAPE), fields, quantity, comment="NO\nmade up")


SPIN = volume(total=UP + DOWN, magnetisation=UP - DOWN)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("total", {"no.cube": UP + DOWN, "no_spin.cube": UP - DOWN}),
        ("up-down", {"no_up.cube": UP, "no_down.cube": DOWN}),
    ],
)
def test_a_spin_density_is_two_cubes(tmp_path, way, expected):
    written = io.write(tmp_path / "no.cube", SPIN, spin=way)
    assert written == [tmp_path / name for name in expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    for path, values in zip(written, expected.values(), strict=True):
        lines = path.read_text().splitlines()
        assert lines[0] == "NO"
        numbers = np.array(" ".join(lines[7:]).split(), float).reshape(SHAPE)
        np.testing.assert_allclose(numbers / 0.529177210544**3, values, atol=1e-5)
    assert "up" in written[1].read_text().splitlines()[1] or way == "up-down"


def test_three_components_and_a_potential_are_files_each(tmp_path):
    three = {f"magnetisation_{axis}": UP for axis in "xyz"}
    written = io.write(tmp_path / "a.cube", volume(total=UP, **three))
    assert [path.name for path in written] == ["a.cube", "a_spin_x.cube", "a_spin_y.cube", "a_spin_z.cube"]
    written = io.write(tmp_path / "v.cub.gz", volume("potential", spin_up=UP, spin_down=DOWN))
    assert [path.name for path in written] == ["v_up.cub.gz", "v_down.cub.gz"]


def test_orbitals_stay_in_one_file(tmp_path):
    written = io.write(tmp_path / "o.cube", volume("field", field_3=UP, field_4=DOWN))
    assert list(io.read(written[0]).fields) == ["field_3", "field_4"]


@pytest.mark.parametrize(
    ("fields", "file", "way", "sentence"),
    [
        ({"total": UP}, "a.cube", "up-down", "spin up and down are a total and a magnetisation along one axis"),
        ({"total": UP, "magnetisation": UP}, "CHGCAR", "up-down", "only cube files are divided into spin up and down"),
        ({"total": UP}, "a.cube", "both", "no way 'both' to divide a spin density; choices: total, up-down"),
    ],
)
def test_what_cannot_be_divided_is_refused(tmp_path, fields, file, way, sentence):
    with pytest.raises(DataError, match=sentence):
        io.write(tmp_path / file, volume(**fields), spin=way)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CHGCAR", "CHGCAR_spread"),
        ("CHGCAR.xz", "CHGCAR_spread.xz"),
        ("CHGCAR.Li", "CHGCAR.Li_spread"),
        ("Li.cube", "Li_spread.cube"),
        ("Li.v2.CUB.gz", "Li.v2_spread.CUB.gz"),
        ("Li.xsf", "Li_spread.xsf"),
        ("Li.vasp.zst", "Li_spread.vasp.zst"),
    ],
)
def test_a_file_beside_has_the_same_format(name, expected):
    assert beside(Path("a.b") / name, "spread") == Path("a.b") / expected
