"""A right model passes every check, and for each check a wrong model fails it."""

from __future__ import annotations

from unittest import SkipTest

import pytest
import torch
from torch import nn

from edframe.data.sums import on_whole
from edframe.errors import DataError
from edframe.testing import checks, models

CHECKS = {check.__name__: check for check in models.CHECKS}


class Right(nn.Module):
    """(√ρ₀ + w·channels)², scaled to the electrons."""

    def __init__(self, config, channels, spins, dimension):
        super().__init__()
        self.dimension = dimension
        self.weight = nn.Parameter(torch.randn(spins, channels))

    def forward(self, channels, baseline, grid, electrons):
        root = 0 if baseline is None else baseline[:, :1].sqrt()
        amplitude = torch.einsum("sc,bc...->bs...", self.weight, self.seen(channels))
        return self.scaled((root + amplitude[:, :1]).square(), amplitude[:, 1:], grid, electrons)

    def seen(self, channels):
        return channels

    def scaled(self, total, amplitude, grid, electrons):
        norm = total.double().flatten(1).sum(1) * grid.voxel_volume
        total = total * (electrons / norm).float().reshape(-1, *[1] * (total.ndim - 1))
        return torch.cat([total, total * amplitude.tanh()], dim=1)


class Tiled(Right):
    """The baseline plus the square of the weighted channels of the next points, the number of which it states."""

    reach = 2
    stride = 1

    def forward(self, channels, baseline, grid, electrons):
        return on_whole(self.finished(self.fields(channels, baseline, grid, electrons), grid, electrons))

    def fields(self, channels, baseline, grid, electrons):
        ends = channels if grid.periodic[0] else torch.zeros_like(channels)
        long = torch.cat([ends[:, :, -2:], channels, ends[:, :, :2]], dim=2)
        amplitude = torch.einsum("sc,bc...->bs...", self.weight, channels + long[:, :, 4:] - long[:, :, :-4])
        start = 0 if baseline is None else baseline[:, :1]
        return torch.cat([start + amplitude[:, :1].square(), amplitude[:, 1:]], dim=1)

    def finished(self, fields, grid, electrons):
        held = yield fields[:, 0].flatten(1).sum(1, keepdim=True, dtype=torch.float64) * grid.voxel_volume
        total = fields[:, :1] * (electrons / held[:, 0]).float().reshape(-1, 1, *[1] * grid.dimension)
        return torch.cat([total, total * fields[:, 1:].tanh()], dim=1)


class ShortSighted(Tiled):
    reach = 1


class SummingOnParts(Tiled):
    def finished(self, fields, grid, electrons):
        yield fields[:, 0].flatten(1).sum(1, keepdim=True, dtype=torch.float64)
        return on_whole(super().finished(fields, grid, electrons))


class Fitted(nn.Module):
    """Baseline plus a mixture of the channels, whose weights are their mean overlaps with the first."""

    def __init__(self, config, channels, spins, dimension):
        super().__init__()
        if spins != 1 or dimension != 3:
            raise DataError("refused")
        self.register_buffer("weight", torch.zeros(channels))

    def fit(self, samples):
        rows = [features.channels.flatten(2)[0] @ features.channels.flatten(2)[0].T for features, _ in samples]
        self.weight = torch.stack(rows).mean(0)[0].clone()
        return {}

    def forward(self, channels, baseline, grid, electrons):
        total = torch.einsum("c,bc...->b...", self.weight, channels)[:, None] + (0 if baseline is None else baseline)
        return Right.scaled(self, total, total[:, 1:], grid, electrons)


class NotAModule:
    def __init__(self, config, channels, spins, dimension):
        pass

    def __call__(self, channels, baseline, grid, electrons):
        return baseline


class NoSpinAxis(Right):
    def scaled(self, *arguments):
        return super().scaled(*arguments).squeeze(1)


class NotANumber(Right):
    def scaled(self, *arguments):
        return super().scaled(*arguments).log().log()


class Negative(Right):
    def scaled(self, *arguments):
        return -super().scaled(*arguments)


class Scaled(Right):
    def scaled(self, *arguments):
        return super().scaled(*arguments) * 1.00001


class PeriodicOnly(Right):
    def scaled(self, total, amplitude, grid, electrons):
        return super().scaled(total, amplitude, grid, electrons) * (1 if all(grid.periodic) else 2)


class TotalOnly(Right):
    def scaled(self, *arguments):
        return super().scaled(*arguments)[:, :1]


class NotInPlane(Right):
    def scaled(self, *arguments):
        return super().scaled(*arguments) * (1 if self.dimension == 3 else 2)


class Noisy(Right):
    def seen(self, channels):
        return channels * torch.rand(channels.shape)


class BatchNormalised(Right):
    def seen(self, channels):
        return channels / channels.mean(0, keepdim=True).clamp_min(0.1)


class InstanceNormalised(Right):
    def seen(self, channels):
        return channels / channels.flatten(2).std(2).reshape(*channels.shape[:2], 1, 1, 1)


