"""``edframe tune``: the recipe that it finds, stopping and continuing it, several processes, and what it refuses."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys

import optuna
import pytest
import yaml

from edframe.runs.directory import Run
from edframe.runs.events import Validation
from edframe.tuning.journal import finished, loaded

RATES = ["--only", "training.learning_rate", "--vary", "training.learning_rate=[1e-9, 0.01, 0.02]"]

KILLED = """
import os, signal, optuna
from edframe.cli import main

report = optuna.Trial.report

def reporting(self, value, step):
    report(self, value, step)
    if self.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)

optuna.Trial.report = reporting
main()
"""


@pytest.fixture(scope="module")
def arguments(tiny):
    """Arguments of ``edframe tune`` for trials of a moment, into a study."""

    def make(study, trials, *more):
        words = tiny("unused", training__warmup_steps=0, training__learning_rate=1e-9)
        del words[words.index("--runs") : words.index("--runs") + 2]
        return ["tune", *words[1:], *RATES, "--study", str(study), "--trials", str(trials), *more]

    return make


@pytest.fixture(scope="module")
def tuned(edframe, arguments, tmp_path_factory):
    """The folder of a study of three trials, and what the command printed."""
    folder = tmp_path_factory.mktemp("tuned") / "study"
    result = edframe(*arguments(folder, 3))
    assert (result.code, result.err) == (0, "")
    return folder, result.out


def results(folder):
    """Values and validation NMAE of each finished trial."""
    return [(trial.params, trial.intermediate_values, trial.value) for trial in finished(loaded(folder))]


def test_recipe_repeats_the_best_trial_exactly(edframe, arguments, tuned, tmp_path):
    folder, _ = tuned
    header, recipe = (folder / "best.yaml").read_text().split("\n\n", 1)
    assert shlex.join(["edframe", *arguments(folder, 3)]) in header
    result = edframe("run", folder / "best.yaml", "--runs", tmp_path, report=False)
    assert (result.code, result.err) == (0, "")
    (run,) = tmp_path.iterdir()
    reached = [event.nmae for event in Run(run).events() if isinstance(event, Validation)]
    best = loaded(folder).best_trial
    assert list(best.intermediate_values.values()) == reached
    assert min(reached) == best.value == min(value for *_, value in results(folder))
    assert f"{best.value:.4g} %, the best of 3 trials" in header
    assert yaml.safe_load(recipe)["training"]["learning_rate"] == float(best.params["training.learning_rate"]) > 1e-9


def test_output_names_each_trial_the_best_and_what_to_do_next(tuned):
    folder, out = tuned
    lines = re.findall(r"^trial +(\d+): +([\d.]+) %; learning_rate (\S+)$", out, flags=re.MULTILINE)
    assert [(int(number), error) for number, error, _ in lines] == [
        (number, f"{value:.2f}") for number, (*_, value) in enumerate(results(folder))
    ]
    assert lines[0][2] == "1e-09"
    assert "3 trials, 3 trained to the end; best: trial " in out
    assert out.endswith(f"figure: {folder}/trials.png\nedframe run {folder}/best.yaml\n")
    assert (folder / "trials.png").read_bytes().startswith(b"\x89PNG")


def test_same_command_has_nothing_to_do_and_more_trials_continue_it(edframe, arguments, tuned, tmp_path):
    folder, _ = tuned
    before = results(folder)
    journal = (folder / "journal.jsonl").read_bytes()
    assert edframe(*arguments(folder, 3)).code == 0
    assert (folder / "journal.jsonl").read_bytes() == journal
    assert results(folder) == before
    assert edframe(*arguments(tmp_path, 2)).code == edframe(*arguments(tmp_path, 3)).code == 0
    assert results(tmp_path) == before


def test_study_that_was_killed_continues_to_the_same_trials(edframe, arguments, environment, tuned, tmp_path):
    driver = tmp_path / "killed.py"
    driver.write_text(KILLED)
    folder = tmp_path / "study"
    ended = subprocess.run([sys.executable, str(driver), *arguments(folder, 3)], env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    assert len(results(folder)) == 1
    again = edframe(*arguments(folder, 3))
    assert (again.code, again.err) == (0, "")
    assert results(folder) == results(tuned[0])


def test_ctrl_c_keeps_what_is_finished(edframe, arguments, tuned, tmp_path, monkeypatch):
    report = optuna.Trial.report

    def interrupted(self, value, step):
        report(self, value, step)
        if self.number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Trial, "report", interrupted)
        result = edframe(*arguments(tmp_path / "study", 3))
    assert (result.code, result.err) == (130, "Stopped; what is done is saved, and the same command continues.\n")
    assert len(results(tmp_path / "study")) == 1
    assert not list((tmp_path / "study").glob(".trial-*"))
    assert edframe(*arguments(tmp_path / "study", 3)).code == 0
    assert results(tmp_path / "study") == results(tuned[0])


@pytest.mark.slow
def test_two_workers_share_a_study(edframe, arguments, tmp_path):
    result = edframe(*arguments(tmp_path, 4, "--workers", "2"))
    assert (result.code, result.err) == (0, "")
    assert len(results(tmp_path)) == 4
    assert sorted(re.findall(r"^trial +(\d+):", result.out, flags=re.MULTILINE)) == ["0", "1", "2", "3"]
    study = loaded(tmp_path)
    assert sorted(trial.number for trial in study.trials) == [0, 1, 2, 3]
    assert study.best_trial.params["training.learning_rate"] != "1e-09"


def test_model_in_closed_form_is_searched_without_training_and_loss(edframe, tmp_path, environment):
    small = [part for pair in ("data.grid=12", "data.samples=16", "splits.validation=2") for part in ("--set", pair)]
    options = ["--device", "cpu", *small, "--loss", "sinkhorn", "--model", "krr", "--featurizer", "gaussian"]
    result = edframe("tune", *options, "--study", tmp_path, "--trials", 2)
    assert (result.code, result.err) == (0, "")
    searched = yaml.safe_load((tmp_path / "space.yaml").read_text())
    assert "featurizer.widths" in searched
    assert {key.partition(".")[0] for key in searched} <= {"featurizer", "model"}
    assert [list(reported) for _, reported, _ in results(tmp_path)] == [[1], [1]]


def test_default_study_is_found_again_by_the_same_command_on_any_device(edframe, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = arguments("unused", 1)
    del words[words.index("--study") : words.index("--study") + 2]
    assert edframe(*words).code == 0
    words[words.index("cpu")] = "auto"
    words[words.index("--trials") + 1] = "2"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = edframe(*words)
    (study,) = (tmp_path / "tuning").iterdir()
    assert re.fullmatch(r"li-o-li-unet-l2-[0-9a-f]{8}", study.name)
    assert len(results(study)) == 2, result.err


BAD = {
    "nothing there": (["--only", "training.rate"], "--only training.rate: nothing is searched there; did you mean"),
    "no range": (["--vary", "loss=0.2"], "--vary loss=0.2: only options of training, featurizer, model, loss can be"),
    "processes": (["--device", "2xcpu"], "device '2xcpu': each trial is trained in one process; use --workers"),
}


@pytest.mark.parametrize(("more", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_and_nothing_is_made(edframe, arguments, tmp_path, more, sentence):
    result = edframe(*arguments(tmp_path / "study", 2, *more))
    assert result.code == 2
    assert result.err.startswith(f"Error: {sentence}"), result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "study").exists()


def test_without_optuna_it_says_what_to_install(edframe, arguments, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = edframe(*arguments(tmp_path / "study", 2))
    assert result.code == 2
    assert result.err == (
        "Error: tuning needs optuna, which is not installed; install it by `pip install 'edframe[tune]'`\n"
    )
    assert not (tmp_path / "study").exists()
