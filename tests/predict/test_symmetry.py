"""The average over a cell's symmetries against what it must do to turned atoms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edframe.grid import Grid
from edframe.predict.symmetry import Symmetrised


class Lopsided(nn.Module):
    """Depends on direction as much as it can: every density leans towards one side."""

    def forward(self, channels: Tensor, baseline: Tensor | None, grid: Grid, electrons: Tensor) -> Tensor:
        field = channels[:, :1] + 0.5 * channels[:, 1:].roll((1, 2), (2, 3)) ** 2
        field = field + (0 if baseline is None else baseline.roll((1, 2), (3, 4)))
        return field * (electrons / (field.sum((1, 2, 3, 4)) * grid.voxel_volume)).reshape(-1, 1, 1, 1, 1)


TURNS = {
    "quarter turn": lambda x: x.transpose(2, 3).flip(2).roll(1, 2),
    "exchange": lambda x: x.transpose(3, 4),
    "inversion": lambda x: x.flip((2, 3, 4)).roll((1, 1, 1), (2, 3, 4)),
}
"""Maps of a cube's grid onto itself, written without the code under test; point 0 stays at the origin."""


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("with_baseline", [True, False])
def test_turned_atoms_have_the_turned_density(turn, with_baseline) -> None:
    grid, generator = Grid.of([3.0] * 3, 6), torch.Generator().manual_seed(0)
    channels = torch.rand((2, 2, 6, 6, 6), generator=generator)
    baseline = torch.rand((2, 1, 6, 6, 6), generator=generator) if with_baseline else None
    electrons = torch.tensor([3.0, 5.0])
    turned = None if baseline is None else turn(baseline)
    plain, model = Lopsided(), Symmetrised(Lopsided())
    expected = turn(model(channels, baseline, grid, electrons))
    torch.testing.assert_close(model(turn(channels), turned, grid, electrons), expected)
    assert (
        plain(turn(channels), turned, grid, electrons) - turn(plain(channels, baseline, grid, electrons))
    ).std() > 0.01
    torch.testing.assert_close(expected.sum((1, 2, 3, 4)) * grid.voxel_volume, electrons)


def test_the_mean_is_over_all_operations_of_the_lattice() -> None:
    """A single peak off all mirrors goes to as many places as the group has operations: 48, 16 and 2."""
    for cell, order in (
        ([3.0, 3.0, 3.0], 48),
        ([3.0, 3.0, 6.0], 16),
        ([[3.0, 0, 0], [0.4, 3.0, 0], [0.2, 0.7, 3.0]], 2),
    ):
        grid = Grid.of(cell, 8)

        class Peak(nn.Module):
            def forward(self, channels: Tensor, baseline: Tensor | None, grid: Grid, electrons: Tensor) -> Tensor:
                density = torch.zeros((1, 1, 8, 8, 8))
                density[..., 1, 2, 3] = 1.0
                return density

        mean = Symmetrised(Peak())(torch.zeros((1, 1, 8, 8, 8)), None, grid, torch.ones(1))
        assert int((mean > 0).sum()) == order
        torch.testing.assert_close(mean.sum(), torch.tensor(1.0))
