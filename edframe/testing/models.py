"""Checks of models: on made-up channels and baselines that vanish away from the atoms.

Weights are disturbed first, because a model may start with zeros in its last layer and hide what the others do. A model
in closed form (``FittedModel``) is fitted to four made-up samples instead; it may be tied to the cell of these.
More than 300 lines, because the checks of one interface are one list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from unittest import SkipTest

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from edframe.data.basis import as_given, in_reduced_basis
from edframe.errors import DataError
from edframe.grid import Grid, Region
from edframe.interfaces import Features, FittedModel, TiledModel
from edframe.predict.layers import predicted
from edframe.predict.tiles import halo, tiles
from edframe.testing import examples
from edframe.testing.subject import Subject

SHAPE = (12, 10, 8)
ODD = (10, 9, 7)
ALIKE = (9, 9, 8)
"""Equal numbers of points on the axes that are mixed."""
VACUUM = 128
"""Points along the axis that vacuum is added to: what a model sees around a point must span fewer."""


def output_has_the_shape_of_a_density(subject: Subject) -> None:
    """The density has shape ``[b, s, x, y, z]``."""
    for shape in (SHAPE, ODD):
        density = _density(subject, examples.box(shape))
        _assert_shape(density, (2, 1, *shape))


def density_is_finite(subject: Subject) -> None:
    """The density is finite, and no NaN."""
    density = _density(subject, examples.box(SHAPE))
    assert density.isfinite().all(), "a predicted density must be finite"


def density_is_nonnegative(subject: Subject) -> None:
    """The total density is never negative, with and without a baseline (which may be refused)."""
    for baseline in _baselines(subject):
        density = _density(subject, examples.box(SHAPE), baseline)
        assert density[:, 0].min() >= 0, (
            f"a predicted density must never be negative; it is {float(density[:, 0].min()):.3g} e/Å³ "
            f"{_named(baseline)}"
        )


def density_holds_the_electrons(subject: Subject) -> None:
    """The total density integrates to the electrons within 1e-6, with and without a baseline, on odd shapes too."""
    for shape in (SHAPE, ODD):
        for baseline in _baselines(subject):
            _assert_electrons(_density(subject, examples.box(shape), baseline), examples.box(shape), _named(baseline))


def open_boundary_is_accepted(subject: Subject) -> None:
    """A grid without periodic axes is accepted, and the density integrates to the electrons there too."""
    grid = examples.box(SHAPE, periodic=False)
    _assert_electrons(_density(subject, grid), grid, "on an open grid")


def two_spin_channels_work_or_are_refused(subject: Subject) -> None:
    """With ``spins=2`` the output has a total and a magnetisation, or building the model is refused."""
    grid = examples.box(SHAPE)
    try:
        density = _density(subject, grid, spins=2)
    except DataError:
        return
    _assert_shape(density, (2, 2, *grid.shape))
    _assert_electrons(density, grid, "with two spin channels")


def two_dimensions_work_or_are_refused(subject: Subject) -> None:
    """With ``dimension=2`` the density fits its grid and its electrons, or building the model is refused."""
    grid = examples.box(SHAPE[:2])
    try:
        density = _density(subject, grid)
    except DataError:
        return
    _assert_shape(density, (2, 1, *grid.shape))
    _assert_electrons(density, grid, "in two dimensions")


def prediction_is_deterministic(subject: Subject) -> None:
    """In evaluation mode the same input gives the same density."""
    grid = examples.box(SHAPE)
    model = _model(subject, grid)
    same = torch.equal(_predict(model, grid), _predict(model, grid))
    assert same, "in evaluation mode a model must predict the same density again: switch dropout and sampling off"


def batch_equals_one_by_one(subject: Subject) -> None:
    """The density of a sample does not depend on the others in its batch."""
    grid = examples.box(SHAPE)
    model, example = _model(subject, grid), examples.inputs(grid)
    together = _predict(model, grid)
    with torch.no_grad():
        alone = torch.cat(
            [
                model(example.channels[i : i + 1], example.baseline[i : i + 1], grid, example.electrons[i : i + 1])
                for i in range(len(example.electrons))
            ]
        )
    error = (together - alone).abs().max() / together.abs().max()
    assert error <= 1e-5, f"a sample's density must not depend on the others in its batch; it differs by {error:.3g}"


def vacuum_changes_nothing_with_baseline(subject: Subject) -> None:
    """Vacuum added to a periodic axis does not change the density near the atoms, where a baseline is given."""
    _assert_vacuum_independent(subject, baseline=True)


def vacuum_changes_nothing_without_baseline(subject: Subject) -> None:
    """Vacuum added to a periodic axis does not change the density near the atoms, where no baseline is given."""
    if False not in _baselines(subject):
        raise SkipTest("this model refuses to be without a baseline")
    _assert_vacuum_independent(subject, baseline=False)


def another_basis_gives_the_same_density(subject: Subject) -> None:
    """A skewed cell that describes the same lattice and points gives the same density.

    The model is given the shortest basis, unless it says by ``any_basis``, or by being fitted, that it takes each as it
    is; a fitted one may refuse it.
    """
    grid = examples.box(ALIKE)
    skewed = examples.sheared(grid)
    model, example = _model(subject, grid), examples.inputs(grid)
    with torch.no_grad():
        expected = in_reduced_basis(model, example.channels, example.baseline, grid, example.electrons)
        channels, baseline = (examples.relabelled(field, 3) for field in (example.channels, example.baseline))
        try:
            density = in_reduced_basis(model, channels, baseline, skewed, example.electrons)
        except DataError:
            if isinstance(model, FittedModel):
                raise SkipTest("this model is fitted in one cell and refuses others") from None
            raise
    error = (density - examples.relabelled(expected, 3)).abs().max() / expected.abs().max()
    assert error <= 1e-5, (
        f"a cell with b + a in place of b, on the same points, must give the same density; it differs by {error:.3g} "
        "of its maximum: a model that works on the indices of points must not say any_basis"
    )


def tiles_are_the_whole(subject: Subject) -> None:
    """A model that states its reach gives the same density in tiles, on a periodic grid and on an open one."""
    grid = examples.box(SHAPE)
    if not isinstance(_model(subject, grid), TiledModel):
        raise SkipTest("this model states no reach: it predicts whole grids")
    for periodic in (True, False):
        model = _model(subject, examples.box((8, 8, 8), periodic=periodic))
        assert isinstance(model, TiledModel)
        inner = max(8, 2 * model.stride)
        grid = examples.box((2 * halo(model) + 3 * inner + 1, 8, 8), periodic=periodic)
        example = examples.inputs(grid)
        channels, baseline = example.channels[:1], example.baseline[:1]

        parts = tiles(grid, model, (2 * halo(model) + inner) * 64)
        assert len(parts) > 1, "`reach` and `stride` must be numbers of points, far less than a grid has"
        with torch.no_grad():
            whole = model(channels, baseline, grid, example.electrons[:1])
            density = predicted(
                model,
                partial(_cut_out, channels, baseline, grid),
                as_given(grid),
                float(example.electrons[0]),
                parts,
                None,
                "cpu",
                points=inner * 64,
            )
        error = np.abs(density - whole[0].double().numpy()).max() / float(whole.max())
        assert error <= 1e-6, (
            f"the density in tiles must be that of the whole grid; it differs by {error:.3g} of its maximum on a grid "
            f"that is {'periodic' if periodic else 'open'}: the model sees farther than its `reach` of {model.reach} "
            f"points, its `stride` is not {model.stride}, or it sums over the grid elsewhere than in `finished`"
        )


def gradient_reaches_every_parameter(subject: Subject) -> None:
    """Every parameter that is trained has a gradient."""
    grid = examples.box(SHAPE)
    model, example = _model(subject, grid), examples.inputs(grid)
    if isinstance(model, FittedModel):
        raise SkipTest("a model in closed form is not trained by gradient")
    density = model(example.channels, example.baseline, grid, example.electrons)
    assert density.requires_grad, "the density must be differentiable with respect to the parameters"
    weights = torch.randn(density.shape, generator=torch.Generator().manual_seed(4))
    (density * weights).sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            reached = parameter.grad is not None and bool(parameter.grad.isfinite().all()) and parameter.grad.any()
            assert reached, f"the parameter '{name}' must have a gradient, finite and not zero: use it or remove it"


def state_survives_a_file(subject: Subject) -> None:
    """``state_dict`` saved as safetensors and loaded into a new model gives the same density."""
    grid = examples.box(SHAPE)
    model = _model(subject, grid)
    state: Mapping[str, Tensor] = model.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values()), "state_dict must hold tensors only"
    try:
        stored = safetensors.torch.save({name: value.contiguous() for name, value in state.items()})
    except RuntimeError as error:
        raise AssertionError(f"state_dict must hold tensors that share no memory: {error}") from error
    other = _make(subject, grid, seed=2)
    other.load_state_dict(safetensors.torch.load(stored))
    same = torch.equal(_predict(model, grid), _predict(other, grid))
    assert same, "a model restored from its state_dict must predict the same density: put all that matters into it"


def inputs_stay_untouched(subject: Subject) -> None:
    """Neither channels nor baseline are modified."""
    grid = examples.box(SHAPE)
    model, example, fresh = _model(subject, grid), examples.inputs(grid), examples.inputs(grid)
    with torch.no_grad():
        model(example.channels, example.baseline, grid, example.electrons)
    unchanged = torch.equal(example.channels, fresh.channels) and torch.equal(example.baseline, fresh.baseline)
    assert unchanged, "a model must not modify the channels and the baseline it is given"


def _cut_out(channels: Tensor, baseline: Tensor, grid: Grid, region: Region) -> Features:
    return Features(examples.cut_out(channels, grid, region), examples.cut_out(baseline, grid, region))


def _make(subject: Subject, grid: Grid, spins: int = 1, seed: int = 0) -> nn.Module:
    """A new model for three channels, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = subject.make(channels=3, spins=spins, dimension=grid.dimension)
    assert isinstance(model, nn.Module), "a model must be an nn.Module, with a method `fit` if it is in closed form"
    return model.eval()


