"""Quantum ESPRESSO's densities: waves whose sum is known, an order that pw.x itself wrote, and round trips."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from pymatgen.core.structure import Structure

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import espresso
from edframe.io.units import BOHR

CELL = np.array([[0.1, 2.7, 2.8], [2.6, 0.2, 2.75], [2.9, 2.6, -0.1]])
SHAPE = (18, 15, 18)
FRACTIONS = [[0.01, 0.02, 0.03], [0.25, 0.27, 0.24]]
VOLUME = abs(np.linalg.det(CELL))
XML = """<?xml version="1.0"?><qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0"><output>
<atomic_structure nat="2" alat="7.35"><atomic_positions>{atoms}</atomic_positions><cell>{cell}</cell></atomic_structure>
<basis_set><gamma_only>{gamma}</gamma_only><ecutrho>24.0</ecutrho><fft_grid nr1="18" nr2="15" nr3="18"/></basis_set>
<magnetization><lsda>{lsda}</lsda><noncolin>false</noncolin></magnetization></output></qes:espresso>
"""
PW_X = "0 0 0|0 0 -1|0 0 1|-1 -1 -1|1 1 1|-1 0 0|1 0 0|0 -1 0|0 1 0|-1 -1 0|1 1 0|0 -1 -1|0 1 1|-1 0 -1|1 0 1"
"""The first Miller indices that pw.x 6.7 wrote for this cell."""


@pytest.fixture
def folder(tmp_path):
    """The ``prefix.save`` of a run, without a density."""

    def make(gamma=False, lsda=True):
        row = "{:.15f} {:.15f} {:.15f}".format
        cell = "".join(f"<a{k}>{row(*vector)}</a{k}>" for k, vector in enumerate(CELL / BOHR, start=1))
        places = np.array(FRACTIONS) @ CELL / BOHR
        atoms = "".join(f'<atom name="Si1" index="{k}">{row(*at)}</atom>' for k, at in enumerate(places, start=1))
        words = {"gamma": str(gamma).lower(), "lsda": str(lsda).lower()}
        (tmp_path / "data-file-schema.xml").write_text(XML.format(cell=cell, atoms=atoms, **words))
        return tmp_path

    return make


def record(values, kind):
    data = np.ascontiguousarray(values, kind).tobytes()
    return struct.pack("<i", len(data)) + data + struct.pack("<i", len(data))


def write_dat(path, miller, components, gamma=False):
    head = record([gamma, len(miller), len(components)], "<i4") + record(np.zeros(9), "<f8") + record(miller, "<i4")
    path.write_bytes(head + b"".join(record(each, "<c16") for each in components))


def write_hdf5(path, miller, components, gamma=False):
    with h5py.File(path, "w") as file:
        file.attrs["gamma_only"], file.attrs["nspin"] = ".TRUE." if gamma else ".FALSE.", len(components)
        file["MillerIndices"] = np.array(miller, np.int32)
        for name, values in zip(("rhotot_g", "rhodiff_g"), components, strict=False):
            file[name] = np.array(values, complex).view(float)


@pytest.mark.parametrize("write", [write_dat, write_hdf5], ids=["dat", "hdf5"])
@pytest.mark.parametrize("gamma", [False, True])
def test_waves_are_the_sum_that_they_are(folder, gamma, write):
    """8/V + 2 |a| cos(2π(2x − y) + arg a) in e/bohr³, as all waves or as one of each pair."""
    a = 0.01 - 0.02j
    mean = 8 / VOLUME * BOHR**3
    miller, total = [[0, 0, 0], [2, -1, 0]], [mean, a]
    if not gamma:
        miller, total = [*miller, [-2, 1, 0]], [*total, a.conjugate()]
    path = folder(gamma) / ("charge-density.hdf5" if write is write_hdf5 else "charge-density.dat")
    write(path, miller, [total, [0.5 * value for value in total]], gamma)
    volume = io.read(path)
    x, y, _ = np.moveaxis(Grid.of(CELL, SHAPE).fractions(), -1, 0)
    expected = (mean + 2 * abs(a) * np.cos(2 * np.pi * (2 * x - y) + np.angle(a))) / BOHR**3
    np.testing.assert_allclose(volume.fields["total"], expected, rtol=1e-12)
    np.testing.assert_allclose(volume.fields["magnetisation"], expected / 2, rtol=1e-12)
    np.testing.assert_allclose(volume.grid.vectors, CELL, rtol=1e-12)
    np.testing.assert_allclose(volume.structure.frac_coords, FRACTIONS, atol=1e-12)
    assert volume.structure.formula == "Si2"


def density(spin=True, shape=(20, 18, 24)):
    """Waves up to the second order, on a grid of its own."""
    grid, rng = Grid.of(CELL, shape), np.random.default_rng(3)
    waves = [rng.standard_normal() * np.cos(2 * np.pi * (grid.fractions() @ rng.integers(-2, 3, 3) + rng.random()))
             for _ in range(12)]  # fmt: skip
    fields = {"total": 8 / VOLUME + 0.02 * np.sum(waves, axis=0)}
    if spin:
        fields["magnetisation"] = 0.01 * np.sum(waves[::2], axis=0)
    return io.Volume(Structure(CELL, ["Si"] * 2, FRACTIONS), grid, fields)


@pytest.mark.parametrize("name", ["charge-density.dat", "charge-density.hdf5"])
@pytest.mark.parametrize("gamma", [False, True])
def test_a_round_trip_keeps_what_the_cutoff_holds(folder, gamma, name):
    given = density()
    io.write(folder(gamma) / name, given)
    read = io.read(folder(gamma) / name)
    again = density(shape=SHAPE)
    assert read.grid.shape == SHAPE
    for key, values in again.fields.items():
        np.testing.assert_allclose(read.fields[key], values, atol=1e-14)


def test_the_order_of_the_waves_is_that_of_pw_x(folder):
    place = folder()
    io.write(place / "charge-density.dat", density())
    content = (place / "charge-density.dat").read_bytes()
    assert struct.unpack("<iiiii", content[:20]) == (12, 0, 1469, 2, 12)
    miller = np.frombuffer(content, "<i4", 3 * 1469, 20 + 80 + 4).reshape(-1, 3)
    np.testing.assert_array_equal(miller[:15], [[int(word) for word in each.split()] for each in PW_X.split("|")])
    lengths = np.linalg.norm(miller @ (2 * np.pi * np.linalg.inv(CELL / BOHR).T), axis=1)
    assert (np.diff(lengths) > -1e-9).all()
    assert lengths[-1] ** 2 <= 48


def test_with_gamma_each_pair_of_waves_is_there_once(folder):
    run = espresso._run(folder(gamma=True) / "charge-density.dat")
    both = {tuple(m) for m in espresso._ordered(espresso._run(folder() / "charge-density.dat"))}
    half = [tuple(m) for m in espresso._ordered(run)]
    assert len(half) == (1469 + 1) // 2
    assert {m for h in half for m in (h, tuple(-k for k in h))} == both


def test_what_does_not_belong_together_is_refused(folder):
    given, place = density(), folder()
    path = place / "charge-density.dat"
    moved = Structure(CELL, ["Si"] * 2, [FRACTIONS[0], [0.25, 0.27, 0.3]])
    wrong = {
        "the run has waves that a grid of 8×8×8 cannot hold; use its own, by `--grid 18 15 18`": density(
            shape=(8, 8, 8)
        ),
        "another cell": io.Volume(
            Structure(CELL * 1.1, ["Si"] * 2, FRACTIONS), Grid.of(CELL * 1.1, 24), {"total": np.ones((24,) * 3)}
        ),
        "is of Si2, and the density is of C2": io.Volume(
            Structure(CELL, ["C"] * 2, FRACTIONS), given.grid, given.fields
        ),
        r"other positions: atom 2 \(Si\) has none within 0.02 Å": io.Volume(moved, given.grid, given.fields),
        "not a density that pw.x can start from": io.Volume(given.structure, given.grid, given.fields, "potential"),
    }
    for sentence, volume in wrong.items():
        with pytest.raises(DataError, match=sentence):
            io.write(path, volume)
    folder(lsda=False)
    with pytest.raises(
        DataError, match="the run has no magnetisation, and the density has; make the run with nspin = 2"
    ):
        io.write(path, given)
    assert not path.exists()
    (place / "data-file-schema.xml").unlink()
    lacking = r"data-file-schema.xml is not there: charge-density.dat has no atoms"
    with pytest.raises(DataError, match=lacking):
        io.write(path, given)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=lacking):
        io.read(path)


def test_damaged_files_are_one_sentence(folder):
    place = folder()
    path = place / "charge-density.dat"
    io.write(path, density())
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
        damaged[rng.integers(0, min(len(damaged), 200))] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            volume = io.read(path)
        except DataError:
            continue
        assert volume.grid.shape == SHAPE
    (place / "data-file-schema.xml").write_text("<output></output>")
    with pytest.raises(DataError, match=r"data-file-schema.xml cannot be read"):
        io.read(path)