class Biased(Right):
    def seen(self, channels):
        return channels + 0.1


class Boastful(Right):
    any_basis = True

    def seen(self, channels):
        return channels + channels.roll(1, 3)


class Neighbourly(Fitted):
    """In closed form, so that it is called on each basis as it is, and looks at the next index."""

    def forward(self, channels, baseline, grid, electrons):
        return super().forward(channels + channels.roll(1, 3), baseline, grid, electrons)


class Unused(Right):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.spare = nn.Parameter(torch.ones(1))


class Gradientless(Right):
    def forward(self, *arguments):
        with torch.no_grad():
            return super().forward(*arguments)


class Forgetful(Right):
    """Keeps a weight where ``state_dict`` does not see it."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.hidden = [torch.rand(())]

    def seen(self, channels):
        return channels * self.hidden[0]


class NotATensor(Right):
    def state_dict(self):
        return {"weight": self.weight, "version": 1}


class InPlace(Right):
    def seen(self, channels):
        return channels.mul_(2)


WRONG = [
    ("output_has_the_shape_of_a_density", NoSpinAxis, r"\[b, s, \*grid\]"),
    ("output_has_the_shape_of_a_density", NotAModule, "must be an nn.Module"),
    ("density_is_finite", NotANumber, "must be finite"),
    ("density_is_nonnegative", Negative, "never be negative"),
    ("density_holds_the_electrons", Scaled, "must integrate to the electrons"),
    ("open_boundary_is_accepted", PeriodicOnly, "on an open grid"),
    ("two_spin_channels_work_or_are_refused", TotalOnly, r"not \(2, 1, 12, 10, 8\)"),
    ("two_dimensions_work_or_are_refused", NotInPlane, "in two dimensions"),
    ("prediction_is_deterministic", Noisy, "dropout and sampling"),
    ("batch_equals_one_by_one", BatchNormalised, "others in its batch"),
    ("vacuum_changes_nothing_with_baseline", InstanceNormalised, "with a baseline"),
    ("vacuum_changes_nothing_without_baseline", Biased, "without a baseline"),
    ("another_basis_gives_the_same_density", Boastful, "must not say any_basis"),
    ("another_basis_gives_the_same_density", Neighbourly, "must give the same density"),
    ("gradient_reaches_every_parameter", Unused, "'spare' must have a gradient"),
    ("gradient_reaches_every_parameter", Gradientless, "must be differentiable"),
    ("tiles_are_the_whole", ShortSighted, "farther than its `reach` of 1"),
    ("tiles_are_the_whole", SummingOnParts, "elsewhere than in `finished`"),
    ("state_survives_a_file", Forgetful, "put all that matters into it"),
    ("state_survives_a_file", NotATensor, "must hold tensors only"),
    ("inputs_stay_untouched", InPlace, "must not modify"),
]


@pytest.mark.parametrize("check", checks("model"), ids=str)
def test_right_model_passes(subject_of, check):
    check(subject_of("model", Tiled))
    if str(check) == "tiles_are_the_whole":
        with pytest.raises(SkipTest, match="states no reach"):
            check(subject_of("model", Right))
    else:
        check(subject_of("model", Right))


@pytest.mark.parametrize("check", checks("model"), ids=str)
def test_right_fitted_model_passes(subject_of, check):
    if str(check) in ("gradient_reaches_every_parameter", "tiles_are_the_whole"):
        with pytest.raises(SkipTest, match=r"closed form|states no reach"):
            check(subject_of("model", Fitted))
    else:
        check(subject_of("model", Fitted))


class OneCell(Fitted):
    """Knows the cell it was fitted in, and refuses others."""

    def fit(self, samples):
        samples = list(samples)
        self.cell = samples[0][1].grid.cell
        return super().fit(samples)

    def forward(self, channels, baseline, grid, electrons):
        if grid.cell != self.cell:
            raise DataError("refused")
        return super().forward(channels, baseline, grid, electrons)


@pytest.mark.parametrize("name", ["vacuum_changes_nothing_with_baseline", "vacuum_changes_nothing_without_baseline"])
def test_fitted_model_may_refuse_another_cell_and_a_trained_one_may_not(subject_of, name):
    with pytest.raises(SkipTest, match="one cell"):
        CHECKS[name](subject_of("model", OneCell))

    class Picky(Right):
        def forward(self, channels, baseline, grid, electrons):
            if grid.shape[0] > models.VACUUM:
                raise DataError("refused")
            return super().forward(channels, baseline, grid, electrons)

    with pytest.raises(DataError, match="refused"):
        CHECKS[name](subject_of("model", Picky))


@pytest.mark.parametrize(("name", "model", "message"), WRONG)
def test_wrong_model_fails(subject_of, name, model, message):
    with pytest.raises(AssertionError, match=message):
        CHECKS[name](subject_of("model", model))


def test_every_check_has_a_wrong_model():
    assert {name for name, _, _ in WRONG} == set(CHECKS)
