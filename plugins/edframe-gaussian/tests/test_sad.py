"""The featurizer ``sad``: electrons, places, and what must not change them."""

import numpy as np
import pytest
import torch
from edframe_gaussian.plugin import SADConfig
from edframe_gaussian.sad import SADFeaturizer
from edframe_gaussian.tables import load_atomic_densities
from pymatgen.core import Lattice, Structure
from scipy.interpolate import CubicSpline

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents

LI2O = (("Li", "O", "Li"), np.array([[1.9, 3.0, 3.1], [3.5, 3.05, 3.0], [5.1, 3.3, 2.9]]))


def molecule(grid, species=LI2O[0], positions=LI2O[1]):
    return Structure(Lattice(grid.vectors), species, positions, coords_are_cartesian=True)


def features(structures, grid, widths=(), **contents):
    known = Contents(**{"species": ("Li", "O"), "max_atoms": 3, **contents})
    return SADFeaturizer(SADConfig(widths=widths), known)(structures, grid, "cpu")


def electrons(field, grid):
    return field.sum(tuple(range(-grid.dimension, 0)), dtype=torch.float64) * grid.voxel_volume


@pytest.mark.parametrize(
    "cell",
    [[7.2, 7.2, 7.2], [[7.0, 0.3, 0.0], [2.0, 6.8, 0.0], [-1.0, 1.5, 7.1]]],
    ids=["cubic", "triclinic"],
)
@pytest.mark.parametrize("n", [12, 30])
def test_electrons_are_those_of_the_neutral_atoms(cell, n):
    grid = Grid.of(cell, n)
    made = features([molecule(grid)], grid)
    np.testing.assert_allclose(electrons(made.channels, grid)[0], [6.0, 6.0], rtol=2e-6)
    np.testing.assert_allclose(electrons(made.baseline, grid)[0], [12.0], rtol=1e-7)


def test_baseline_is_the_sum_of_the_densities():
    grid = Grid.of([7.2] * 3, 24)
    made = features([molecule(grid)], grid, widths=(0.5,))
    torch.testing.assert_close(made.baseline[:, 0], made.channels[:, :2].sum(1), rtol=1e-5, atol=1e-6)


def test_values_are_those_of_the_table():
    grid = Grid.of([9.0] * 3, 60)  # 0.15 Å; the atom at a place between the points
    baseline = features([molecule(grid, ["O"], [[4.51, 4.43, 4.58]])], grid, species=("O",)).baseline[0, 0]
    (atomic,) = load_atomic_densities(["O"])
    r = np.linalg.norm(grid.coordinates() - [4.51, 4.43, 4.58], axis=-1)
    expected = np.where(r < atomic.cutoff, np.interp(r, atomic.radii, atomic.values), 0)
    # The scale that restores the electrons is within 1e-3 of one; np.interp errs by less than that too.
    np.testing.assert_allclose(baseline, expected, atol=1e-3 * expected.max())


def test_images_are_summed_where_the_cell_is_smaller_than_the_atom():
    small, triple = Grid.of([3.0] * 3, 12), Grid.of([9.0, 3.0, 3.0], (36, 12, 12))
    at = np.array([[0.4, 0.7, 1.1]])
    one = features([molecule(small, ["Li"], at)], small).baseline
    three = features([molecule(triple, ["Li"] * 3, at + np.outer([0, 3, 6], [1, 0, 0]))], triple).baseline
    torch.testing.assert_close(three, one.repeat(1, 1, 3, 1, 1), rtol=1e-5, atol=1e-6)


def test_vacuum_changes_no_value():
    grids = [Grid.of([n * 0.25, 7.0, 7.0], (n, 28, 28)) for n in (96, 128)]
    near, far = (features([molecule(g)], g, widths=(0.5,)) for g in grids)
    around = torch.arange(-16, 46)  # within 5 Å of the molecule; beyond, the images of the smaller cell arrive
    for field in ("channels", "baseline"):
        first = getattr(near, field).index_select(2, around % 96)
        second = getattr(far, field).index_select(2, around % 128)
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


def test_open_ends_keep_the_electrons():
    grid = Grid.of([7.2] * 3, 24, (True, True, False))
    made = features([molecule(grid)], grid)
    np.testing.assert_allclose(electrons(made.baseline, grid)[0], [12.0], rtol=1e-7)
    assert electrons(made.channels, grid).sum() < 12.0


def test_moving_by_whole_voxels_rolls_the_fields_of_a_skewed_cell():
    grid = Grid.of([[7.0, 0.3, 0.0], [2.0, 6.8, 0.0], [-1.0, 1.5, 7.1]], (20, 18, 22))
    still, moved = molecule(grid), molecule(grid)
    moved.translate_sites(range(3), [7 / 20, -4 / 18, 11 / 22], to_unit_cell=False)
    first, second = (features([s], grid, widths=(0.5,)) for s in (still, moved))
    for field in ("channels", "baseline"):
        rolled = getattr(first, field).roll((7, -4, 11), (-3, -2, -1))
        torch.testing.assert_close(getattr(second, field), rolled, rtol=1e-5, atol=1e-5)


def test_magnetisation_is_zero():
    grid = Grid.of([7.2] * 3, 16)
    baseline = features([molecule(grid)], grid, spins=2).baseline
    assert baseline.shape == (1, 2, 16, 16, 16)
    assert not baseline[:, 1].any()
    assert baseline[:, 0].all()


