"""vaspwave.h5 against py4vasp and pymatgen: what they write or read is what edframe reads or writes."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from py4vasp import Calculation, raw
from py4vasp._raw.write import write as write_raw
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.outputs import Vaspwave

from edframe import io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.vasp import DENSITY

CELL = np.array([[3.1, 0.2, -0.1], [0.0, 2.75, 0.4], [-1.3, 0.0, 4.0]])
SHAPE = (4, 5, 6)
TEXT = "".join(f"augmentation occupancies{k:4d}{k + 4:4d}\n" + " 0.5" * (k + 4) + "\n" for k in (1, 2, 3))


def volume(blocks: int) -> io.Volume:
    rng = np.random.default_rng(blocks)
    structure = Structure(CELL, ["O", "H", "H"], rng.random((3, 3)))
    fields = {name: rng.standard_normal(SHAPE) for name in DENSITY[blocks]}
    return io.Volume(structure, Grid.of(CELL, SHAPE), fields, comment="water", augmentation={"total": TEXT})


@pytest.mark.parametrize("blocks", DENSITY)
def test_py4vasp_and_pymatgen_read_what_is_written(tmp_path, blocks):
    given = volume(blocks)
    io.write(tmp_path / "vaspwave.h5", given)
    times_volume = np.stack(list(given.fields.values())) * given.grid.volume
    density = Calculation.from_file(tmp_path / "vaspwave.h5").density
    np.testing.assert_allclose(density.to_numpy(), times_volume, rtol=1e-14)
    structure = density.to_dict()["structure"]
    np.testing.assert_allclose(structure["lattice_vectors"], CELL)
    np.testing.assert_allclose(structure["positions"], given.structure.frac_coords)
    assert structure["elements"] == ["O", "H", "H"]
    chgcar = Vaspwave(tmp_path / "vaspwave.h5").get_chgcar()
    keys = {1: ["total"], 2: ["total", "diff"], 4: ["total", "diff_x", "diff_y", "diff_z"]}[blocks]
    for values, key in zip(times_volume, keys, strict=True):
        np.testing.assert_allclose(chgcar.data[key], values, rtol=1e-14)
    assert chgcar.structure == given.structure
    assert {atom: list(values) for atom, values in chgcar.data_aug["total"].items()} == {
        atom: [0.5] * (atom + 4) for atom in (1, 2, 3)
    }


def test_a_round_trip_keeps_fields_atoms_and_occupancies(tmp_path):
    given = volume(2)
    io.write(tmp_path / "vaspwave.h5", given)
    read = io.read(tmp_path / "vaspwave.h5")
    for name, values in given.fields.items():
        np.testing.assert_allclose(read.fields[name], values, rtol=1e-14)
        assert read.fields[name].flags.c_contiguous
    assert read.structure == given.structure
    words = [line.split() for line in read.augmentation["total"].splitlines()]
    assert [word for line in words if line[0] == "augmentation" for word in line[2:]] == ["1", "5", "2", "6", "3", "7"]
    assert {float(word) for line in words if line[0] != "augmentation" for word in line} == {0.5}


def test_what_py4vasp_writes_is_read_with_the_atoms_beside_it(tmp_path):
    given = volume(1)
    structure = raw.Structure(
        raw.Stoichiometry(number_ion_types=np.array([1, 2]), ion_types=np.array(["O ", "H "], "S")),
        raw.Cell(lattice_vectors=np.array([CELL]), scale=1.0),
        positions=np.array([given.structure.frac_coords]),
    )
    charge = np.stack([given.fields["total"].T]) * given.grid.volume
    with h5py.File(tmp_path / "vaspwave.h5", "w") as wave, h5py.File(tmp_path / "vaspout.h5", "w") as out:
        for file in (wave, out):
            write_raw(file, raw.Version(6, 5, 1))
        write_raw(out, structure)
        # A vaspout.h5 has the last step here, which raw.write leaves to VASP.
        out["results/positions/lattice_vectors"], out["results/positions/scale"] = CELL, 1.0
        out["results/positions/position_ions"] = given.structure.frac_coords
        wave["charge/charge"], wave["charge/grid"] = charge, SHAPE
    read = io.read(tmp_path / "vaspwave.h5")
    np.testing.assert_allclose(read.fields["total"], given.fields["total"], rtol=1e-14)
    assert read.structure == given.structure
    with pytest.raises(DataError, match=r"vaspout\.h5 has no charge/charge; VASP writes the density to vaspwave"):
        io.read(tmp_path / "vaspout.h5")
    (tmp_path / "vaspout.h5").unlink()
    with pytest.raises(DataError, match=r"has no atoms; put the vaspout\.h5 of the calculation beside"):
        io.read(tmp_path / "vaspwave.h5")


def test_what_is_damaged_or_no_density_is_one_sentence(tmp_path):
    path = tmp_path / "vaspwave.h5"
    path.write_text("no HDF5")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        io.read(path)
    given = volume(1)
    with pytest.raises(DataError, match=r"total \(potential\) is not a density that VASP knows"):
        io.write(path, dataclasses.replace(given, quantity="potential"))
    io.write(path, given)
    whole = path.read_bytes()
    for cut in (100, len(whole) // 2, len(whole) - 3000):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            io.read(path)
    for name, values, sentence in [
        ("charge/charge", np.full((1, 6, 5, 4), np.nan), "values that are not finite"),
        ("charge/charge", np.ones((3, 6, 5, 4)), "3 blocks; VASP writes 1, 2 or 4"),
        ("charge/charge", np.ones(5), "no array of 4 axes"),
        ("structure/positions/ion_types", np.array(["X", "H"], "S"), "the atoms in structure/positions"),
        ("charge/aug_occupancies_ions_s01", np.array([1, 2, 90]), "does not agree with"),
    ]:
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            del file[name]
            file[name] = values
        with pytest.raises(DataError, match=sentence):
            io.read(path)
