from pathlib import Path

import numpy as np
import pytest
from edframe_vasp.field import VaspField
from edframe_vasp.plugin import VaspFieldConfig
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Chgcar, Locpot

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents

REAL = Path(__file__).parents[4] / "shared" / "data" / "vasp"
GRID = Grid.of([[4.0, 0.0, 0.0], [1.0, 3.5, 0.0], [0.0, 0.5, 3.0]], (8, 6, 10))


def molecule(x=0.1):
    return Structure(GRID.vectors, ["Li", "O", "Li"], [[x, 0.2, 0.3], [0.5, 0.5, 0.5], [0.8, 0.6, 0.4]])


def wave(grid):
    """A field of few Fourier components, by its formula on any grid, eV."""
    x, y, z = np.moveaxis(2 * np.pi * grid.fractions(), -1, 0)
    return 3 + 2 * np.cos(x + y) - np.sin(2 * z)


def locpot(folder, structure, values):
    folder.mkdir(parents=True, exist_ok=True)
    Locpot(Poscar(structure), {"total": values}).write_file(str(folder / "LOCPOT"))


def channels_of(files, structures, grid=GRID, **options):
    featurizer = VaspField(VaspFieldConfig(files=str(files), **options), Contents(("Li", "O"), 3))
    assert len(featurizer.channels) == 1
    return featurizer(structures, grid, "cpu").channels.numpy()


def test_each_structure_gets_the_field_of_its_file_over_the_scale(tmp_path):
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(3, *GRID.shape))
    structures = [molecule(x) for x in (0.1, 0.102, 0.104)]  # 0.008 Å apart
    for number in range(3):
        locpot(tmp_path / str(number), structures[number], fields[number])
    channels = channels_of(tmp_path / "*", structures[::-1], scale=4.0)
    np.testing.assert_allclose(channels[:, 0], fields[::-1] / 4, rtol=1e-6)


def test_another_grid_gets_the_same_function(tmp_path):
    coarse = Grid.of(GRID.vectors, (6, 6, 8))
    locpot(tmp_path / "a", molecule(), wave(coarse))
    np.testing.assert_allclose(channels_of(tmp_path / "*", [molecule()])[0, 0], wave(GRID), atol=1e-6)


def test_of_a_spin_polarised_density_the_total_is_taken(tmp_path):
    rng = np.random.default_rng(0)
    data = {"total": rng.random(GRID.shape), "diff": rng.random(GRID.shape)}
    (tmp_path / "a").mkdir()
    Chgcar(Poscar(molecule()), data).write_file(str(tmp_path / "a" / "PARCHG"))
    channels = channels_of(tmp_path / "*", [molecule()], file="PARCHG")
    np.testing.assert_allclose(channels[0, 0], data["total"] / GRID.volume, rtol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        molecule(0.11),
        Structure(GRID.vectors, ["Na", "O", "Li"], molecule().frac_coords),
        Structure(GRID.vectors, ["Li", "O"], molecule().frac_coords[:2]),
        Structure(
            GRID.vectors, ["Li", "O", "Li"], molecule().frac_coords + np.array([0.03, 0, 0])
        ),  # by a quarter of a voxel
        Structure(1.01 * GRID.vectors, ["Li", "O", "Li"], molecule().frac_coords),
    ],
    ids=["moved", "species", "fewer", "between voxels", "cell"],
)
def test_other_atoms_are_refused(tmp_path, other):
    locpot(tmp_path / "a", molecule(), wave(GRID))
    with pytest.raises(DataError, match=r"none of the 1 LOCPOT files that .* is of these atoms"):
        channels_of(tmp_path / "*", [other])


def test_a_folder_without_the_file_is_passed_over_and_none_at_all_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "LOCPOT").touch()  # VASP has begun
    with pytest.raises(DataError, match="no LOCPOT, nor a folder with one"):
        channels_of(tmp_path / "a", [molecule()])
    with pytest.raises(DataError, match=r"no LOCPOT that .* matches can be read"):
        channels_of(tmp_path / "*", [molecule()])
    locpot(tmp_path / "a", molecule(), wave(GRID))
    assert channels_of(tmp_path / "*", [molecule()]).any()


@pytest.mark.skipif(not REAL.is_dir(), reason="real files are not there")
def test_a_real_potential_belongs_to_the_density_beside_it():
    density = Chgcar.from_file(REAL / "CHGCAR.Li.gz")
    potential = Locpot.from_file(REAL / "LOCPOT.Li.gz")
    grid = Grid.of(density.structure.lattice.matrix, density.dim)
    channels = channels_of(REAL / "LOCPOT.Li.gz", [density.structure], grid)
    np.testing.assert_allclose(channels[0, 0], potential.data["total"], rtol=1e-5, atol=1e-5)