def test_batch_is_one_by_one_also_with_other_numbers_of_atoms():
    grid = Grid.of([7.2] * 3, 20)
    batch = [molecule(grid), molecule(grid, ["O"], LI2O[1][1:2]), molecule(grid, ["O", "Li"], LI2O[1][:2])]
    together = features(batch, grid, widths=(0.4, 0.8))
    for i, structure in enumerate(batch):
        alone = features([structure], grid, widths=(0.4, 0.8))
        torch.testing.assert_close(together.channels[i], alone.channels[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(together.baseline[i], alone.baseline[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dimension", [1, 2])
def test_flat_grids_hold_the_density_summed_over_the_other_axes(dimension):
    lengths, shape = [8.0, 7.0, 7.5], (32, 28, 30)
    solid = Grid.of(lengths, shape)
    flat = Grid.of(lengths[:dimension], shape[:dimension])
    structure = molecule(solid, ["O"], [[4.1, 3.6, 3.7]])
    known = {"species": ("O",)}
    full = features([structure], solid, **known).baseline[0, 0].numpy()
    baseline = features([structure], flat, **known, dimension=dimension).baseline[0, 0].numpy()
    axes = tuple(range(dimension, 3))
    expected = full.sum(axes) * np.prod([lengths[a] / shape[a] for a in axes])
    # At 0.25 Å a sum over points errs by a percent in oxygen's shell; the projection is an integral.
    np.testing.assert_allclose(baseline, expected, atol=0.01 * expected.max())


def test_names_follow_the_channels():
    featurizer = SADFeaturizer(SADConfig(widths=(0.5,)), Contents(("Li", "O"), 3))
    assert featurizer.channels == ["Li density", "O density", "Li gaussian 0.5 Å", "O gaussian 0.5 Å"]
    assert featurizer.has_baseline


def test_an_element_without_a_table_is_named():
    with pytest.raises(DataError, match=r"no atomic density for Fe, U: .* cover H to Ar"):
        SADFeaturizer(SADConfig(), Contents(("O", "Fe", "U"), 3))


def test_an_unknown_species_is_named():
    grid = Grid.of([7.2] * 3, 12)
    with pytest.raises(DataError, match=r"Li2 S1: no channel for S; the channels are for Li, O"):
        features([molecule(grid, ["Li", "S", "Li"])], grid)


def test_another_dimension_is_refused():
    with pytest.raises(DataError, match="made for grids of dimension 3, not 2"):
        features([], Grid.of([3.0, 3.0], 8))


def test_atoms_out_of_sight_are_an_error():
    grid = Grid.of([7.2] * 3, 12, False)
    with pytest.raises(DataError, match=r"O1: the grid holds 0 of 6 e\. Its atoms lie beyond open ends"):
        features([molecule(grid, ["O"], [[40.0, 3.0, 3.0]])], grid)


def test_cubic_spline_in_float32_is_the_spline_in_float64():
    from edframe_gaussian.tables import RadialSpline

    (atomic,) = load_atomic_densities(["Li"])
    r = np.linspace(0, atomic.cutoff + 1, 20001)
    reference = CubicSpline(atomic.radii, atomic.values, bc_type="clamped")(np.minimum(r, atomic.cutoff))
    values = RadialSpline(atomic.values, atomic.spacing)(torch.tensor(r**2, dtype=torch.float32))
    np.testing.assert_allclose(values, reference, atol=1e-6 * reference.max())


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_helium_in_a_skewed_cell_is_what_a_periodic_scf_finds():
    """A closed shell with nothing near it: the superposition is the answer. Places, images and units at once."""
    pytest.importorskip("pyscf")
    from pyscf.pbc import dft, gto

    cell = [[5.0, 0.4, 0.0], [1.5, 4.9, 0.3], [-0.8, 0.6, 5.2]]
    grid = Grid.of(cell, 45)  # at 30, the SCF's own integration errs by 0.6%
    at = [0.7, 4.4, 1.3]
    periodic = gto.M(atom=[("He", at)], a=cell, basis="gth-dzvp", pseudo="gth-pbe", mesh=grid.shape, verbose=0)
    mean_field = dft.RKS(periodic, xc="pbe").multigrid_numint()
    mean_field.kernel()
    orbitals = periodic.pbc_eval_gto("GTOval", grid.coordinates().reshape(-1, 3) / 0.529177210903)
    density = np.einsum("ni,ij,nj->n", orbitals, mean_field.make_rdm1(), orbitals).reshape(grid.shape)
    baseline = features([molecule(grid, ["He"], [at])], grid, species=("He",)).baseline[0, 0].numpy()
    error = np.abs(baseline - density / 0.529177210903**3).sum() * grid.voxel_volume / 2
    assert error < 0.002


@pytest.mark.parametrize(
    ("symbol", "spacing", "most"),
    [
        ("Li", 0.15, 1e-4),
        ("C", 0.15, 1e-4),
        ("O", 0.15, 1e-4),
        ("Mg", 0.15, 8e-3),
        ("Li", 0.33, 0.155),
    ],
)
def test_scale_that_restores_the_electrons_is_what_the_readme_says(symbol, spacing, most):
    (atomic,) = load_atomic_densities([symbol])
    axis = spacing * (np.arange(-100, 101)[np.abs(np.arange(-100, 101)) * spacing < atomic.cutoff + spacing])
    profile = CubicSpline(atomic.radii, atomic.values, bc_type="clamped")
    for place in ([0, 0, 0], [0, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5]):  # on a point; midway between points
        squared = [(axis - x * spacing) ** 2 for x in place]
        r = np.sqrt(squared[0][:, None, None] + squared[1][:, None] + squared[2])
        count = profile(r[r < atomic.cutoff]).sum() * spacing**3
        assert count == pytest.approx(atomic.charge, rel=most)
