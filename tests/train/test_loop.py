"""The loop on a model of 200 weights: repeatable, stoppable, and doing the arithmetic it says."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from edframe.config.experiment import Training
from edframe.data.loading import Loader
from edframe.data.splits import Split
from edframe.errors import RunError
from edframe.interfaces import Loss
from edframe.runs.directory import Run
from edframe.runs.events import Step, Timing, Unconverged, Validation, step_of
from edframe.train.checkpoint import BEST, LAST, Checkpoint
from edframe.train.loop import Interrupted, learning_rate, train, validation_means

SPLIT = Split(train=(0, 1, 2, 3, 4), validation=(5, 6), test=(7,))


class Squared(Loss):
    """Mean squared error, or a multiple of it."""

    unit = "(e/Å³)²"

    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, predicted, reference, grid):
        return self.factor * (predicted - reference).square().mean((1, 2, 3, 4))


class Remembering(Loss):
    """Its value depends on the predictions at earlier visits of a sample, which it keeps, and on the step."""

    unit = "(e/Å³)²"

    def __call__(self, predicted, reference, grid):
        return (predicted - reference).square().mean((1, 2, 3, 4))

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        value = self(predicted, reference, grid)
        former, visits = visit.recall("prediction"), visit.recall("visits")
        known = torch.zeros(len(value)) if visits is None else visits.nan_to_num(0)
        if former is not None:
            value = value + self(predicted, former.nan_to_num(0), grid) * known / visit.step
        visit.keep("prediction", predicted)
        visit.keep("visits", known + 1)
        return value, {"visits": known, "unconverged": (known % 2).double()}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def go(small, tmp_path):
    """Train into a run; ``watch(event, model)`` sees every event. The model's initial weights are always the same."""

    def call(run=None, *, watch=None, loss=None, precision="32-true", seed=3, **options):
        run = run or Run.create(tmp_path / "runs", "small", "name: small\n")
        options = Training(**{"steps": 8, "evaluate_every": 4, "checkpoint_every": 3, "warmup_steps": 2, **options})
        torch.manual_seed(0)
        model = small.model()
        loader = Loader(small.dataset(8), small.featurizer(), "cpu")
        returned = train(
            Fabric(accelerator="cpu", devices=1, precision=precision), model, loss or Squared(), loader, SPLIT, options,
            seed=seed, run=run, header={}, start=Checkpoint.load(run),
            show=lambda event: watch(event, model) if watch else None,
        )  # fmt: skip
        return run, returned

    return call


def stop_at(step, number):
    def watch(event, _):
        if isinstance(event, Step) and event.step == step:
            os.kill(os.getpid(), number)

    return watch


def events(run):
    """All events but their seconds, and the timing, which is nothing but seconds."""
    logged = [event for event in run.events() if not isinstance(event, Timing)]
    return [replace(event, seconds=0.0) if hasattr(event, "seconds") else event for event in logged]


def steps(run):
    return [event for event in run.events() if isinstance(event, Step)]


def assert_same_tensors(one, other, name):
    (first, _), (second, _) = one.load_tensors(name), other.load_tensors(name)
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 4, 5])
def test_stopped_and_continued_run_equals_the_uninterrupted_one(go, number, step):
    whole, _ = go()
    halves = []
    with pytest.raises(Interrupted, match=f"stopped at step {step}"):
        go(watch=lambda event, model: (halves.append(event), stop_at(step, number)(event, model)))
    run = Run(next(path for path in whole.path.parent.iterdir() if path != whole.path))
    assert Checkpoint.load(run).step == step
    go(run)
    assert_same_tensors(run, whole, LAST)
    assert_same_tensors(run, whole, BEST)
    assert events(run) == events(whole)


