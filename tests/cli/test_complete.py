"""Shell completion, as a shell asks for it."""

from __future__ import annotations

import pytest
import typer.main
from typer._completion_classes import BashComplete

from edframe.cli.main import app


@pytest.fixture(scope="module")
def completions():
    shell = BashComplete(typer.main.get_command(app), {}, "edframe", "_EDFRAME_COMPLETE")
    return lambda *words: [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_set_completes_keys(completions):
    assert {"training.steps=", "training.size="} == set(completions("run", "--set", "training.s"))
    assert {"seed=", "splits.seed="} <= set(completions("run", "--set", ""))
    assert "name=" in completions("run", "--set", "na")


@pytest.mark.parametrize(
    ("words", "there", "absent"),
    [
        (("run", "--set", "loss."), "loss.blur=", "loss.weights="),
        (("run", "--loss", "mix", "--set", "loss."), "loss.weights=", "loss.blur="),
        (("run", "--loss", "l3", "--set", "loss."), None, "loss.blur="),
        (("compare", "--loss", "mix", "--loss", "sinkhorn", "--set", "loss."), "loss.weights=", "loss.delta="),
        (("data", "info", "vasp", "--set", "data.f"), "data.files=", "data.grid="),
        (("plugins", "check", "cube", "--set", "data.f"), "data.files=", "data.grid="),
        (("run", "--loss", "mix", "--set", "seed=1", "--set", "loss.w"), "loss.weights=", "seed="),
    ],
)
def test_set_completes_the_options_of_what_is_chosen(completions, words, there, absent):
    values = completions(*words)
    assert there is None or there in values
    assert absent not in values


def test_set_completes_the_options_of_a_config_file(completions, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {name: krr}\n")
    values = completions("run", str(tmp_path / "mine.yaml"), "--set", "model.")
    assert values
    assert "model.dropout=" not in values
    assert "model.dropout=" in completions("run", "--set", "model.")


@pytest.mark.parametrize("text", ["model: [", "model: krr", "3"])
def test_a_file_that_is_no_config_stops_nothing(completions, tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    assert "training.steps=" in completions("run", str(tmp_path / "mine.yaml"), "--set", "training.st")


def test_components_and_kinds_complete(completions):
    assert completions("run", "--loss", "sink") == ["sinkhorn"]
    assert completions("plugins", "new", "fe") == ["featurizer"]
