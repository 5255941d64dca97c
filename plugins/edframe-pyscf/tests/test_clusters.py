"""The clusters (Li₂O)ₙ: their shapes, energies and shipped densities, the first against ``li-o-li``."""

import json

import numpy as np
import pytest
from edframe_pyscf import clusters, li_o_li
from edframe_pyscf import clusters_geometry as shapes
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf.clusters import Li2OClusters, label
from edframe_pyscf.matrices import unpack
from edframe_pyscf.options_clusters import Li2OClustersConfig
from edframe_pyscf.orbitals import Expansion
from pymatgen.core import Molecule
from pymatgen.symmetry.analyzer import PointGroupAnalyzer
from safetensors.numpy import load_file, save_file

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.testing import checks, component

ALL = shapes.chosen(shapes.SIZES, shapes.SAMPLES)


def dataset(**options):
    return Li2OClusters(Li2OClustersConfig(**options))


def job(n, sample, **options):
    return dataset(sizes=(n,), samples=sample + 1, **options).jobs()[sample]


def nmae(a, b):
    """∫|a − b| / ∫b."""
    return np.abs(a - b).sum(dtype=float) / b.sum(dtype=float)


def distances(positions):
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    return apart[np.triu_indices(len(positions), 1)]


def test_ids_tell_the_size_and_samples_their_n():
    names = [job.id for job in dataset(sizes=[3, 1], samples=2).jobs()]
    assert names == ["li2o-1-00", "li2o-1-01", "li2o-3-00", "li2o-3-01"]
    assert len({job.id for job in dataset().jobs()}) == len(ALL) == 48
    sample = label(job(2, 1, voxel=0.2))
    assert (sample.source["n"], sample.source["relaxed"]) == (2, False)
    json.dumps(sample.source)


@pytest.mark.parametrize("n", shapes.SIZES)
def test_the_shapes(n):
    """Oracle of the point groups: pymatgen; of the bonds: those of the molecule (1.62 Å) and the crystal (2.00 Å)."""
    cluster = shapes.clusters()[n]
    assert cluster.species == ("Li",) * (2 * n) + ("O",) * n
    assert cluster.positions.shape == (shapes.SAMPLES, 3 * n, 3)
    relaxed, *displaced = cluster.positions
    assert PointGroupAnalyzer(Molecule(cluster.species, relaxed), tolerance=0.15).sch_symbol == cluster.point_group
    bonds = np.linalg.norm(relaxed[: 2 * n, None] - relaxed[None, 2 * n :], axis=-1).min(axis=1)
    assert 1.55 < bonds.min() <= bonds.max() < 2.05
    for positions in displaced:
        assert distances(positions).min() > 1.4
        moved = positions - positions.mean(axis=0) - relaxed + relaxed.mean(axis=0)
        assert 0.02 < moved.std() < 0.14
    vacuum = (cluster.sides - np.ptp(cluster.positions, axis=1)) / 2
    assert vacuum.min() > 2.79


@pytest.mark.parametrize("n", shapes.SIZES)
def test_boxes_have_the_voxel_that_is_asked_for(n):
    cluster = shapes.clusters()[n]
    np.testing.assert_allclose(cluster.sides / cluster.shape(0.15), 0.15)
    for voxel in (0.15, 0.2):
        shape = np.array(cluster.shape(voxel))
        assert (shape % 8 == 0).all()
        assert (cluster.sides / shape <= voxel + 1e-9).all()


def test_a_larger_cluster_binds_each_unit_more():
    energies = [clusters.shipped().records[n][0]["energy_hartree"] / n for n in shapes.SIZES]
    assert (np.diff(energies) < 0).all()
    assert 0.04 < energies[0] - energies[1] < 0.08  # 1.4 eV: the dimer is bound by about 2.8 eV


@pytest.mark.parametrize("n", shapes.SIZES)
def test_relaxed_clusters_are_lower_than_displaced_ones(n):
    relaxed, *displaced = (record["energy_hartree"] for record in clusters.shipped().records[n])
    assert relaxed < min(displaced)


def test_all_48_scf_records_are_converged_and_say_how():
    for records in clusters.shipped().records.values():
        assert all(0 < record["cycles"] < record["max_cycle"] for record in records)


@pytest.mark.parametrize("n", shapes.SIZES)
def test_density_matrices_hold_12_electrons_a_unit_before_any_grid(n):
    """Oracle: tr(D S) with PySCF's analytic overlaps."""
    cluster = shapes.clusters()[n]
    cell = clusters.cell_of(cluster, cluster.positions[1])
    electrons = np.sum(unpack(clusters.shipped().matrices[n][1]) * cell.pbc_intor("int1e_ovlp"))
    assert electrons == pytest.approx(12 * n, abs=1e-5)


@pytest.mark.parametrize("n", shapes.SIZES)
def test_densities_integrate_to_12_electrons_a_unit(n):
    sample = label(job(n, 1))
    assert sample.source["integral_before_normalisation"] == pytest.approx(12 * n, abs=2e-3)
    assert sample.density.sum(dtype=float) * sample.grid.voxel_volume == pytest.approx(12 * n, rel=1e-6)
    assert sample.density.min() >= 0