def test_continued_run_goes_on_from_the_checkpoint_and_logs_no_step_twice(go):
    def die(event, _):
        if isinstance(event, Step) and event.step == 5:
            raise KeyboardInterrupt  # no checkpoint since step 3, as after SIGKILL

    whole, _ = go()
    with pytest.raises(KeyboardInterrupt):
        go(watch=die)
    run = Run(next(path for path in whole.path.parent.iterdir() if path != whole.path))
    seen = []
    go(run, watch=lambda event, _: seen.append(event))
    assert [event.step for event in seen if isinstance(event, Step)] == [4, 5, 6, 7, 8]
    assert events(run) == events(whole)
    assert_same_tensors(run, whole, LAST)


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("killed", [False, True])
def test_what_a_loss_keeps_of_moved_samples_survives_a_stop(go, batch_size, killed):
    """Stopped at step 8, or killed there and continued from step 6: all five samples have been met before."""
    options = {"loss": Remembering(), "steps": 12, "batch_size": batch_size}

    def die(event, _):
        if isinstance(event, Step) and event.step == 8:
            raise KeyboardInterrupt

    whole, _ = go(**options)
    with pytest.raises(KeyboardInterrupt if killed else Interrupted):
        go(watch=die if killed else stop_at(8, signal.SIGTERM), **options)
    run = Run(next(path for path in whole.path.parent.iterdir() if path != whole.path))
    before, header = run.load_tensors(LAST)
    assert header["step"] == ("6" if killed else "8")
    assert {key for key in before if key.startswith("memory.")} == {
        f"memory.{name}/atom-{i}" for name in ("prediction", "visits") for i in SPLIT.train
    }
    go(run, **options)
    assert_same_tensors(run, whole, LAST)
    assert_same_tensors(run, whole, BEST)
    assert events(run) == events(whole)


def test_last_checkpoint_holds_nothing_that_was_kept_of_samples(go):
    """Nothing comes after it, and it may be large."""
    run, _ = go(loss=Remembering())
    assert not [key for key in run.load_tensors(LAST)[0] if key.startswith("memory.")]


def test_solves_that_did_not_converge_are_counted_over_a_stop(go, tmp_path):
    """At every second visit of a sample, says the loss: 24 visits of 5 samples, so that four come 5 times and one 4."""
    options = {"loss": Remembering(), "steps": 12, "batch_size": 2}
    with pytest.raises(Interrupted):
        go(watch=stop_at(7, signal.SIGTERM), **options)
    (path,) = (tmp_path / "runs").iterdir()
    seen = []
    run, _ = go(Run(path), watch=lambda event, _: seen.append(event), **options)
    expected = Unconverged("training", "unconverged", count=4 * 2 + 2, of=24, step=12)
    assert [event for event in run.events() if isinstance(event, Unconverged)] == [expected]
    assert expected in seen


def test_checkpoint_holds_the_optimiser_the_average_and_the_buffers(go):
    run, _ = go()
    tensors, _ = run.load_tensors(LAST)
    assert float(tensors["model.calls"]) == float(tensors["average.calls"]) == 8
    assert float(tensors["optimiser.0.step"]) == 8
    assert {key.rpartition(".")[2] for key in tensors if key.startswith("optimiser.0")} == {
        "step", "exp_avg", "exp_avg_sq",
    }  # fmt: skip


@pytest.mark.parametrize("changed", [{"augment": False}, {"seed": 4}])
def test_augmentation_and_seed_change_the_course(go, changed):
    """Or equality of two runs would prove nothing about their randomness."""
    (one, _), (other, _) = go(), go(**changed)
    assert steps(one)[0].loss != steps(other)[0].loss


def test_dropout_is_drawn_anew_each_step(go):
    run, _ = go(augment=False, batch_size=5, learning_rate=1e-12, warmup_steps=0, ema_decay=0)
    losses = [event.loss for event in steps(run)]
    assert len({round(loss, 7) for loss in losses}) > 4


def test_second_interrupt_acts_at_once(go):
    def twice(event, _):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("still here")  # pragma: no cover

    with pytest.raises(KeyboardInterrupt):
        go(watch=twice)


def test_signal_handlers_are_given_back(go):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted):
        go(watch=stop_at(1, signal.SIGTERM))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_interrupt_in_the_last_step_keeps_the_training(go, tmp_path):
    with pytest.raises(Interrupted):
        go(watch=stop_at(8, signal.SIGINT))
    (path,) = (tmp_path / "runs").iterdir()
    run, _ = go(Run(path))
    assert [event.step for event in steps(run)] == list(range(1, 9))
    assert events(run) == events(go()[0])


