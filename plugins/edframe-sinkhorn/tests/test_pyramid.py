import pytest
import torch
from edframe_sinkhorn.pyramid import Level, prolong, restrict, schedule


def test_spacing_and_blur_halve_from_level_to_level():
    levels = schedule([4.8, 3.2, 0.1], (48, 32, 1), 0.1)
    assert [level.shape for level in levels] == [(24, 16, 1), (48, 32, 1)]
    assert [level.blur for level in levels] == pytest.approx([0.2, 0.1])


def test_a_wide_blur_is_kept_on_coarse_grids_and_a_narrow_one_approached_by_halves():
    assert {level.blur for level in schedule([4.8], (48,), 2.0)} == {2.0}
    assert schedule([4.0], (4,), 0.3) == [Level((4,), 1.0), Level((4,), 0.6), Level((4,), 0.3)]


@pytest.mark.parametrize("shapes", [((8, 6), (4, 3)), ((7, 5), (4, 2)), ((9, 1), (5, 1)), ((4, 4), (4, 4))])
def test_restriction_keeps_the_mass(shapes):
    fine, coarse = shapes
    mass = torch.rand(2, *fine, dtype=torch.float64)
    restricted = restrict(mass, coarse)
    assert restricted.shape == (2, *coarse)
    torch.testing.assert_close(restricted.flatten(1).sum(1), mass.flatten(1).sum(1))


def test_restriction_by_two_sums_pairs():
    assert restrict(torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64), (2,)).tolist() == [[3, 7]]


@pytest.mark.parametrize(("coarse", "fine"), [(4, 8), (3, 7), (2, 4)])
def test_prolongation_between_open_ends_is_exact_for_a_straight_line(coarse, fine):
    def line(n):
        return ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[None]  # voxel centres

    torch.testing.assert_close(prolong(line(coarse), (fine,), (False,)), line(fine))


def test_prolongation_wraps_around_a_periodic_axis():
    potential = torch.tensor([[0.0, 4.0]], dtype=torch.float64)
    assert prolong(potential, (4,), (True,)).tolist() == [[1, 1, 3, 3]]
    assert prolong(potential[:, :1] + 1, (3,), (True,)).tolist() == [[1, 1, 1]]