def test_the_relaxed_molecule_has_the_density_of_the_straight_one_in_li_o_li():
    """Oracle: the other dataset, in another box. Both molecules straight along x, bonds of 1.6216 and of 1.62 Å."""
    row = geometry.pairs().index((12, 12))
    centre, (left, oxygen, right) = geometry.CELL_LENGTH / 2, geometry.positions(12, 12)
    cluster = shapes.clusters()[1]
    order = [0, 2, 1] if cluster.positions[0][0, 0] < cluster.positions[0][1, 0] else [1, 2, 0]
    np.testing.assert_allclose(cluster.positions[0][order], np.stack([left, oxygen, right]) - centre, atol=2e-3)
    # The other's matrix at this one's positions and points: what is left are 0.0016 Å and the images of the atoms.
    grid = Grid.of(cluster.sides, cluster.shape(0.15))
    density = label(job(1, 0)).density[0]
    cell = clusters.scf.build_cell(
        geometry.SPECIES, cluster.positions[0][order] + cluster.sides / 2, grid.vectors, shapes.LEVEL
    )
    matrix = unpack(li_o_li.labels("shipped").matrices[row])
    expected = Expansion.of(cell).density(cluster.positions[0][order] + cluster.sides / 2, matrix, grid)
    assert nmae(density, expected * 12 / (expected.sum() * grid.voxel_volume)) < 0.01


def test_a_relaxed_density_has_the_symmetry_of_its_molecule():
    """The dimer, of point group D2h within 3 mÅ, under its three mirrors and the centre. Oracle: NumPy flips."""
    density = label(job(2, 0)).density[0]
    for axis in range(3):
        assert nmae(np.roll(np.flip(density, axis), 1, axis), density) < 0.01
    assert nmae(np.roll(np.flip(density), 1, (0, 1, 2)), density) < 0.01


def test_moving_the_atoms_by_voxels_moves_the_density():
    cluster, grid = shapes.clusters()[2], Grid.of(shapes.clusters()[2].sides, shapes.clusters()[2].shape(0.2))
    matrix = unpack(clusters.shipped().matrices[2][3])
    densities = [
        clusters.expansion(2).density(cluster.positions[3] + np.array(steps) * grid.spacing, matrix, grid)
        for steps in ((0, 0, 0), (3, -2, 1))
    ]
    assert nmae(np.roll(densities[0], (3, -2, 1), (0, 1, 2)), densities[1]) < 1e-10


def test_building_evaluates_the_shipped_matrices():
    made = dataset(sizes=1, samples=2, voxel=0.2)
    made.build(lambda done, total: None)
    assert list(made.ids) == ["li2o-1-00", "li2o-1-01"]
    assert made.contents.species == ("Li", "O")
    assert len(set(made.groups)) == 2
    np.testing.assert_array_equal(made[1].density, label(job(1, 1, voxel=0.2)).density)


def test_larger_clusters_are_held_out(built, monkeypatch):
    monkeypatch.setenv("EDFRAME_CACHE", str(built))
    for sizes, expected in (
        ([1], {}),
        ([1, 2], {"n>1": ["li2o-2-00", "li2o-2-01"]}),
        ([2, 4], {"n>1": ["li2o-2-00", "li2o-2-01", "li2o-4-00", "li2o-4-01"], "n>2": ["li2o-4-00", "li2o-4-01"],
                  "n>3": ["li2o-4-00", "li2o-4-01"]}),
    ):  # fmt: skip
        made = dataset(sizes=sizes, samples=2, voxel=0.225)
        made.build(lambda done, total: None)
        assert {name: [made.ids[i] for i in indices] for name, indices in made.holdouts.items()} == expected


def test_recomputing_what_ships_is_refused_with_the_command():
    with pytest.raises(DataError, match=r"--set data\.source=recomputed"):
        dataset().build(lambda done, total: None, recompute=True)


def test_other_matrices_are_other_jobs(monkeypatch):
    before = {made.id: made.key for made in dataset(samples=2).jobs()}
    tensors = load_file(clusters.SHIPPED)
    tensors["n2"][1, 0] += np.float32(1e-3)
    other = clusters.Labels("", {}, {n: tensors[f"n{n}"] for n in shapes.SIZES})
    monkeypatch.setattr(clusters, "shipped", lambda: other)
    after = {made.id: made.key for made in dataset(samples=2).jobs()}
    assert [name for name in before if before[name] != after[name]] == ["li2o-2-01"]


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, content):
    path = tmp_path / "damaged.safetensors"
    if content is None:
        save_file({"n1": np.zeros(3, np.float32)}, path)
    else:
        path.write_bytes(content)
    monkeypatch.setattr(clusters, "SHIPPED", path)
    with pytest.raises(DataError, match=r"is damaged .*reinstall"):
        clusters.shipped.__wrapped__()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "sample"), [(1, 4), (2, 7)])
def test_shipped_densities_are_what_the_scf_gives(n, sample):
    recomputed, stored = label(job(n, sample, source="recomputed")), label(job(n, sample))
    assert recomputed.source["energy_hartree"] == pytest.approx(stored.source["energy_hartree"], abs=1e-7)
    error = nmae(recomputed.density, stored.density)
    print(f"li2o-{n}-{sample:02d}: NMAE {100 * error:.2e} %")
    assert error < 1e-4


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A cache in which the dataset is built once."""
    return tmp_path_factory.mktemp("clusters")


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check, built, monkeypatch):
    monkeypatch.setenv("EDFRAME_CACHE", str(built))
    check(component("dataset", "li2o-clusters", {"sizes": [1, 2], "samples": 2, "voxel": 0.2}))