@pytest.mark.parametrize(
    ("step", "fraction"),
    [(1, 0.25), (2, 0.5), (4, 1.0), (12, 0.5), (20, 0.0), (8, 0.5 + 0.5**1.5)],
)
def test_learning_rate_rises_linearly_and_falls_along_half_a_cosine(step, fraction):
    options = Training(steps=20, warmup_steps=4, learning_rate=0.8)
    assert learning_rate(step, options) == pytest.approx(0.8 * fraction, abs=1e-15)


def test_learning_rate_without_warmup_starts_near_its_peak():
    assert learning_rate(1, Training(steps=100, warmup_steps=0, learning_rate=1.0)) == pytest.approx(1, abs=1e-3)


def test_first_step_of_adamw_moves_each_weight_by_the_learning_rate(go, small):
    """Kingma & Ba 2015: m/√v is the sign of the gradient after one step. Loshchilov & Hutter 2019: decay apart."""
    torch.manual_seed(0)
    before = small.model().first.weight.detach()
    after = []

    def watch(event, model):
        after.append(model.first.weight.detach().clone())

    unclipped = {"clip_norm": 1e9}  # a clipped gradient comes near the epsilon of Adam
    go(watch=watch, loss=Squared(1e4), steps=1, warmup_steps=4, learning_rate=0.08, weight_decay=0.5, **unclipped)
    moved = (after[0] - before * (1 - 0.02 * 0.5)).abs()
    np.testing.assert_allclose(moved, 0.02, rtol=1e-3)


def test_running_average_equals_a_loop_over_the_weights(go, small):
    torch.manual_seed(0)
    average = small.model().first.weight.detach().double().numpy()
    decays = []

    def watch(event, model):
        nonlocal average
        if isinstance(event, Step):
            decay = min(0.4, event.step / (event.step + 10))
            decays.append(decay)
            average = decay * average + (1 - decay) * model.first.weight.detach().double().numpy()

    run, _ = go(watch=watch, ema_decay=0.4, learning_rate=0.05)
    assert decays[0] < decays[-1] == 0.4
    stored = run.load_tensors(LAST)[0]["average.first.weight"]
    np.testing.assert_allclose(stored, average, rtol=0, atol=1e-6)


def test_weights_that_validated_best_are_returned(go):
    """Training uphill makes the model worse, so the first validation is the best."""
    run, returned = go(loss=Squared(-1.0), learning_rate=0.05)
    validations = [event for event in run.events() if isinstance(event, Validation)]
    assert validations[0].nmae < validations[1].nmae
    tensors, header = run.load_tensors(BEST)
    assert header["step"] == "4"
    assert float(header["nmae"]) == validations[0].nmae
    assert all(torch.equal(tensors[key], value) for key, value in returned.state_dict().items())


def test_best_weights_from_before_a_stop_stay_the_best(go, tmp_path):
    uphill = {"loss": Squared(-1.0), "learning_rate": 0.05}
    with pytest.raises(Interrupted):
        go(watch=stop_at(5, signal.SIGTERM), **uphill)
    (path,) = (tmp_path / "runs").iterdir()
    run, _ = go(Run(path), **uphill)
    assert run.load_tensors(BEST)[1]["step"] == "4"


def test_validation_has_the_mean_errors_of_the_baseline_for_a_model_that_returns_it(small):
    class Baseline(torch.nn.Module):
        def forward(self, channels, baseline, grid, electrons):
            return baseline

    dataset = small.dataset(3)
    errors, squares = [], []
    for i in (0, 2):
        reference = dataset[i].density[0].astype(float)
        wide = small.gaussian(dataset.grids[i], dataset.centres[i], 1.2)
        errors.append(100 * np.abs(wide - reference).sum() / reference.sum())
        squares.append(((wide - reference) ** 2).mean())
    means = validation_means(Baseline(), Squared(), Loader(dataset, small.featurizer(), "cpu"), [0, 2])
    assert means[:2] == pytest.approx((np.mean(errors), np.mean(squares)), rel=1e-5)
    assert 0 <= means.low_g <= means.coulomb
    assert float(means.header["coulomb"]) == means.coulomb


