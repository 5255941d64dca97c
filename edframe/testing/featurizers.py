"""Checks of featurizers: on a Li–O–Li and an LiO molecule in periodic boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid, Region
from edframe.interfaces import Features, Featurizer, FittedFeaturizer, PointFeaturizer, TiledFeaturizer
from edframe.testing import examples
from edframe.testing.subject import Subject


def channels_are_named(subject: Subject) -> None:
    """There is one name per channel, and no two are the same."""
    names = list(_featurizer(subject).channels)
    count = _features(subject).channels.shape[1]
    assert len(names) == count, f"`channels` must name each of the {count} channels; it has {len(names)} names"
    assert len(set(names)) == len(names), f"the names in `channels` must be unique: {names}"


def channels_have_the_promised_shape(subject: Subject) -> None:
    """Channels are float32 ``[b, c, x, y, z]`` on the requested device."""
    grid, channels = examples.box(), _features(subject).channels
    shape = (2, channels.shape[1], *grid.shape)
    assert channels.shape == shape, f"channels must have shape [b, c, *grid], {shape} here, not {tuple(channels.shape)}"
    assert channels.dtype == torch.float32, f"channels must be float32, not {channels.dtype}"
    assert channels.device.type == "cpu", f"channels must be on the requested device, cpu, not {channels.device}"


def channels_are_finite(subject: Subject) -> None:
    """Channels are finite, and not all of them are zero."""
    channels = _features(subject).channels
    assert channels.isfinite().all(), "channels must be finite"
    assert channels.any(), "channels must depend on the atoms; here all are zero"


def baseline_is_as_announced(subject: Subject) -> None:
    """``has_baseline`` says whether there is a baseline; it is float32 ``[b, s, x, y, z]``, its total nonnegative."""
    featurizer, baseline = _featurizer(subject), _features(subject).baseline
    announced = featurizer.has_baseline
    assert announced == (baseline is not None), f"has_baseline is {announced}; the features must have one accordingly"
    if baseline is not None:
        shape = (2, examples.CONTENTS.spins, *examples.box().shape)
        actual = tuple(baseline.shape)
        assert actual == shape, f"the baseline must have shape [b, s, *grid], {shape} here, not {actual}"
        assert baseline.dtype == torch.float32, f"the baseline must be float32, not {baseline.dtype}"
        assert baseline[:, 0].min() >= 0, f"the baseline must not be negative; it is {float(baseline[:, 0].min()):.3g}"


def batch_equals_one_by_one(subject: Subject) -> None:
    """The features of a structure do not depend on the others in its batch."""
    grid = examples.box()
    alone = [_features(subject, grid, [structure]) for structure in examples.molecules(grid)]
    for together, parts in _fields(_features(subject), *alone):
        _assert_same(together, torch.cat(parts), "a structure's features must not depend on the others in its batch")


def moving_the_atoms_moves_the_features(subject: Subject) -> None:
    """Translating all atoms by whole voxels of a periodic grid rolls channels and baseline."""
    grid = examples.box()
    moved = examples.molecules(grid)
    for structure in moved:
        structure.translate_sites(range(len(structure)), [2 / 12, -1 / 12, 5 / 12], to_unit_cell=False)
    for still, (rolled,) in _fields(_features(subject), _features(subject, grid, moved)):
        message = "moving the atoms by whole voxels must roll channels and baseline on a periodic grid"
        _assert_same(still.roll((2, -1, 5), (-3, -2, -1)), rolled, message)


def periodic_images_are_the_same_atom(subject: Subject) -> None:
    """An atom given in another periodic image of the cell gives the same features."""
    grid = examples.box()
    imaged = examples.molecules(grid)
    for structure in imaged:
        structure.translate_sites([0], [1, -1, 2], to_unit_cell=False)
    for here, (there,) in _fields(_features(subject), _features(subject, grid, imaged)):
        _assert_same(here, there, "an atom given in another periodic image must give the same features")


def order_of_atoms_does_not_matter(subject: Subject) -> None:
    """Listing the atoms in another order changes nothing, unless ``ordered`` says so."""
    if _featurizer(subject).ordered:
        return
    turned = [Structure.from_sites(structure[::-1]) for structure in examples.molecules(examples.box())]
    message = "the order in which atoms are listed must not matter, unless the featurizer's `ordered` is True"
    for listed, (reversed_,) in _fields(_features(subject), _features(subject, structures=turned)):
        _assert_same(listed, reversed_, message)


def skewed_cell_is_exact_or_refused(subject: Subject) -> None:
    """A skewed cell that describes the same lattice and points gives the same features, or is refused."""
    grid = examples.box()
    try:
        skewed = _features(subject, examples.sheared(grid))
    except DataError:
        return
    message = "a triclinic cell must be treated exactly, or refused with a DataError"
    for straight, (other,) in _fields(_features(subject), skewed):
        _assert_same(examples.relabelled(straight, 3), other, message)


def vacuum_changes_nothing(subject: Subject) -> None:
    """Doubling the vacuum along a periodic axis does not change the features near the atoms."""
    small, large = (examples.box((n, 12, 12)) for n in (48, 96))
    around = torch.arange(-4, 12)  # the atoms are at 2 to 7
    for tight, (wide,) in _fields(_features(subject, small), _features(subject, large)):
        message = "vacuum must not change channels and baseline near the atoms: normalise nothing over space"
        _assert_same(tight.index_select(2, around % 48), wide.index_select(2, around % 96), message)


def features_are_deterministic(subject: Subject) -> None:
    """The same structures give the same features."""
    featurizer, grid = _featurizer(subject), examples.box()
    features = [featurizer(examples.molecules(grid), grid, "cpu") for _ in range(2)]
    same = torch.equal(features[0].channels, features[1].channels)
    assert same, "the same structures must give the same channels: a featurizer has no random numbers"


def structures_stay_untouched(subject: Subject) -> None:
    """The structures are not modified."""
    grid = examples.box()
    structures, fresh = examples.molecules(grid), examples.molecules(grid)
    _features(subject, grid, structures)
    assert structures == fresh, "a featurizer must not modify the structures it is given"


def unknown_species_is_refused(subject: Subject) -> None:
    """A species that the dataset does not have is refused with a DataError, not silently left out."""
    grid = examples.box()
    structure = examples.molecules(grid)[0]
    structure.replace(0, "Xe")
    try:
        _features(subject, grid, [structure])
    except DataError:
        return
    raise AssertionError("a structure with a species that is not in the contents must be refused with a DataError")


def fit_is_repeatable(subject: Subject) -> None:
    """The features are the same after the same samples are fitted again, whatever was fitted before."""
    fitted, grid = _unfitted(subject), examples.box()
    if not isinstance(fitted, FittedFeaturizer):
        return
    results = []
    for seed in (0, 1, 0):
        fitted.fit(examples.labelled(seed=seed))
        results.append(fitted(examples.molecules(grid), grid, "cpu"))
    for first, (again,) in _fields(results[0], results[2]):
        _assert_same(first, again, "`fit` must give the same for the same samples, also after another fit between")


def fit_depends_on_the_samples(subject: Subject) -> None:
    """What is fitted differs for other samples, and is not taken from elsewhere."""
    states = []
    for seed in (0, 1):
        fitted = _unfitted(subject)
        if not isinstance(fitted, FittedFeaturizer):
            return
        numbers = fitted.fit(examples.labelled(seed=seed))
        finite = all(np.isfinite(value) for value in numbers.values())
        assert finite, f"`fit` must return finite numbers to log; it returned {dict(numbers)}"
        states.append(fitted.state())
    same = all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not same, "`fit` finds the same for other samples: then it need not be fitted"


def state_restores_the_features(subject: Subject) -> None:
    """A new featurizer with the stored state gives the same features, bit for bit."""
    from safetensors.torch import load, save

    fitted, fresh, grid = _featurizer(subject), _unfitted(subject), examples.box()
    if not isinstance(fitted, FittedFeaturizer) or not isinstance(fresh, FittedFeaturizer):
        return
    fresh.restore(load(save({name: tensor.contiguous() for name, tensor in fitted.state().items()})))
    for here, (there,) in _fields(*(each(examples.molecules(grid), grid, "cpu") for each in (fitted, fresh))):
        same = torch.equal(here, there)
        assert same, "`restore` must bring back all that `fit` found: after a round trip the features differ"


def points_are_those_of_the_grid(subject: Subject) -> None:
    """The features at single points are those on the grid; of the baseline, up to one factor near 1."""
    featurizer, grid = _featurizer(subject), examples.box()
    if not isinstance(featurizer, PointFeaturizer):
        return
    structure = examples.molecules(grid)[0]
    whole = featurizer([structure], grid, "cpu")
    chosen = torch.from_numpy(np.random.default_rng(0).choice(grid.points, 200, replace=False))
    fractions = torch.from_numpy(grid.fractions().reshape(-1, grid.dimension))[chosen]
    features = featurizer.at(structure, grid, fractions, "cpu")
    _assert_same(whole.channels.flatten(2)[..., chosen], features.channels, "the channels at points must be the grid's")
    if whole.baseline is not None:
        assert features.baseline is not None, "the baseline at points is missing"
        expected = whole.baseline.flatten(2)[..., chosen]
        factor = float((expected * features.baseline).sum() / features.baseline.square().sum())
        assert abs(factor - 1) < 0.05, f"the baseline at points is {factor:.3g} times smaller than that on the grid"
        _assert_same(expected, factor * features.baseline, "the baseline at points must be the grid's")


def parts_are_cut_out_of_the_whole(subject: Subject) -> None:
    """Features on parts of a grid, also across its periodic boundary, are those of the whole grid, cut out."""
    featurizer = _featurizer(subject)
    if not isinstance(featurizer, TiledFeaturizer):
        return
    for periodic, start in ((True, (-3, 5, 9)), (False, (3, 0, 4))):
        grid = examples.box(periodic=periodic)
        structure = examples.molecules(grid)[0]
        whole = featurizer([structure], grid, "cpu")
        region = Region(start, (8, 7, 6))
        part = featurizer.tiled(structure, grid, "cpu")(region)
        for everywhere, (there,) in _fields(whole, part):
            error = (there - examples.cut_out(everywhere, grid, region)).abs().max() / everywhere.abs().max()
            assert error <= 1e-6, f"a part must be cut out of the whole; it differs by {error:.3g} of the maximum"


def _unfitted(subject: Subject) -> Featurizer:
    return subject.make(examples.CONTENTS)  # type: ignore[no-any-return]


def _featurizer(subject: Subject) -> Featurizer:
    """Ready for use: fitted, where it is to be fitted."""
    featurizer = _unfitted(subject)
    if isinstance(featurizer, FittedFeaturizer):
        featurizer.fit(examples.labelled())
    return featurizer


def _features(subject: Subject, grid: Grid | None = None, structures: Sequence[Structure] | None = None) -> Features:
    grid = grid or examples.box()
    features: Features = _featurizer(subject)(structures or examples.molecules(grid), grid, "cpu")
    return features


def _fields(first: Features, *others: Features) -> list[tuple[Tensor, list[Tensor]]]:
    """Channels, and the baseline where there is one, of several features side by side."""
    pairs = [(first.channels, [other.channels for other in others])]
    if first.baseline is not None:
        pairs.append((first.baseline, [other.baseline for other in others if other.baseline is not None]))
    return pairs


def _assert_same(first: Tensor, second: Tensor, message: str) -> None:
    error = (first - second).abs().max() / first.abs().max()
    assert error <= 1e-4, f"{message}; it differs by {float(error):.3g} of the maximum"


CHECKS = (
    channels_are_named,
    channels_have_the_promised_shape,
    channels_are_finite,
    baseline_is_as_announced,
    batch_equals_one_by_one,
    moving_the_atoms_moves_the_features,
    periodic_images_are_the_same_atom,
    order_of_atoms_does_not_matter,
    skewed_cell_is_exact_or_refused,
    vacuum_changes_nothing,
    features_are_deterministic,
    structures_stay_untouched,
    unknown_species_is_refused,
    fit_is_repeatable,
    fit_depends_on_the_samples,
    state_restores_the_features,
    points_are_those_of_the_grid,
    parts_are_cut_out_of_the_whole,
)
