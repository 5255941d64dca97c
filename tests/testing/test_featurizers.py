"""A right featurizer passes every check, and for each check a wrong featurizer fails it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Features, Featurizer, FittedFeaturizer
from edframe.testing import checks, featurizers

CHECKS = {check.__name__: check for check in featurizers.CHECKS}


class Right(Featurizer):
    """A Gaussian of width 0.4 Å on every atom, one channel per species; their sum is the baseline."""

    has_baseline = True

    def __init__(self, config, contents):
        self.species = contents.species

    @property
    def channels(self):
        return [f"gaussian {symbol}" for symbol in self.species]

    def __call__(self, structures, grid, device):
        channels = torch.from_numpy(np.stack([self.picture(s, grid) for s in structures])).float()
        return Features(self.final(channels), channels.sum(1, keepdim=True))

    def final(self, channels):
        return channels

    def picture(self, structure, grid):
        fields = np.zeros((len(self.species), *grid.shape))
        for index, site in enumerate(structure):
            if site.specie.symbol not in self.species:
                raise DataError(f"{site.specie.symbol} is not among {self.species}")
            fields[self.species.index(site.specie.symbol)] += self.blob(index, site.frac_coords, grid)
        return fields

    def blob(self, index, fractions, grid):
        away = grid.fractions() - fractions
        away -= np.rint(away)
        images = itertools.product((-1, 0, 1), repeat=3)
        return sum(np.exp(-(((away + image) @ grid.vectors) ** 2).sum(-1) / 0.32) for image in images)


class Tiled(Right):
    """Also on parts of the grid."""

    def tiled(self, structure, grid, device):
        whole = self([structure], grid, device)

        def on(region):
            channels, baseline = whole.channels, whole.baseline
            for axis, index in enumerate(self.indices(region, grid), start=2):
                channels, baseline = (each.index_select(axis, torch.from_numpy(index)) for each in (channels, baseline))
            return Features(channels, baseline)

        return on

    def indices(self, region, grid):
        return region.indices(grid)


class Displaced(Tiled):
    def indices(self, region, grid):
        return [np.clip(index + 1, 0, n - 1) for index, n in zip(region.indices(grid), grid.shape, strict=True)]


class Refusing(Right):
    """Takes orthogonal cells only, and has no baseline."""

    has_baseline = False

    def __call__(self, structures, grid, device):
        if not grid.orthogonal:
            raise DataError("refused")
        return Features(super().__call__(structures, grid, device).channels, None)


class Ordered(Right):
    ordered = True

    def blob(self, index, fractions, grid):
        return (1 + index) * super().blob(index, fractions, grid)


class Fitted(Right, FittedFeaturizer):
    """Gaussians as high as the densities fitted to, also at single points."""

    def __init__(self, config, contents):
        super().__init__(config, contents)
        self.height = None

    def fit(self, samples):
        self.height = torch.tensor(np.mean([sample.density.max() for sample in samples]))
        return {"height": float(self.height)}

    def state(self):
        return {"height": self.height}

    def restore(self, state):
        self.height = state["height"]

    def final(self, channels):
        return (channels * self.height).float()

    def at(self, structure, grid, points, device):
        whole = self([structure], grid, device)
        index = (points * torch.tensor(grid.shape)).round().long() % torch.tensor(grid.shape)
        flat = (index * torch.tensor([grid.shape[1] * grid.shape[2], grid.shape[2], 1])).sum(-1)
        return Features(whole.channels.flatten(2)[..., flat], 1.01 * whole.baseline.flatten(2)[..., flat])


class Accumulating(Fitted):
    def fit(self, samples):
        before = self.height or 0
        super().fit(samples)
        self.height = self.height + before
        return {}


class Ignoring(Fitted):
    def fit(self, samples):
        self.height = torch.tensor(1.0)
        return {}


class Infinite(Fitted):
    def fit(self, samples):
        super().fit(samples)
        return {"condition": float("inf")}


class Forgetful(Fitted):
    def restore(self, state):
        self.height = state["height"].round()


class ElsewherePoints(Fitted):
    def at(self, structure, grid, points, device):
        return super().at(structure, grid, points + 1 / 12, device)


class WithoutBaselineAtPoints(Fitted):
    def at(self, structure, grid, points, device):
        return Features(super().at(structure, grid, points, device).channels, None)


class OneName(Right):
    channels = ("gaussian",)


class SameNames(Right):
    channels = ("gaussian", "gaussian")


class NoBatch(Right):
    def final(self, channels):
        return channels[:1]


class Double(Right):
    def final(self, channels):
        return channels.double()


class Zero(Right):
    def final(self, channels):
        return 0 * channels


class Unannounced(Right):
    has_baseline = False


class NegativeBaseline(Right):
    def __call__(self, structures, grid, device):
        features = super().__call__(structures, grid, device)
        return Features(features.channels, -features.baseline)


class BatchCentred(Right):
    def final(self, channels):
        return channels - channels.mean(0)


class Positional(Right):
    def final(self, channels):
        return channels * torch.arange(channels.shape[-1])


class WithoutImages(Right):
    def blob(self, index, fractions, grid):
        return np.exp(-(((grid.fractions() - fractions) @ grid.vectors) ** 2).sum(-1) / 0.32)


class SilentlyOrdered(Ordered):
    ordered = False


class Orthogonal(Right):
    """Takes the lengths of the lattice vectors for a box."""

    def blob(self, index, fractions, grid):
        lengths = np.linalg.norm(grid.vectors, axis=1)
        return super().blob(index, fractions, Grid.of(lengths, grid.shape))


class Normalised(Right):
    def final(self, channels):
        return channels / channels.std((2, 3, 4), keepdim=True)


class Noisy(Right):
    def final(self, channels):
        return channels + 1e-3 * torch.rand(channels.shape)


class Wrapping(Right):
    def picture(self, structure, grid):
        structure.translate_sites([0], [0.5, 0, 0])
        return super().picture(structure, grid)


class Overlooking(Right):
    def picture(self, structure, grid):
        known = [site for site in structure if site.specie.symbol in self.species]
        return super().picture(known, grid)


WRONG = [
    ("channels_are_named", OneName, "has 1 names"),
    ("channels_are_named", SameNames, "unique"),
    ("channels_have_the_promised_shape", NoBatch, r"\[b, c, \*grid\]"),
    ("channels_have_the_promised_shape", Double, "must be float32"),
    ("channels_are_finite", Zero, "all are zero"),
    ("baseline_is_as_announced", Unannounced, "has_baseline is False"),
    ("baseline_is_as_announced", NegativeBaseline, "must not be negative"),
    ("batch_equals_one_by_one", BatchCentred, "others in its batch"),
    ("moving_the_atoms_moves_the_features", Positional, "must roll"),
    ("periodic_images_are_the_same_atom", WithoutImages, "another periodic image"),
    ("order_of_atoms_does_not_matter", SilentlyOrdered, "unless the featurizer's `ordered`"),
    ("skewed_cell_is_exact_or_refused", Orthogonal, "treated exactly, or refused"),
    ("vacuum_changes_nothing", Normalised, "normalise nothing over space"),
    ("features_are_deterministic", Noisy, "no random numbers"),
    ("structures_stay_untouched", Wrapping, "must not modify"),
    ("unknown_species_is_refused", Overlooking, "must be refused"),
    ("fit_is_repeatable", Accumulating, "same for the same samples"),
    ("fit_depends_on_the_samples", Ignoring, "need not be fitted"),
    ("fit_depends_on_the_samples", Infinite, "finite numbers"),
    ("state_restores_the_features", Forgetful, "round trip"),
    ("parts_are_cut_out_of_the_whole", Displaced, "cut out of the whole"),
    ("points_are_those_of_the_grid", ElsewherePoints, "channels at points"),
    ("points_are_those_of_the_grid", WithoutBaselineAtPoints, "baseline at points is missing"),
]


@pytest.mark.parametrize("featurizer", [Right, Refusing, Ordered, Fitted, Tiled])
@pytest.mark.parametrize("check", checks("featurizer"), ids=str)
def test_right_featurizer_passes(subject_of, check, featurizer):
    check(subject_of("featurizer", featurizer))


@pytest.mark.parametrize(("name", "featurizer", "message"), WRONG)
@pytest.mark.usefixtures("any_shape")
def test_wrong_featurizer_fails(subject_of, name, featurizer, message):
    with pytest.raises(AssertionError, match=message):
        CHECKS[name](subject_of("featurizer", featurizer))


def test_every_check_has_a_wrong_featurizer():
    assert {name for name, _, _ in WRONG} == set(CHECKS)
