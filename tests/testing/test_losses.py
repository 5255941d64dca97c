"""A right loss passes every check, and for each check a wrong loss fails it."""

from __future__ import annotations

import math

import pytest
import torch

from edframe.errors import ConfigError, DataError
from edframe.interfaces import Loss
from edframe.testing import checks, losses

CHECKS = {check.__name__: check for check in losses.CHECKS}


class Right(Loss):
    """Integral of the squared difference."""

    unit = "e²/Å^d"

    def __init__(self, config):
        self.config = config

    def __call__(self, predicted, reference, grid):
        return self.field(predicted, reference).flatten(1).sum(1) * grid.voxel_volume

    def field(self, predicted, reference):
        return (predicted - reference).square()


class Refusing(Right):
    """Takes orthogonal periodic 3D grids and total densities only."""

    def __call__(self, predicted, reference, grid):
        if not grid.orthogonal or not all(grid.periodic) or grid.dimension != 3 or predicted.shape[1] != 1:
            raise DataError("refused")
        return super().__call__(predicted, reference, grid)


class NoUnit(Right):
    unit = None


class SpaceOnly(Right):
    """Says e²/Å³ on planes, too."""

    unit = "e²/Å³"


class Rescaled(Right):
    """Has a density among its options, so that its unit cannot be found by rescaling."""

    unit = "(e/Å³)²"

    def field(self, predicted, reference):
        return torch.nn.functional.huber_loss(predicted, reference, reduction="none", delta=0.05)


class PerVolume(Right):
    """Says so, but integrates."""

    unit = "e²/Å"


class BatchMean(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid).mean()


class Infinite(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid) / 0


class Offset(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid) + 1


class Signed(Right):
    def field(self, predicted, reference):
        return predicted.square() - reference.square()


class HalfDetached(Right):
    def field(self, predicted, reference):
        return (predicted.detach() - reference) * (predicted - reference)


class Detached(Right):
    def field(self, predicted, reference):
        return (predicted.detach() - reference).square()


class Root(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid).sqrt()


class BatchSized(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid) / len(predicted)


class Positional(Right):
    def field(self, predicted, reference):
        return (predicted - reference).square() * torch.arange(predicted.shape[-1])


class LengthsOnly(Right):
    """Takes the product of the edges for the volume of a voxel."""

    def __call__(self, predicted, reference, grid):
        return self.field(predicted, reference).flatten(1).sum(1) * math.prod(grid.spacing)


class NotInPlane(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid) * (1 if grid.dimension == 3 else math.nan)


class PeriodicOnly(Right):
    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid) * (1 if all(grid.periodic) else math.inf)


class Wrapping(Right):
    """Compares smoothed densities; takes each axis for a periodic one."""

    def field(self, predicted, reference):
        axes = (-3, -2, -1)[-(predicted.ndim - 2) :]
        waves = [2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in predicted.shape[2:]]
        squares = sum(wave.square() for wave in torch.meshgrid(*waves, indexing="ij"))
        smooth = torch.fft.ifftn(torch.fft.fftn(predicted - reference, dim=axes) * torch.exp(-squares), dim=axes)
        return smooth.real.square()


class WrappingLast(Wrapping):
    """Mistakes an open axis only where the others are periodic."""

    def __call__(self, predicted, reference, grid):
        if not any(grid.periodic):
            raise DataError("refused")
        return super().__call__(predicted, reference, grid)


class RefusingOddly(Right):
    def __call__(self, predicted, reference, grid):
        if not all(grid.periodic):
            raise ConfigError("refused")
        return super().__call__(predicted, reference, grid)


class SpinByCase(Right):
    def __call__(self, predicted, reference, grid):
        if predicted.shape[1] == 2:
            return self.field(predicted, reference).flatten(2).sum(2)
        return super().__call__(predicted, reference, grid)


class HalfPrecise(Right):
    def field(self, predicted, reference):
        if predicted.dtype == torch.float32:
            return (predicted.bfloat16() - reference.bfloat16()).square()
        return super().field(predicted, reference)


class Remembering(Right):
    """Keeps a field and a number of each sample, and starts from them where they are known."""

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        value = self(predicted, reference, grid)
        if visit is not None:
            for name, own in (("field", predicted - reference), ("number", value)):
                known = visit.recall(name)
                visit.keep(name, own if known is None else torch.where(known.isnan(), own, known))
        return value, {"unconverged": torch.zeros(len(value))}


