"""ABINIT's densities, written by hand after its layout; test_codes.py has its own."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from pymatgen.core.structure import Structure

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import BOHR

CELL = np.array([[5.0, 0.0, 0.0], [1.0, 4.5, 0.0], [0.0, -0.5, 6.0]])
SHAPE = (4, 5, 6)
FRACTIONS = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.4, 0.9, 0.5]])
RNG = np.random.default_rng(5)
UP, DOWN = RNG.random(SHAPE), RNG.random(SHAPE)
"""e/Å³."""


def records(*parts):
    data = [b"".join(np.asarray(values, kind).tobytes(order="F") for values, kind in part) for part in parts]
    return b"".join(struct.pack("<i", len(each)) + each + struct.pack("<i", len(each)) for each in data)


def write_binary(path, components, version=80):
    """A header of two k points, 3 bands, two kinds of atoms (Si and O, numbered 1 and 2), and the densities."""
    points, spins, bands, atoms, kinds = 2, 2 if len(components) == 2 else 1, 12, 3, 2
    sizes = [bands, 20260101, 0, 11, atoms, *SHAPE, points, len(components), 1, spins, 1, kinds, kinds, 3, 0, 0]
    integers = np.zeros(2 * points + points * spins + kinds + 1 + 9, int)
    path.write_bytes(
        records(
            [(np.frombuffer(b"9.6.2   ", "u1"), "u1"), ([version, 52], "<i4")],
            [(sizes, "<i4"), (np.ones(7), "<f8"), ((CELL / BOHR).ravel(), "<f8"), (np.zeros(3), "<f8")],
            [
                (integers, "<i4"),
                ([1, 2, 2], "<i4"),
                (np.zeros(3 * points + bands + 3), "<f8"),
                ([14, 8], "<f8"),
                (np.zeros(points), "<f8"),
            ],
            [([0.0], "<f8"), (FRACTIONS.ravel(), "<f8"), (np.zeros(4), "<f8")],
            [(np.zeros(20), "<f8")],
            *[[(np.zeros(25), "<f8")]] * kinds,
            *([(values * BOHR**3, "<f8")] for values in components),
        )
    )


def write_netcdf(path, components):
    with h5py.File(path, "w") as file:
        file["density"] = np.stack([values.T * BOHR**3 for values in components])[..., None]
        file["primitive_vectors"], file["reduced_atom_positions"] = CELL / BOHR, FRACTIONS
        file["atom_species"], file["atomic_numbers"] = np.array([1, 2, 2], np.int32), [14.0, 8.0]


WRITERS = {"si_DEN": write_binary, "si_DEN.nc": write_netcdf}


@pytest.mark.parametrize("name", WRITERS)
def test_total_and_spin_up_are_read(tmp_path, name):
    WRITERS[name](tmp_path / name, [UP + DOWN, UP])
    volume = io.read(tmp_path / name)
    np.testing.assert_allclose(volume.fields["total"], UP + DOWN, rtol=1e-13)
    np.testing.assert_allclose(volume.fields["magnetisation"], UP - DOWN, atol=1e-13)
    np.testing.assert_allclose(volume.grid.vectors, CELL, rtol=1e-13)
    np.testing.assert_allclose(volume.structure.frac_coords, FRACTIONS)
    assert [site.specie.symbol for site in volume.structure] == ["Si", "O", "O"]


def volume(spin, shape=SHAPE, **more):
    rng = np.random.default_rng(7)
    fields = {name: rng.random(shape) for name in ("total", "magnetisation")[: 1 + spin]}
    return io.Volume(Structure(CELL, ["Si", "O", "O"], FRACTIONS), Grid.of(CELL, shape), fields, **more)


@pytest.mark.parametrize("spin", [False, True])
@pytest.mark.parametrize("components", [1, 2, 4])
@pytest.mark.parametrize("name", WRITERS)
def test_a_density_goes_into_the_file_of_a_run(tmp_path, name, components, spin):
    path = tmp_path / name
    WRITERS[name](path, [UP] * components)
    before, given = path.read_bytes(), volume(spin)
    if spin and components != 2:
        with pytest.raises(DataError, match="make the run with nspden"):
            io.write(path, given)
        assert path.read_bytes() == before
        return
    io.write(path, given)
    read = io.read(path)
    for key, values in given.fields.items():
        np.testing.assert_allclose(read.fields[key], values, atol=1e-13)
    for key in set(read.fields) - set(given.fields):
        np.testing.assert_allclose(read.fields[key], 0, atol=1e-13)
    if name == "si_DEN":  # the head of the run is as it was
        head = len(before) - components * (8 * UP.size + 8)
        assert path.read_bytes()[:head] == before[:head]


@pytest.mark.parametrize("name", WRITERS)
def test_what_does_not_belong_together_is_refused(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(DataError, match="is not there: a density goes into the file of a run of the same atoms"):
        io.write(path, volume(False))
    WRITERS[name](path, [UP])
    for sentence, wrong in {
        "the run has another grid; use it, by `--grid 4 5 6`": volume(False, (6, 5, 4)),
        "not a density that ABINIT can start from": volume(False, quantity="potential"),
    }.items():
        with pytest.raises(DataError, match=sentence):
            io.write(path, wrong)


def test_damaged_files_are_one_sentence(tmp_path):
    path, rng = tmp_path / "si_DEN", np.random.default_rng(0)
    write_binary(path, [UP], version=57)
    with pytest.raises(DataError, match=r"a header of version 57 and content 52; densities .* of ABINIT 8 and later"):
        io.read(path)
    write_binary(path, [UP])
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(0, min(len(damaged), 600))] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read = io.read(path)
        except DataError:
            continue
        assert read.fields["total"].shape == read.grid.shape
    write_netcdf(tmp_path / "x_DEN.nc", [UP])
    with h5py.File(tmp_path / "x_DEN.nc", "r+") as file:
        del file["atom_species"]
    with pytest.raises(DataError, match="the species of the atoms cannot be read"):
        io.read(tmp_path / "x_DEN.nc")