def _model(subject: Subject, grid: Grid, baseline: bool = True, spins: int = 1) -> nn.Module:
    """A model with disturbed weights, or fitted."""
    model = _make(subject, grid, spins)
    if isinstance(model, FittedModel):
        with torch.no_grad():
            model.fit(examples.training_pairs(grid, 3, spins, baseline))
        return model.eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def _baselines(subject: Subject) -> tuple[bool, ...]:
    """With and without a baseline, or only with one: a model in closed form may refuse to be fitted without."""
    try:
        _model(subject, examples.box(SHAPE), baseline=False)
    except DataError:
        return (True,)
    return (True, False)


def _predict(model: nn.Module, grid: Grid, baseline: bool = True, spins: int = 1) -> Tensor:
    example = examples.inputs(grid, spins=spins)
    with torch.no_grad():
        density: Tensor = model(example.channels, example.baseline if baseline else None, grid, example.electrons)
    return density


def _density(subject: Subject, grid: Grid, baseline: bool = True, spins: int = 1) -> Tensor:
    return _predict(_model(subject, grid, baseline, spins), grid, baseline, spins)


def _named(baseline: bool) -> str:
    return "with a baseline" if baseline else "without a baseline"


def _assert_shape(density: Tensor, shape: tuple[int, ...]) -> None:
    actual = tuple(density.shape)
    assert actual == shape, f"a predicted density must have the shape [b, s, *grid], {shape} here, not {actual}"


