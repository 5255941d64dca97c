"""The losses against PySCF's Coulomb kernel, and what they refuse."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from edframe_kernel.coulomb import CoulombLoss, LowGLoss
from edframe_kernel.plugin import CoulombConfig, LowGConfig
from pyscf.data.nist import BOHR, HARTREE2EV
from pyscf.pbc.gto import Cell
from pyscf.pbc.tools import get_coulG

from edframe.errors import DataError
from edframe.grid import Grid

SKEWED = [[6.5, 0.0, 0.0], [0.8, 7.5, 0.0], [-0.4, 0.3, 7.0]]


def densities(grid, spins=1):
    """Positive, of equal mass."""
    fields = torch.rand(2, 3, spins, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return fields / fields[:, :, :1].flatten(3).mean(3).reshape(2, 3, 1, *[1] * grid.dimension)


@pytest.mark.parametrize("below", [None, 1.3])
def test_a_crystal_by_the_kernel_of_pyscf(below):
    """In Hartree and bohr: ½ Σ coulG |ρ(G)|² / V. The shortest waves are left out: PySCF takes for each the one whose
    indices are smallest, we the one that is longest."""
    grid = Grid.of(SKEWED, (9, 11, 7))
    predicted, reference = densities(grid)
    cell = Cell(atom="He 0 0 0", a=np.array(SKEWED), mesh=grid.shape, basis="sto-3g", verbose=0).build()
    kernel = get_coulG(cell, mesh=grid.shape).reshape(grid.shape)
    waves = np.linalg.norm(cell.get_Gv(grid.shape).reshape(*grid.shape, 3), axis=-1) / BOHR
    kernel = kernel if below is None else kernel * (waves < below)
    error = np.fft.fftn((predicted - reference)[:, 0].numpy(), axes=(1, 2, 3)) * (waves < 2.5)
    predicted = reference + torch.from_numpy(np.fft.ifftn(error, axes=(1, 2, 3)).real)[:, None]
    error *= grid.voxel_volume
    energy = (kernel * abs(error) ** 2).sum((1, 2, 3)) / (2 * cell.vol) * HARTREE2EV
    electrons = reference.flatten(1).sum(1).numpy() * grid.voxel_volume
    loss = CoulombLoss(CoulombConfig()) if below is None else LowGLoss(LowGConfig(below=below))
    np.testing.assert_allclose(loss(predicted, reference, grid), energy / electrons, rtol=1e-6)


def test_the_error_of_the_magnetisation_counts_in_addition():
    grid = Grid.of(SKEWED, (6, 5, 4), False)
    predicted, reference = densities(grid, spins=2)
    loss = CoulombLoss(CoulombConfig())
    total = loss(predicted[:, :1], reference[:, :1], grid)
    swapped = torch.stack((reference[:, 0], predicted[:, 1]), 1)
    torch.testing.assert_close(loss(predicted, reference, grid), total + loss(swapped, reference, grid))


def test_a_long_wave_costs_more_than_a_short_one_of_equal_height():
    grid = Grid.of([12.0, 4.0, 4.0], (24, 8, 8))
    reference = torch.ones(1, 1, *grid.shape)
    phase = 2 * torch.pi * torch.arange(24).reshape(24, 1, 1) / 24
    long, short = (loss(reference + 0.1 * torch.cos(n * phase), reference, grid).item()
                   for loss, n in ((CoulombLoss(CoulombConfig()), 1), (CoulombLoss(CoulombConfig()), 6)))  # fmt: skip
    assert long == pytest.approx(36 * short, rel=1e-5)


def test_low_g_refuses_a_cell_without_long_waves():
    grid = Grid.of([6.0, 6.0, 6.0], 8)
    density = torch.ones(1, 1, *grid.shape)
    with pytest.raises(DataError, match=r"1\.05 Å⁻¹.*nothing below 1 Å⁻¹.*raise loss\.below"):
        LowGLoss(LowGConfig())(density, density, grid)
    assert LowGLoss(LowGConfig())(density, density, Grid.of([6.0, 6.0, 6.0], 8, False)).item() == 0


@pytest.mark.parametrize("make", [lambda: CoulombLoss(CoulombConfig()), lambda: LowGLoss(LowGConfig())])
@pytest.mark.usefixtures("any_shape")
def test_shapes_that_do_not_fit_are_refused_by_name(make):
    grid = Grid.of([20.0, 30.0], (3, 5))
    with pytest.raises(DataError, match=r"\[b, s, 3, 5\]"):
        make()(torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, 5), grid)


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, edframe_kernel.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
