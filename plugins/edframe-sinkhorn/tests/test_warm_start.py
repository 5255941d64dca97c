"""Beginning where an earlier solve ended: given by hand, through a visit, and through the memory of training."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig

from edframe.data.augmentation import Motions
from edframe.data.loading import Batch
from edframe.grid import Grid
from edframe.interfaces import Features
from edframe.train.visits import Visits

BOX = Grid.of([6.0, 6.0, 6.0], 12)
OPTIONS = ({}, {"debias": False}, {"reach": 0.8}, {"reach": 0.8, "mass": "unbalanced"})


@pytest.fixture
def pair(molecule):
    """Two predictions, and their references."""
    predicted = torch.cat([molecule(BOX, 0.3), molecule(BOX, 0.8)])
    return predicted, torch.cat([molecule(BOX), molecule(BOX, 1.0)])


def difference(gradient, expected, density):
    """Relative, where there are electrons: a vacuum is left to the tolerance."""
    return ((gradient - expected).abs() * density).sum() / (expected.abs() * density).sum()


class Kept:
    """A visit of samples that do not move."""

    step = 1

    def __init__(self):
        self.values = {}

    def recall(self, name):
        return self.values.get(name)

    def keep(self, name, values):
        self.values[name] = values.detach().clone()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reference_gradient", [True, False])
def test_the_answer_is_recognised_at_once(pair, options, reference_gradient):
    options = {"reference_gradient": reference_gradient, **options}
    first = sinkhorn_divergence(*pair, BOX, **options)
    again = sinkhorn_divergence(*pair, BOX, start=first.start, **options)
    assert again.iterations.tolist() == [1, 1]
    assert first.iterations.min() > 1
    if not reference_gradient:  # one step of the self transport, and one there and back, in either precision
        assert again.applications == 6
    torch.testing.assert_close(again.value, first.value, rtol=1e-6, atol=0)
    assert difference(again.gradient, first.gradient, pair[0]) < 1e-3


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reference_gradient", [True, False])
def test_from_nearby_it_is_the_same_answer_for_less_work(molecule, options, reference_gradient):
    options = {"reference_gradient": reference_gradient, **options}
    reference, before, after = molecule(BOX), molecule(BOX, 0.3), molecule(BOX, 0.305)
    start = sinkhorn_divergence(before, reference, BOX, **options).start
    cold = sinkhorn_divergence(after, reference, BOX, **options)
    warm = sinkhorn_divergence(after, reference, BOX, start=start, **options)
    exact = sinkhorn_divergence(after, reference, BOX, **options, tol=1e-9)
    assert warm.applications < cold.applications
    assert warm.marginal_error.item() <= 1e-3
    torch.testing.assert_close(warm.value, exact.value, rtol=1e-4, atol=0)
    assert difference(warm.gradient, exact.gradient, after) < 0.01


def test_a_bad_start_costs_time_only(pair):
    exact = sinkhorn_divergence(*pair, BOX, tol=1e-8)
    flipped = sinkhorn_divergence(*(x.flip(0, 1) for x in pair), BOX).start
    # Of the start, OT_ε(b, b)/2 is not searched for again: it must be that of b.
    start = replace(flipped, own=3 * flipped.own, reference=exact.start.reference)
    result = sinkhorn_divergence(*pair, BOX, start=start, reference_gradient=False, tol=1e-8)
    assert result.marginal_error.max() <= 1e-8
    torch.testing.assert_close(result.value, exact.value, rtol=1e-7, atol=0)


@pytest.mark.parametrize("spins", [1, 2])
def test_a_loss_begins_where_its_last_visit_ended(pair, spins):
    predicted, reference = (torch.stack((x, 0.3 * x.roll(1, 1)), dim=1)[:, :spins] for x in pair)
    loss, visit = SinkhornLoss(SinkhornConfig()), Kept()
    cold, before = loss.with_diagnostics(predicted, reference, BOX)
    first, _ = loss.with_diagnostics(predicted, reference, BOX, visit)
    assert torch.equal(first, cold)
    second, after = loss.with_diagnostics(predicted, reference, BOX, visit)
    assert after["iterations"].tolist() == [1, 1]
    assert (after["applications"] < before["applications"] / 2).all()
    torch.testing.assert_close(second, cold, rtol=1e-6, atol=0)


def test_the_gradient_of_a_warm_loss_is_that_of_a_cold_one(pair):
    predicted, reference = pair[0][:, None].requires_grad_(), pair[1][:, None].requires_grad_()
    loss, visit = SinkhornLoss(SinkhornConfig()), Kept()
    values = [loss.with_diagnostics(predicted, reference, BOX, visit)[0] for _ in range(2)]
    cold, warm = (torch.autograd.grad(value.sum(), (predicted, reference)) for value in values)
    for density, first, second in zip((predicted, reference), cold, warm, strict=True):
        assert difference(second, first, density) < 1e-3


def test_without_warm_start_nothing_is_kept_or_recalled(pair):
    predicted, reference = (x[:, None] for x in pair)
    loss, visit = SinkhornLoss(SinkhornConfig(warm_start=False)), Kept()
    cold = loss.with_diagnostics(predicted, reference, BOX)[1]["iterations"]
    for _ in range(2):
        assert torch.equal(loss.with_diagnostics(predicted, reference, BOX, visit)[1]["iterations"], cold)
    assert not visit.values


@pytest.mark.parametrize("lost", ["potentials", "reference"])
def test_a_batch_that_is_partly_known_is_solved_from_scratch(pair, lost):
    predicted, reference = (x[:, None] for x in pair)
    loss, visit = SinkhornLoss(SinkhornConfig()), Kept()
    cold, before = loss.with_diagnostics(predicted, reference, BOX, visit)
    (name,) = (name for name in visit.values if name.endswith(lost))
    visit.values[name][1] = torch.nan
    value, after = loss.with_diagnostics(predicted, reference, BOX, visit)
    assert torch.equal(value, cold)
    assert torch.equal(after["iterations"], before["iterations"])
    assert visit.values[name].isfinite().all()


@pytest.mark.parametrize("known", [False, True])
def test_a_prediction_equal_to_its_reference_is_a_minimum(pair, known):
    predicted, reference = pair[1][:, None].requires_grad_(), pair[1][:, None]
    loss, visit = SinkhornLoss(SinkhornConfig()), Kept()
    if known:
        loss.with_diagnostics(pair[0][:, None], reference, BOX, visit)
    value, _ = loss.with_diagnostics(predicted, reference, BOX, visit)
    (gradient,) = torch.autograd.grad(value.sum(), predicted)
    # From a start that belonged to another prediction, to the tolerance only: some thousandths of ε = 0.25 Å².
    assert value.abs().max() < (1e-5 if known else 1e-10)
    assert (reference * gradient.abs()).flatten(1).sum(1).max() < (2.5e-3 if known else 1e-12)


def batch_of(references):
    """A batch as training makes it, but for atoms."""
    samples = tuple(SimpleNamespace(id=str(number)) for number in range(len(references)))
    electrons = references.flatten(1).sum(1) * BOX.voxel_volume
    return Batch(samples, BOX, Features(references[:, None], None), references[:, None], electrons)


def test_what_is_remembered_follows_the_motions_of_augmentation(pair):
    predicted, reference = pair
    loss, memory, motions = SinkhornLoss(SinkhornConfig()), Visits("cpu"), Motions(BOX, "cpu")
    batch, generator = batch_of(reference), torch.Generator().manual_seed(1)
    cold, _ = loss.with_diagnostics(predicted[:, None], reference[:, None], BOX)
    for step in range(1, 4):
        index = motions.draw(2, generator)
        moved, seen = (
            batch.moved(index),
            predicted[:, None].flatten(2).gather(2, index[:, None]).reshape(2, 1, 12, 12, 12),
        )
        value, diagnostics = loss.with_diagnostics(seen, moved.density, BOX, memory.visit(moved, step))
        torch.testing.assert_close(value, cold, rtol=1e-5, atol=0)
        assert (diagnostics["iterations"] == 1).all() == (step > 1)


def test_samples_are_remembered_one_by_one(pair):
    predicted, reference = (x[:, None] for x in pair)
    loss, memory, batch = SinkhornLoss(SinkhornConfig()), Visits("cpu"), batch_of(pair[1])
    loss.with_diagnostics(predicted, reference, BOX, memory.visit(batch, 1))
    other = SimpleNamespace(samples=batch.samples[::-1], motion=None)
    _, diagnostics = loss.with_diagnostics(predicted.flip(0), reference.flip(0), BOX, memory.visit(other, 2))
    assert diagnostics["iterations"].tolist() == [1, 1]


def test_a_full_memory_leaves_the_rest_cold(pair):
    predicted, reference = (x[:, None] for x in pair)
    loss, batch = SinkhornLoss(SinkhornConfig()), batch_of(pair[1])
    memory = Visits("cpu", bound=2 * 12**3 * 4 + 100)  # of the two potentials of one sample
    first, cold = loss.with_diagnostics(predicted, reference, BOX, memory.visit(batch, 1))
    again, diagnostics = loss.with_diagnostics(predicted, reference, BOX, memory.visit(batch, 2))
    assert torch.equal(diagnostics["iterations"], cold["iterations"])
    assert torch.equal(again, first)
    one = SimpleNamespace(samples=batch.samples[:1], motion=None)
    _, warm = loss.with_diagnostics(predicted[:1], reference[:1], BOX, memory.visit(one, 3))
    assert warm["iterations"].tolist() == [1]
