"""What a continued run accepts to go on from."""

from __future__ import annotations

import math

import pytest
import torch

from edframe.errors import RunError
from edframe.runs.directory import Run
from edframe.train.checkpoint import LAST, Checkpoint
from edframe.train.visits import Visits

CONFIG = "name: small\nmodel: {name: unet, widths: [4, 8]}\ntraining: {steps: 6}\ndevice: cpu\n"


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, "small", CONFIG)


def parts(width=3):
    torch.manual_seed(width)
    model, average = torch.nn.Linear(2, width), torch.nn.Linear(2, width)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).square().sum().backward()
    optimiser.step()
    return model, average, optimiser


def test_run_without_checkpoint_starts_from_the_beginning(run):
    assert Checkpoint.load(run) == Checkpoint(step=0, best=math.inf, seconds=0.0)


def test_everything_comes_back(run):
    saved = parts()
    Checkpoint.of(5, 0.1 + 0.2, 1.5, *saved).save(run, {"contents": "{}"})
    checkpoint = Checkpoint.load(run)
    assert (checkpoint.step, checkpoint.best, checkpoint.seconds) == (5, 0.1 + 0.2, 1.5)
    model, average, optimiser = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3), None
    optimiser = torch.optim.AdamW(model.parameters())
    checkpoint.restore(model, average, optimiser)
    assert torch.equal(model.weight, saved[0].weight)
    assert torch.equal(average.bias, saved[1].bias)
    for name, value in saved[2].state[saved[0].weight].items():
        assert torch.equal(optimiser.state[model.weight][name], value)


def test_what_was_kept_of_samples_comes_back_with_the_rest(run):
    memory, again = Visits("cpu"), Visits("cpu")
    memory.restore({"sinkhorn.potential/a/b.c": torch.rand(1, 2, 3), "blur/a": torch.tensor(0.1, dtype=torch.float64)})
    Checkpoint.of(5, 0.1, 1.5, *parts(), memory).save(run, {})
    Checkpoint.load(run).restore(*parts(), again)
    assert again.state().keys() == memory.state().keys()
    assert all(torch.equal(again.state()[key], value) for key, value in memory.state().items())


def test_memory_without_content_adds_nothing(run):
    Checkpoint.of(5, 0.1, 1.5, *parts(), Visits("cpu")).save(run, {})
    with_memory = run.load_tensors(LAST)[0].keys()
    Checkpoint.of(5, 0.1, 1.5, *parts()).save(run, {})
    assert run.load_tensors(LAST)[0].keys() == with_memory


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("[4, 8]", "[8, 16]", r"model\.widths was \[4, 8\], is \[8, 16\]"),
        ("steps: 6", "steps: 60", r"training\.steps was 6, is 60"),
        ("training: {steps: 6}\n", "", r"training was \{'steps': 6\}, is None"),
    ],
)
def test_edited_config_is_refused(run, old, new, difference):
    Checkpoint.of(1, 1.0, 1.0, *parts()).save(run, {})
    run.write("config.yaml", CONFIG.replace(old, new).encode())
    with pytest.raises(RunError, match=rf"was edited since the checkpoint was saved \({difference}\); undo that"):
        Checkpoint.load(run)


@pytest.mark.parametrize("edited", [CONFIG.replace("device: cpu", "device: cuda"), f"# a comment\n{CONFIG}"])
def test_another_device_or_comment_is_accepted(run, edited):
    Checkpoint.of(1, 1.0, 1.0, *parts()).save(run, {})
    run.write("config.yaml", edited.encode())
    assert Checkpoint.load(run).step == 1


def test_checkpoint_of_another_model_is_refused():
    checkpoint = Checkpoint.of(1, 1.0, 1.0, *parts(3))
    with pytest.raises(RunError, match=r"does not fit the model \(size mismatch .*\): its plugin changed since"):
        checkpoint.restore(*parts(4))


@pytest.mark.parametrize("kept", [0, 5, 0.5])
def test_damaged_checkpoint_is_refused(run, kept):
    Checkpoint.of(1, 1.0, 1.0, *parts()).save(run, {})
    whole = (run.path / LAST).read_bytes()
    (run.path / LAST).write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    with pytest.raises(RunError, match=r"last\.safetensors is damaged, it may have been cut short"):
        Checkpoint.load(run)


def test_best_weights_in_place_of_the_last_checkpoint_are_refused(run):
    run.save_tensors(LAST, {"weight": torch.zeros(2)}, {"step": "4"})
    with pytest.raises(RunError, match=r"last\.safetensors is not what edframe writes there: it lacks 'best'; restore"):
        Checkpoint.load(run)


@pytest.mark.parametrize("key", ["step", "best", "seconds"])
@pytest.mark.parametrize("value", ["nan", "-1", "many", ""])
def test_a_header_without_meaning_is_refused(run, key, value):
    state = {"step": "4", "best": "0.5", "seconds": "1.0"}
    run.save_tensors(LAST, {"weight": torch.zeros(2)}, {**state, key: value})
    with pytest.raises(RunError, match=r"last\.safetensors is not what edframe writes there: it cannot be read"):
        Checkpoint.load(run)


@pytest.mark.parametrize("part", ["model", "average"])
def test_a_weight_that_is_not_finite_is_refused(run, part):
    saved = parts()
    with torch.no_grad():
        saved[("model", "average").index(part)].bias[1] = math.nan
    Checkpoint.of(1, 1.0, 1.0, *saved).save(run, {})
    with pytest.raises(RunError, match=r"the checkpoint holds a weight that is not finite, in 'bias'; restore it"):
        Checkpoint.load(run).restore(*parts())
