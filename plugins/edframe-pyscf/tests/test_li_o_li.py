"""The shipped densities: complete, converged, 12 electrons, mirror images of each other."""

import json

import numpy as np
import pytest
from edframe_pyscf import li_o_li, scf
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf.li_o_li import LiOLi
from edframe_pyscf.matrices import unpack
from edframe_pyscf.plugin import LiOLiConfig
from pyscf.data.nist import BOHR
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.spatial import Delaunay

from edframe.errors import DataError

ROWS = {pair: row for row, pair in enumerate(geometry.pairs())}
CORNERS = [(0, 0), (0, 4), (0, 20), (0, 24), (4, 4), (4, 20), (20, 20), (20, 24), (24, 24)]


def density(grid, row):
    """The density of a configuration as it comes from its matrix, not scaled."""
    return li_o_li.evaluated(geometry.positions(*geometry.pairs()[row]), matrix_of(row), grid)


def matrix_of(row):
    return unpack(li_o_li.labels("shipped").matrices[row])


def nmae(a, b):
    """∫|a − b| / ∫b."""
    return np.abs(a - b).sum(dtype=float) / b.sum(dtype=float)


def test_all_625_records_are_shipped_converged_and_say_how():
    level, records, _ = li_o_li.labels("shipped")
    assert len(records) == 625
    settings = set(scf.Settings().__dataclass_fields__)
    for record in records:
        assert set(record) >= settings | {"energy_hartree", "cycles"}
        assert 0 < record["cycles"] < record["max_cycle"]
        assert -31.0 < record["energy_hartree"] < -30.8
    assert level["functional"] == "pbe"
    assert level["mesh"] == 80


def test_mirror_images_have_one_energy():
    energies = {}
    for pair, record in zip(geometry.pairs(), li_o_li.labels("shipped").records, strict=True):
        energies.setdefault(geometry.mirror_class(*pair), []).append(record["energy_hartree"])
    assert len(energies) == 175
    assert max(np.ptp(values) for values in energies.values()) < 1e-6


def test_density_matrices_hold_12_electrons_before_any_grid():
    """Oracle: tr(D S) with PySCF's analytic overlaps."""
    dataset = LiOLi(LiOLiConfig())
    for pair in CORNERS:
        cell = scf.build_cell(geometry.SPECIES, geometry.positions(*pair), dataset.grid.vectors, geometry.LEVEL)
        electrons = np.sum(matrix_of(ROWS[pair]) * cell.pbc_intor("int1e_ovlp"))
        assert electrons == pytest.approx(12, abs=2e-6)


@pytest.mark.parametrize("rows", [[ROWS[pair] for pair in CORNERS], pytest.param(range(625), marks=pytest.mark.slow)])
def test_densities_integrate_to_12_electrons_before_normalisation(rows):
    grid = li_o_li.grid_of(48, 3)
    for row in rows:
        assert abs(density(grid, row).sum(dtype=float) * grid.voxel_volume - 12) < 1e-3, geometry.pairs()[row]


def test_densities_of_a_mirror_class_are_mirror_images():
    """Oracle: NumPy flips about the centre, index −i mod n. All 625, each against the first of its class."""
    grid, first = li_o_li.grid_of(16, 3), {}
    for row, pair in enumerate(geometry.pairs()):
        field = density(grid, row)
        reference = first.setdefault(geometry.mirror_class(*pair), field)
        images = [np.roll(np.flip(reference, axes), 1, axes) for axes in ((), (0,), (1,), (0, 1))]
        assert min(nmae(field, image) for image in images) < 1e-4, pair


def test_densities_are_their_own_mirror_image_across_the_plane():
    field = density(li_o_li.grid_of(24, 3), ROWS[3, 21])
    assert nmae(np.roll(np.flip(field, 2), 1, 2), field) < 1e-4


def test_a_sample_is_normalised_and_tells_where_it_came_from():
    dataset = LiOLi(LiOLiConfig(grid=24, samples=8))
    sample = dataset[3]
    total = sample.density.sum(dtype=float) * sample.grid.voxel_volume
    assert total == pytest.approx(12, rel=1e-6)
    assert sample.density.min() > 0
    assert {"functional", "mesh", "level_shift", "cycles", "integral_before_normalisation"} <= set(sample.source)
    json.dumps(sample.source)
    np.testing.assert_allclose(
        sample.structure.cart_coords, geometry.positions(*geometry.pairs()[dataset.rows[3]]), atol=1e-9
    )


@pytest.mark.parametrize("points", [16, 9])
def test_two_dimensions_are_the_plane_of_the_atoms(points):
    """Oracle: PySCF's orbitals at the points of the plane, which is no plane of a 3D grid where ``points`` is odd."""
    pair = (3, 21)
    dataset = LiOLi(LiOLiConfig(grid=points, dimension=2))
    positions = geometry.positions(*pair)
    assert np.ptp(positions[:, 2]) == 0
    cell = scf.build_cell(geometry.SPECIES, positions, np.eye(3) * geometry.CELL_LENGTH, geometry.LEVEL)
    plane = np.column_stack([dataset.grid.coordinates().reshape(-1, 2), np.full(points**2, positions[0, 2])])
    orbitals = cell.pbc_eval_gto("GTOval_sph", plane / BOHR)
    matrix = matrix_of(ROWS[pair])
    expected = np.einsum("pi,ij,pj->p", orbitals, matrix, orbitals).reshape(points, points) / BOHR**3
    np.testing.assert_allclose(density(dataset.grid, ROWS[pair]), expected, rtol=1e-4, atol=1e-5)