def _assert_electrons(density: Tensor, grid: Grid, when: str) -> None:
    electrons = examples.inputs(grid).electrons.double()
    total = density[:, 0].double().flatten(1).sum(1) * grid.voxel_volume
    error = float(((total - electrons) / electrons).abs().max())
    assert error <= 1e-6, (
        f"a predicted density must integrate to the electrons {electrons.tolist()} within 1e-6 {when}, "
        f"not to {total.tolist()}"
    )


def _assert_vacuum_independent(subject: Subject, baseline: bool) -> None:
    near, far = (examples.box((n, 8, 8)) for n in (VACUUM, VACUUM * 3 // 2))
    model = _model(subject, near, baseline)
    around = torch.arange(-8, 16)  # the atoms are at 0 to 8; negative indices are behind the periodic boundary
    try:
        densities = [_predict(model, grid, baseline).index_select(2, around % grid.shape[0]) for grid in (near, far)]
    except DataError:
        if isinstance(model, FittedModel):
            raise SkipTest("this model is fitted in one cell and refuses others") from None
        raise
    error = (densities[0] - densities[1]).abs().max() / densities[0].abs().max()
    assert error <= 1e-5, (
        f"vacuum must not change the density near the atoms; {VACUUM // 2} more points of it on a periodic axis of "
        f"{VACUUM} change it by {error:.3g} of its maximum {_named(baseline)}: mind normalisation over space, biases "
        "where there are no atoms, and layers that see the whole cell"
    )


CHECKS = (
    output_has_the_shape_of_a_density,
    density_is_finite,
    density_is_nonnegative,
    density_holds_the_electrons,
    open_boundary_is_accepted,
    two_spin_channels_work_or_are_refused,
    two_dimensions_work_or_are_refused,
    prediction_is_deterministic,
    batch_equals_one_by_one,
    vacuum_changes_nothing_with_baseline,
    vacuum_changes_nothing_without_baseline,
    another_basis_gives_the_same_density,
    tiles_are_the_whole,
    gradient_reaches_every_parameter,
    state_survives_a_file,
    inputs_stay_untouched,
)