class Drifting(Right):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        value = self(predicted, reference, grid)
        known = None if visit is None else visit.recall("value")
        if visit is not None:
            visit.keep("value", value)
        return value if known is None else value + known, {}


class NotPrepared(Drifting):
    """Takes it that either all samples or none have been met."""

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        value, extras = super().with_diagnostics(predicted, reference, grid, visit)
        return torch.where(value.isnan(), value, self(predicted, reference, grid)), extras


class OddlyShaped(Right):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        if visit is not None:
            visit.keep("potential", predicted[:, 0])
        return self(predicted, reference, grid), {}


class Counting(Right):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return self(predicted, reference, grid), {"solver.unconverged": torch.full((len(predicted),), 7)}


class OtherValue(Right):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return 2 * self(predicted, reference, grid), {}


class ScalarDiagnostic(Right):
    def with_diagnostics(self, predicted, reference, grid, visit=None):
        return self(predicted, reference, grid), {"largest": predicted.max()}


class InPlace(Right):
    def field(self, predicted, reference):
        return predicted.sub_(reference).square()


WRONG = [
    ("unit_is_named", NoUnit, "unit as a string"),
    ("unit_follows_from_the_grid", SpaceOnly, r"on grids of dimension 1 cannot be e²/Å³: write Å\^d"),
    ("unit_follows_from_the_grid", Rescaled, r"on grids of dimension 1 cannot be \(e/Å³\)²: write Å\^d"),
    (
        "unit_follows_from_the_grid",
        PerVolume,
        "in e²/Å must change with the power -1 .* in dimension 2, but .*power -2",
    ),
    ("one_number_per_sample", BatchMean, r"shape \[3\], not \(\)"),
    ("one_number_per_sample", Infinite, "must be finite"),
    ("zero_at_equality", Offset, "zero at equality"),
    ("nonnegative", Signed, "must not be negative"),
    ("gradient_matches_differences", HalfDetached, "match finite differences"),
    ("gradient_matches_differences", Detached, "must be differentiable"),
    ("gradient_is_finite_at_equality", Root, "finite at equality"),
    ("batch_equals_one_by_one", BatchSized, "others in its batch"),
    ("moving_both_changes_nothing", Positional, "translating both"),
    ("skewed_cell_is_exact_or_refused", LengthsOnly, "treated exactly, or refused"),
    ("lower_dimensions_work_or_are_refused", NotInPlane, "must be finite"),
    ("open_boundary_works_or_is_refused", PeriodicOnly, "must be finite"),
    ("open_axis_has_two_ends", Wrapping, "axis 1 of this grid is open, so its ends are far apart"),
    ("open_axis_has_two_ends", WrappingLast, "axis 1 of this grid is open, so its ends are far apart"),
    ("two_spin_channels_work_or_are_refused", SpinByCase, r"shape \[3\], not \(3, 2\)"),
    ("single_precision_is_enough", HalfPrecise, "float32 densities must agree"),
    ("diagnostics_are_per_sample", OtherValue, "must give the loss's value"),
    ("diagnostics_are_per_sample", ScalarDiagnostic, "'largest' must be a tensor"),
    ("diagnostics_are_per_sample", Counting, "'solver.unconverged' must be 0 or 1"),
    ("what_is_kept_does_not_change_the_value", Drifting, "with what it stored of all samples to recall"),
    ("what_is_kept_does_not_change_the_value", NotPrepared, "with what it stored of the first sample to recall"),
    ("what_is_kept_does_not_change_the_value", OddlyShaped, r"fields \[b, c, x, y, z\].*its shape is \[3, 6, 6, 4\]"),
    ("inputs_stay_untouched", InPlace, "must not modify"),
]


@pytest.mark.parametrize("loss", [Right, Refusing, Remembering])
@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_right_loss_passes(subject_of, check, loss):
    check(subject_of("loss", loss))


@pytest.mark.parametrize(("name", "loss", "message"), WRONG)
def test_wrong_loss_fails(subject_of, name, loss, message):
    with pytest.raises(AssertionError, match=message):
        CHECKS[name](subject_of("loss", loss))


def test_a_refusal_by_another_error_than_was_promised_is_no_refusal(subject_of):
    with pytest.raises(ConfigError):
        CHECKS["open_boundary_works_or_is_refused"](subject_of("loss", RefusingOddly))


def test_every_check_has_a_wrong_loss():
    assert {name for name, _, _ in WRONG} == set(CHECKS)