def test_a_sample_in_two_dimensions_is_that_in_three_at_its_plane_but_not_scaled():
    whole, plane = (LiOLi(LiOLiConfig(grid=24, samples=8, dimension=d)) for d in (3, 2))
    for index in (1, 6):
        solid, flat = whole[index], plane[index]
        scale = solid.source["integral_before_normalisation"] / solid.electrons
        np.testing.assert_allclose(flat.density, solid.density[..., 12] * scale, rtol=1e-4, atol=1e-6)
        assert flat.electrons == pytest.approx(flat.density.sum(dtype=float) * 0.3**2)
        assert flat.structure == solid.structure
    assert plane[1].electrons != pytest.approx(plane[6].electrons, abs=1e-3)
    assert (plane.ids, plane.groups) == (whole.ids, whole.groups)
    assert (plane.contents.dimension, plane.grid.vectors.shape) == (2, (2, 2))
    assert plane.fingerprint() != whole.fingerprint()


def test_a_subset_spans_the_set_and_keeps_the_groups():
    whole, part = LiOLi(LiOLiConfig()), LiOLi(LiOLiConfig(samples=50))
    assert (part.ids[0], part.ids[-1]) == (whole.ids[0], whole.ids[-1])
    groups = dict(zip(whole.ids, whole.groups, strict=True))
    assert list(part.groups) == [groups[name] for name in part.ids]
    assert len(set(whole.groups)) == 175


def test_the_corners_are_all_samples_with_an_li_outside_the_hull_of_the_others():
    """Oracle: the hull of one Li's positions, by SciPy; two of its corners are those with the longest bond."""
    dataset = LiOLi(LiOLiConfig())
    corners = set(dataset.holdouts["corners"])
    assert len(corners) == 96
    atoms = np.array([geometry.positions(*pair) for pair in geometry.pairs()])
    seen = np.unique(np.delete(atoms[:, 2, :2], sorted(corners), axis=0).round(9), axis=0)
    hull = Delaunay(seen)
    mirrored = atoms[:, 0, :2] * [-1, 1] + [geometry.CELL_LENGTH, 0]
    outside = {i for xy in (atoms[:, 2, :2], mirrored) for i in np.flatnonzero(hull.find_simplex(xy, tol=1e-6) < 0)}
    assert outside == corners
    assert len(seen) == 23
    bonds = np.linalg.norm(atoms[:, [0, 2]] - atoms[:, [1]], axis=-1)
    trained = np.delete(bonds, sorted(corners), axis=0)
    assert trained.max() == pytest.approx(1.86)  # the bond alone is not new, nor the angle
    groups = np.array(dataset.groups)
    assert not set(groups[sorted(corners)]) & set(np.delete(groups, sorted(corners)))


def test_a_subset_without_a_corner_has_no_holdout(monkeypatch):
    part = LiOLi(LiOLiConfig(samples=50))
    assert [part.ids[i] for i in part.holdouts["corners"]] == [
        name for name in part.ids if {name[-5:-3], name[-2:]} & {"20", "24"}
    ]
    monkeypatch.setattr(part, "rows", [0, 300, 319])
    assert part.holdouts == {}


def test_the_fingerprint_follows_grid_samples_and_labels(tmp_path, monkeypatch):
    options = [{}, {"grid": 32}, {"samples": 100}]
    prints = [LiOLi(LiOLiConfig(**o)).fingerprint() for o in options]
    with safe_open(li_o_li.SHIPPED, framework="numpy") as file:
        matrices, metadata = file.get_tensor("density_matrices"), file.metadata()
    matrices[77, 0] += np.float32(1e-3)
    save_file({"density_matrices": matrices}, tmp_path / "other.safetensors", metadata=metadata)
    monkeypatch.setattr(li_o_li, "SHIPPED", tmp_path / "other.safetensors")
    prints.append(LiOLi(LiOLiConfig()).fingerprint())
    assert len(set(prints)) == 4


@pytest.mark.parametrize("size", [0, 5, 1000, -1])
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, size):
    damaged = tmp_path / "li_o_li.safetensors"
    damaged.write_bytes(li_o_li.SHIPPED.read_bytes()[:size])
    monkeypatch.setattr(li_o_li, "SHIPPED", damaged)
    with pytest.raises(DataError, match=r"is damaged .*reinstall"):
        LiOLi(LiOLiConfig(grid=8))[0]


def test_a_file_of_something_else_is_refused(tmp_path, monkeypatch):
    other = tmp_path / "li_o_li.safetensors"
    save_file({"weights": np.zeros(3)}, other)
    monkeypatch.setattr(li_o_li, "SHIPPED", other)
    with pytest.raises(DataError, match="is damaged"):
        LiOLi(LiOLiConfig(grid=8))[0]


def test_recomputed_densities_that_were_never_computed_are_refused_with_the_command():
    dataset = LiOLi(LiOLiConfig(source="recomputed"))
    for ask in (dataset.fingerprint, dataset.describe, lambda: dataset[0]):
        with pytest.raises(DataError, match="not there; run `edframe data build li-o-li --recompute`"):
            ask()


def test_describing_writes_nothing(cache):
    facts = LiOLi(LiOLiConfig()).describe()
    assert "reconstruction" in facts["about"]
    assert not cache.exists()
