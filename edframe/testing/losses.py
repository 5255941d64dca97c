"""Checks of losses: on random positive densities of equal mass, in float64.

Longer than other modules: a list of checks, read one by one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid, in_dimension
from edframe.interfaces import Loss
from edframe.metrics.convergence import UNCONVERGED
from edframe.testing import examples
from edframe.testing.subject import Subject

SHAPE = (6, 6, 4)
LONGER = 1.25
"""Factor by which lengths are multiplied."""


def unit_is_named(subject: Subject) -> None:
    """``unit`` is a string that tables print, such as 'e/Å^d'."""
    unit = getattr(_loss(subject), "unit", None)
    assert isinstance(unit, str), f"a loss must have its unit as a string in `unit`, not {unit!r}"


def unit_follows_from_the_grid(subject: Subject) -> None:
    """``unit`` has the power of Å with which the value changes when all lengths do, in each dimension."""
    loss = _loss(subject)
    for shape, periodic in itertools.product((SHAPE[:1], SHAPE[:2], SHAPE), (True, False)):
        predicted, reference, grid = _pair(shape, periodic=periodic)
        d = grid.dimension
        longer = Grid.of(LONGER * grid.vectors, grid.shape, grid.periodic)
        try:
            value = loss(predicted, reference, grid).detach()
            other = loss(predicted / LONGER**d, reference / LONGER**d, longer).detach()
        except DataError:
            continue
        unit = in_dimension(loss.unit, d)
        assert d == 3 or "Å³" not in unit, (
            f"the unit of a loss on grids of dimension {d} cannot be {unit}: write Å^d for what follows from the "
            "dimension, as in 'e/Å^d', or refuse such grids with a DataError"
        )
        powers, stated = (other / value).log() / math.log(LONGER), _power_of_length(unit)
        whole = powers.mean().round()
        # A loss with a length or a density among its options has no power: then the unit cannot be seen here.
        if stated is not None and bool((powers - whole).abs().max() < 0.02):
            assert stated == whole, (
                f"the value of a loss in {unit} must change with the power {stated} of the length in dimension {d}, "
                f"but it changes with the power {whole:g}: write the unit that it has, with Å^d for what follows from "
                "the dimension, as in 'e/Å^d'"
            )


def _power_of_length(unit: str) -> int | None:
    """The power of Å in a unit such as e/Å³; None where that is not a product of powers of e, Å and numbers."""
    factors = re.findall(r"([·/]?)([^·/²³]+)([²³]?)", unit)
    if "".join("".join(factor) for factor in factors) != unit or {symbol for _, symbol, _ in factors} - {*"1%eÅ"}:
        return None
    powers = {"": 1, "²": 2, "³": 3}
    return sum((-1 if sign == "/" else 1) * powers[power] for sign, symbol, power in factors if symbol == "Å")


def one_number_per_sample(subject: Subject) -> None:
    """The value has shape ``[b]`` and is finite."""
    _assert_numbers(_value(subject, *_pair()), batch=3)


def zero_at_equality(subject: Subject) -> None:
    """The value is zero when both densities are the same, within 1e-6 of its value for different ones."""
    predicted, reference, grid = _pair()
    scale = _value(subject, predicted, reference, grid).abs().max()
    same = _value(subject, reference, reference, grid).abs().max()
    assert same <= 1e-6 * scale, f"a loss must be zero at equality; it is {same:.3g}, and {scale:.3g} between others"


def nonnegative(subject: Subject) -> None:
    """The value is never negative."""
    predicted, reference, grid = _pair()
    for a, b in ((predicted, reference), (reference, predicted)):
        value = _value(subject, a, b, grid)
        assert value.min() >= -1e-6 * value.abs().max(), f"a loss must not be negative; it is {value.min():.3g}"


def gradient_matches_differences(subject: Subject) -> None:
    """The gradient with respect to the prediction agrees with finite differences that keep the mass."""
    predicted, reference, grid = _pair()
    gradient = _gradient(subject, predicted, reference, grid)
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(4, *predicted.shape, generator=generator, dtype=torch.float64)
    directions -= directions.flatten(3).mean(-1).reshape(*directions.shape[:3], *(1,) * grid.dimension)
    step = 1e-4 * predicted.min() / directions.abs().max()
    analytic = torch.stack([(gradient * v).sum() for v in directions])
    numeric = torch.stack(
        [
            (
                _value(subject, predicted + step * v, reference, grid)
                - _value(subject, predicted - step * v, reference, grid)
            )
            .sum()
            .double()
            / (2 * step)
            for v in directions
        ]
    )
    error = (analytic - numeric).norm() / numeric.norm().clamp(min=1e-300)
    assert error < 0.02, (
        f"the gradient must match finite differences in float64; along four directions it is {analytic.tolist()}, "
        f"by differences {numeric.tolist()}"
    )


def gradient_is_finite_at_equality(subject: Subject) -> None:
    """The gradient is finite where the prediction equals the reference: training may get there."""
    _, reference, grid = _pair()
    gradient = _gradient(subject, reference, reference, grid)
    assert gradient.isfinite().all(), "the gradient must be finite at equality: mind sqrt and norms at zero"


def batch_equals_one_by_one(subject: Subject) -> None:
    """The value of a sample does not depend on the others in its batch."""
    predicted, reference, grid = _pair()
    together = _value(subject, predicted, reference, grid)
    alone = torch.cat([_value(subject, p[None], r[None], grid) for p, r in zip(predicted, reference, strict=True)])
    _assert_same(together, alone, "a sample's value must not depend on the others in its batch")


def moving_both_changes_nothing(subject: Subject) -> None:
    """On a periodic grid, translating both densities by whole voxels does not change the value."""
    predicted, reference, grid = _pair()
    moved = [field.roll((2, -1, 3), (-3, -2, -1)) for field in (predicted, reference)]
    _assert_same(
        _value(subject, predicted, reference, grid),
        _value(subject, moved[0], moved[1], grid),
        "translating both densities on a periodic grid must not change the value",
    )


def skewed_cell_is_exact_or_refused(subject: Subject) -> None:
    """A skewed cell that describes the same lattice and points gives the same value, or is refused."""
    predicted, reference, grid = _pair()
    skewed = [examples.relabelled(field, grid.dimension) for field in (predicted, reference)]
    try:
        value = _value(subject, skewed[0], skewed[1], examples.sheared(grid))
    except DataError:
        return
    message = "a triclinic grid must be treated exactly, or refused with a DataError"
    _assert_same(_value(subject, predicted, reference, grid), value, message)


def lower_dimensions_work_or_are_refused(subject: Subject) -> None:
    """Grids of one and two dimensions give one finite number per sample, or are refused."""
    for shape in (SHAPE[:1], SHAPE[:2]):
        try:
            value = _value(subject, *_pair(shape))
        except DataError:
            continue
        _assert_numbers(value, batch=3)


def open_boundary_works_or_is_refused(subject: Subject) -> None:
    """A grid without periodic axes gives one finite number per sample, or is refused."""
    try:
        value = _value(subject, *_pair(periodic=False))
    except DataError:
        return
    _assert_numbers(value, batch=3)


def open_axis_has_two_ends(subject: Subject) -> None:
    """Along an open axis, electrons moved across the boundary cost more than electrons moved one step inside.

    A loss to which it is all the same how far they move, such as a pointwise one, has nothing to mistake.
    """
    shape = (8, 7, 6)
    for axis, others in itertools.product(range(3), (False, True)):
        grid = Grid.of([5.6, 5.6, 5.4], shape, [others and a != axis for a in range(3)])
        start = [n // 2 for n in shape]
        start[axis] = 0
        ends = [[end if a == axis else place for a, place in enumerate(start)] for end in (1, -1, shape[axis] // 2)]
        predicted = examples.points(grid, [start] * 3)
        try:
            inside, across, far = _value(subject, predicted, examples.points(grid, ends), grid).tolist()
        except DataError:
            continue
        assert far <= 1.01 * inside or across > 1.01 * inside, (
            f"axis {axis + 1} of this grid is open, so its ends are far apart: electrons moved from one to the other "
            f"cost {across:.3g}, moved one step inside {inside:.3g}; wrap around periodic axes only, or refuse others "
            "with a DataError"
        )


def two_spin_channels_work_or_are_refused(subject: Subject) -> None:
    """Densities with a magnetisation give one finite number per sample, or are refused."""
    try:
        value = _value(subject, *_pair(spins=2))
    except DataError:
        return
    _assert_numbers(value, batch=3)


def single_precision_is_enough(subject: Subject) -> None:
    """Float32 densities, as in training, give the value of float64 to 1e-3."""
    predicted, reference, grid = _pair()
    single = _value(subject, predicted.float(), reference.float(), grid)
    message = "the value of float32 densities must agree with that of float64"
    _assert_same(_value(subject, predicted, reference, grid), single.double(), message, tolerance=1e-3)


def diagnostics_are_per_sample(subject: Subject) -> None:
    """``with_diagnostics`` gives the same value, and named tensors ``[b]``."""
    predicted, reference, grid = _pair()
    value, diagnostics = _loss(subject).with_diagnostics(predicted, reference, grid)
    _assert_same(_value(subject, predicted, reference, grid), value, "with_diagnostics must give the loss's value")
    for name, quantity in diagnostics.items():
        shape = getattr(quantity, "shape", None)
        assert shape == (3,), f"the diagnostic '{name}' must be a tensor with one number per sample, [3] here"
        if name.rpartition(".")[2] == UNCONVERGED:
            flags = quantity.tolist()
            assert set(flags) <= {0, 1}, f"the diagnostic '{name}' must be 0 or 1 for each sample, not {flags}"


def what_is_kept_does_not_change_the_value(subject: Subject) -> None:
    """``with_diagnostics`` gives the same value, within 1e-2, when it is given a visit late in training: at the first
    one, with what it stored there, and with that of some samples only."""
    predicted, reference, grid = _pair()
    loss, visit = _loss(subject), _Visit((3,), grid.shape)
    plain = _value(subject, predicted, reference, grid)
    for known in ("nothing", "what it stored of all samples", "what it stored of the first sample"):
        value, _ = loss.with_diagnostics(predicted, reference, grid, visit)
        message = f"a visit must not change the value; it does with {known} to recall"
        _assert_same(plain, value.detach(), message, tolerance=1e-2)
        if known != "nothing":
            visit.forget_all_but_the_first()


def inputs_stay_untouched(subject: Subject) -> None:
    """Neither density is modified."""
    predicted, reference, grid = _pair()
    copies = predicted.clone(), reference.clone()
    _value(subject, predicted, reference, grid)
    unchanged = torch.equal(predicted, copies[0]) and torch.equal(reference, copies[1])
    assert unchanged, "a loss must not modify the densities it is given"


class _Visit:
    """A visit after any schedule has ended, of samples that do not move; see ``edframe.interfaces.Visit``."""

    step = 10**9

    def __init__(self, batch: tuple[int], points: tuple[int, ...]) -> None:
        self.batch = batch
        self.points = points
        self.kept: dict[str, Tensor] = {}

    def recall(self, name: str) -> Tensor | None:
        kept = self.kept.get(name)
        return None if kept is None else kept.clone()

    def keep(self, name: str, values: Tensor) -> None:
        shape = tuple(values.shape)
        fields = len(shape) > 1 and shape[:1] + shape[2:] == self.batch + self.points
        assert fields or shape == self.batch, (
            f"'{name}' must be stored as numbers [b] or fields [b, c, x, y, z]; on a grid of shape {list(self.points)} "
            f"and {self.batch[0]} samples its shape is {list(shape)}"
        )
        self.kept[name] = values.detach().to(torch.float32 if fields else torch.float64, copy=True)

    def forget_all_but_the_first(self) -> None:
        for values in self.kept.values():
            values[1:] = torch.nan


def _loss(subject: Subject) -> Loss:
    loss = subject.make()
    if not callable(loss):
        raise AssertionError("the factory of a loss must return an object that can be called")
    return loss  # type: ignore[no-any-return]


def _pair(shape: Sequence[int] = SHAPE, spins: int = 1, periodic: bool = True) -> tuple[Tensor, Tensor, Grid]:
    # Unequal spacings, so that a loss which forgets the cell is seen.
    grid = Grid.of([0.8 * n + i for i, n in enumerate(shape)], tuple(shape), periodic)
    return examples.densities(grid, 3, spins, seed=1), examples.densities(grid, 3, spins, seed=2), grid


def _value(subject: Subject, predicted: Tensor, reference: Tensor, grid: Grid) -> Tensor:
    return _loss(subject)(predicted, reference, grid).detach()


def _gradient(subject: Subject, predicted: Tensor, reference: Tensor, grid: Grid) -> Tensor:
    leaf = predicted.clone().requires_grad_()
    value = _loss(subject)(leaf, reference, grid).sum()
    assert value.requires_grad, "the value must be differentiable with respect to the prediction"
    return torch.autograd.grad(value, leaf)[0]


def _assert_numbers(value: Tensor, batch: int) -> None:
    shape = tuple(value.shape)
    assert shape == (batch,), f"a loss must return one number per sample, shape [{batch}], not {shape}"
    assert value.isfinite().all(), f"a loss must be finite; it is {value.tolist()}"


def _assert_same(first: Tensor, second: Tensor, message: str, tolerance: float = 1e-4) -> None:
    error = (first - second).abs().max() / first.abs().max()
    assert error <= tolerance, f"{message}; it differs by {error:.3g} relative"


CHECKS = (
    unit_is_named,
    unit_follows_from_the_grid,
    one_number_per_sample,
    zero_at_equality,
    nonnegative,
    gradient_matches_differences,
    gradient_is_finite_at_equality,
    batch_equals_one_by_one,
    moving_both_changes_nothing,
    skewed_cell_is_exact_or_refused,
    lower_dimensions_work_or_are_refused,
    open_boundary_works_or_is_refused,
    open_axis_has_two_ends,
    two_spin_channels_work_or_are_refused,
    single_precision_is_enough,
    diagnostics_are_per_sample,
    what_is_kept_does_not_change_the_value,
    inputs_stay_untouched,
)