def test_expected_errors_are_right_in_the_mean_over_the_validation_samples(small):
    """A featurizer that expects e/10 electrons wrong in sample e: its factor makes the mean NMAE."""

    class Baseline(torch.nn.Module):
        def forward(self, channels, baseline, grid, electrons):
            return baseline

    dataset, featurizer = small.dataset(3), small.featurizer()
    wrong = {dataset[i].structure.formula + str(dataset[i].grid.shape): 0.1 * (i + 1) for i in range(3)}
    expects = {"expected_error": lambda self, structure, grid: wrong[structure.formula + str(grid.shape)]}
    featurizer.__class__ = type("Judging", (type(featurizer),), expects)
    means = validation_means(Baseline(), Squared(), Loader(dataset, featurizer, "cpu"), [0, 2])
    expected = [
        100 * wrong[dataset[i].structure.formula + str(dataset[i].grid.shape)] / dataset[i].electrons for i in (0, 2)
    ]
    assert float(means.header["judged"]) * np.mean(expected) == pytest.approx(means.nmae)
    featurizer.expected_error = lambda *_: None
    assert "judged" not in validation_means(Baseline(), Squared(), Loader(dataset, featurizer, "cpu"), [0]).header


class Noisy(Remembering):
    """Draws a random number at each call, and remembers what it is shown in a visit."""

    def __call__(self, predicted, reference, grid):
        return super().__call__(predicted, reference, grid) * (1 + 0.01 * torch.rand(len(predicted)))

    def with_diagnostics(self, predicted, reference, grid, visit=None):
        if visit is None:
            return self(predicted, reference, grid), {}
        return super().with_diagnostics(predicted, reference, grid, visit)


def test_the_loss_of_each_validation_is_logged_and_leaves_the_training_as_it_was(go):
    """Validated after each step or after the last alone, the losses, weights and the optimiser are the same."""
    often, _ = go(loss=Noisy(), evaluate_every=1)
    once, _ = go(loss=Noisy(), evaluate_every=8)
    validations = [event for event in often.events() if isinstance(event, Validation)]
    assert [event.step for event in validations] == list(range(1, 9))
    assert all(event.loss > 0 for event in validations)
    assert [event.loss for event in steps(often)] == [event.loss for event in steps(once)]
    assert [event.diagnostics for event in steps(often)] == [event.diagnostics for event in steps(once)]
    assert_same_tensors(often, once, LAST)


def test_loss_that_is_not_finite_stops_with_the_last_checkpoint_intact(go):
    loss = Squared()

    def watch(event, _):
        loss.factor = math.nan if step_of(event) == 4 else 1.0

    with pytest.raises(RunError, match=r"the loss is not finite at step 5 .* lower training.learning_rate"):
        go(watch=watch, loss=loss, evaluate_every=8)


@pytest.mark.parametrize(
    ("batch", "remedy"), [(4, "training.batch_size=2 needs half of it"), (1, "needs half of it, or a smaller")]
)
def test_a_step_without_memory_names_the_grid_and_what_needs_less(go, monkeypatch, batch, remedy):
    def forward(wrapped, batch):
        return torch.empty(1 << 50)

    monkeypatch.setattr("edframe.train.loop._predict_wrapped", forward)
    with pytest.raises(
        RunError, match=rf"not enough memory for step 1, of {batch} samples on [\d×]+ points; .*{remedy}"
    ):
        go(batch_size=batch)


def test_every_event_is_one_line_of_json(go):
    run, _ = go()
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds == ["step"] * 4 + ["validation"] + ["step"] * 4 + ["validation", "timing"]


@pytest.mark.parametrize(("precision", "inside"), [("bf16-mixed", torch.bfloat16), ("64-true", torch.float64)])
def test_other_precisions_reach_the_model_and_nothing_else(go, monkeypatch, small, precision, inside):
    seen = set()
    forward = small.model.forward

    def spy(self, channels, baseline, grid, electrons):
        if self.training:
            seen.add(self.first(channels).dtype)
        return forward(self, channels, baseline, grid, electrons)

    monkeypatch.setattr(small.model, "forward", spy)
    run, returned = go(precision=precision)
    assert seen == {inside}
    assert {value.dtype for value in returned.parameters()} == {torch.float32}
    losses = [event.loss for event in steps(run)]
    usual = [event.loss for event in steps(go()[0])]
    np.testing.assert_allclose(losses, usual, rtol=0.05)
