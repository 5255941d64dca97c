"""``edframe compare``: what it runs, kills and reuse, several processes, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas
import pytest
import yaml
from filelock import FileLock

from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Step, to_dict

DRIVER = """
import os, signal, sys
import edframe.comparison.report, edframe.runs.execute
from edframe.cli import main
from edframe.runs.directory import Run

edframe.runs.execute.write_report = lambda path: path
edframe.comparison.report.write = lambda folder, *_, **__: folder
left, log = int(os.environ["EVENTS"]), Run.log

def counting(self, *events):
    global left
    log(self, *events)
    left -= len(events)
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

Run.log = counting
main()
"""


@pytest.fixture(scope="module")
def arguments(tiny):
    """Arguments of ``edframe compare`` for four runs of a moment."""

    def make(folder, *more, losses=("l2", "l1"), **settings):
        words = tiny("unused", **settings)
        for flag in ("--runs", "--loss"):
            del words[words.index(flag) : words.index(flag) + 2]
        flags = [word for loss in losses for word in ("--loss", loss)]
        places = ["--out", str(folder / "comparison"), "--runs", str(folder / "runs")]
        return ["compare", *words[1:], *flags, "--seeds", "2", *places, *more]

    return make


@pytest.fixture
def compare(edframe, monkeypatch):
    """The command without its page and the reports of the runs; the page has tests of its own."""

    def call(*words):
        with monkeypatch.context() as patch:
            patch.setattr("edframe.comparison.report.write", lambda folder, *_, **__: folder / "compare.html")
            return edframe(*words, report=False)

    return call


@pytest.fixture(scope="module")
def compared(edframe, arguments, tmp_path_factory):
    """The folder of a comparison with its page, and what was printed."""
    folder = tmp_path_factory.mktemp("compared")
    result = edframe(*arguments(folder), report=False)
    assert (result.code, result.err) == (0, "")
    return folder, result.out


def results(folder):
    """All that the runs of a comparison found of each test sample, by configuration."""
    events = {}
    for place in (folder / "runs").iterdir():
        (path,) = [config.parent for config in place.glob("*/config.yaml")]
        run = Run.open(path)
        assert run.provenance()["status"] == "finished"
        events[place.name] = [to_dict(event) for event in run.events() if isinstance(event, Step | Evaluated)]
        for event in events[place.name]:
            event.pop("seconds", None)
    return events


def test_every_run_can_be_repeated_from_its_own_config(edframe, compared, tmp_path):
    folder, _ = compared
    assert len(results(folder)) == 4
    place = sorted((folder / "runs").iterdir())[1]
    (config,) = place.glob("*/config.yaml")
    assert edframe("run", config, "--runs", tmp_path, report=False).code == 0
    (again,) = tmp_path.iterdir()
    samples = [to_dict(event) for event in Run(again).events() if isinstance(event, Evaluated)]
    assert samples == [event for event in results(folder)[place.name] if event["event"] == "sample"]


def test_page_and_tables_are_there_and_the_numbers_are_those_of_the_runs(compared):
    folder, out = compared
    table = pandas.read_csv(folder / "comparison" / "compare.csv")
    assert set(zip(table["variant"], table["seed"], strict=True)) == {(v, s) for v in ("l2", "l1") for s in (0, 1)}
    errors = {}
    for events in results(folder).values():
        for event in events:
            if event["event"] == "sample":
                errors.setdefault(event["id"], []).append(event["nmae"])
    for name, rows in table.groupby("id"):
        assert sorted(rows["nmae"]) == pytest.approx(sorted(errors[name]))
    assert (folder / "comparison" / "compare.html").exists()
    assert "l2, fold 0, seed 0: NMAE" in out
    assert re.search(r"^l1 +2 +\d", out, flags=re.MULTILINE)
    assert f"report: {folder}/comparison/compare.html" in out


def test_same_command_makes_no_run_again_and_another_comparison_uses_them(compare, arguments, compared):
    folder, _ = compared
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}
    again = compare(*arguments(folder))
    other = compare(*arguments(folder, "--out", str(folder / "other"), losses=("l1", "l2")))
    assert (again.code, other.code) == (0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}
    written = yaml.safe_load((folder / "other" / "compare.yaml").read_text())
    assert list(written["compare"]["loss"]) == ["l1", "l2"]


def test_two_labels_of_one_thing_are_one_run(compare, arguments, tmp_path):
    twins = ("l2", "{name: mix, weights: {l2: 1.0}}", "{name: mix, weights: {l2: 1}}")
    ended = compare(*arguments(tmp_path, "--seeds", "1", losses=twins))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count(": NMAE ") == 3
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_what_it_writes_down_repeats_it(compare, compared, tmp_path):
    folder, _ = compared
    places = ["--out", str(folder / "comparison"), "--runs", str(folder / "runs")]
    before = sorted((folder / "runs").iterdir())
    ended = compare("compare", folder / "comparison" / "compare.yaml", *places)
    assert (ended.code, ended.err) == (0, "")
    assert sorted((folder / "runs").iterdir()) == before


def test_killed_twice_it_ends_with_the_same_numbers(compare, arguments, environment, compared, tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    command = [sys.executable, str(driver), *arguments(tmp_path)]
    for events in (4, 21):  # in the first run, after its first checkpoint, and in the evaluation of a later one
        process = subprocess.run(command, env={**environment, "EVENTS": str(events)}, capture_output=True)
        assert process.returncode == -signal.SIGKILL, process.stderr
    ended = compare(*arguments(tmp_path))
    assert (ended.code, ended.err) == (0, "")
    assert results(tmp_path) == results(compared[0])


def test_ctrl_c_keeps_what_is_done(compare, arguments, compared, tmp_path, monkeypatch):
    log = Run.log

    def interrupted(self, *events):
        log(self, *events)
        if len(list((tmp_path / "runs").iterdir())) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", interrupted)
        stopped = compare(*arguments(tmp_path))
    assert stopped.code == 130
    assert stopped.err == "Stopped; what is done is saved, and the same command continues.\n"
    assert compare(*arguments(tmp_path)).code == 0
    assert results(tmp_path) == results(compared[0])


def test_failed_run_does_not_stop_the_others(compare, arguments, tmp_path):
    bad = "{name: mix, weights: {l1: 1.0e+300}}"
    ended = compare(*arguments(tmp_path, losses=("l2", bad)))
    assert ended.code == 2
    assert "2 of 4 runs failed (mix, fold 0, seed 0: the loss is not finite" in ended.err
    assert ended.out.count("l2, fold 0") == 2


def test_equal_time_is_measured_once_and_kept(compare, arguments, tmp_path, monkeypatch):
    from edframe.comparison import carry_out

    measured = []
    seconds = {"l2": 0.1, "l1": 0.05}

    def step(experiment, registry):
        measured.append(experiment.loss.name)
        return seconds[experiment.loss.name]

    monkeypatch.setattr(carry_out, "step_seconds", step)
    for _ in range(2):
        assert compare(*arguments(tmp_path, "--seconds", "0.4")).code == 0
    assert measured == ["l2", "l1"]
    assert json.loads((tmp_path / "comparison" / "steps.json").read_text()) == {"l2": 4, "l1": 8}
    steps = sorted(len([e for e in events if e["event"] == "step"]) for events in results(tmp_path).values())
    assert steps == [4, 4, 8, 8]


def test_a_run_that_another_process_makes_is_waited_for_by_name(compare, arguments, compared, tmp_path):
    (place,) = {path.name for path in (compared[0] / "runs").iterdir()} - set(list(results(compared[0]))[1:])
    (tmp_path / "runs" / place).mkdir(parents=True)
    with FileLock(tmp_path / "runs" / place / ".lock"):
        ended = compare(*arguments(tmp_path))
    assert ended.code == 2
    assert f"{place} is being made by another `edframe compare`" in ended.err
    assert len(list((tmp_path / "runs").glob("*/*/config.yaml"))) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--loss", "l2"], "there is nothing to compare"),
        (["--loss", "l2", "--loss", "l3"], "there is no loss 'l3'"),
        (["--loss", "l2", "--loss", "{name: mix"], "neither a component's name nor a block"),
        (["--loss", "l2", "--loss", "l1", "--folds", "5"], "the experiment has 4 folds"),
        (["--loss", "l2", "--loss", "l1", "--set", "training.size=2,5000"], "training.size = 5000: the training part"),
        (["--loss", "l2", "--loss", "l1", "--device", "2xcpu"], "each run is trained in one process"),
        (["--loss", "l2", "--loss", "l1", "--set", "splits.validation=15"], "cannot be split into 4 folds"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(edframe, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = edframe("compare", "--set", "data.grid=12", "--set", "data.samples=16", *words)
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_folder_of_another_comparison_is_left_alone_and_a_device_makes_no_other(compare, arguments, compared):
    folder, _ = compared
    written = (folder / "comparison" / "compare.yaml").read_bytes()
    other = compare(*arguments(folder, losses=("l2", "sinkhorn")))
    assert other.code == 2
    assert "comparison is the comparison of something else: its compare.yaml differs; choose another" in other.err
    assert (folder / "comparison" / "compare.yaml").read_bytes() == written
    assert compare(*arguments(folder, "--device", "auto")).code == 0


def test_recipe_of_a_comparison_is_not_run(edframe, compared):
    file = compared[0] / "comparison" / "compare.yaml"
    ended = edframe("run", file)
    assert ended.code == 2
    assert re.search(r"compare.yaml:\d+: this is a recipe of several runs; give it to `edframe compare`", ended.err)


@pytest.mark.slow
def test_a_scheduler_and_two_workers_make_the_same_table(compare, arguments, environment, compared, tmp_path):
    """Each a process of its own on loopback, as they would be on a cluster."""
    dask, file = [sys.executable, "-m", "dask"], tmp_path / "scheduler.json"
    local = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    with contextlib.ExitStack() as started:
        for words in (("scheduler", "--port", "0"), *2 * [("worker", "--no-nanny", "--nthreads", "1")]):
            process = subprocess.Popen([*dask, *words, *local], env={**environment, "OMP_NUM_THREADS": "2"}, **quiet)
            started.callback(process.wait)
            started.callback(process.kill)
            while not (file.exists() and file.read_text()):
                time.sleep(0.1)
        ended = compare(*arguments(tmp_path, "--scheduler", json.loads(file.read_text())["address"]))
    assert (ended.code, ended.err) == (0, "")
    assert results(tmp_path) == results(compared[0])
