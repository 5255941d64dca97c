"""What trackers hold, read back by their own readers, against metrics.jsonl; and that none can do harm to a run."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import pandas
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from edframe.cli.display import Display
from edframe.runs.directory import Run
from edframe.runs.events import Fit, Progress, Results, Step, Timing, Unconverged, Validation, step_of
from edframe.tracking import opened

BOTH = ("--track", "tensorboard", "--track", "mlflow")


@pytest.fixture(scope="module")
def continued(edframe, tiny, tmp_path_factory):
    """A tiny run with both trackers, stopped at step 6 after the checkpoint of step 4 and continued; no network."""
    runs = tmp_path_factory.mktemp("tracked runs")
    show = Display.show

    def stopping(self, event):
        if step_of(event) == 6:
            raise KeyboardInterrupt
        show(self, event)

    def refuse(*_):
        raise AssertionError("the network is asked for something")

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        patch.setattr(socket.socket, "connect", refuse)
        with patch.context() as stop:
            stop.setattr(Display, "show", stopping)
            first = edframe(*tiny(runs), *BOTH)
        store = f"sqlite:///{runs / 'mlflow.db'}"
        (path,) = (place for place in runs.iterdir() if place.is_dir())
        status = the_run_of(path, store)[1].info.status
        second = edframe("run", "--resume", path, *BOTH, report=False)
    assert (first.code, first.err, second.code, second.err) == (130, "", 0, "")
    return SimpleNamespace(path=path, store=store, status=status)


def the_run_of(path, store):
    """MLflow's client, and the one run that it has under the name of a run directory."""
    from mlflow import MlflowClient  # not before edframe has turned its telemetry off

    client = MlflowClient(store)
    (experiment,) = (each for each in client.search_experiments() if each.name == "edframe")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{path.name}'")
    return client, run


def from_tensorboard(path):
    events = EventAccumulator(str(path / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def from_mlflow(path, store):
    client, run = the_run_of(path, store)
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {key: sorted((point.step, point.value) for point in history) for key, history in histories.items()}


def from_events(path):
    """What is to be tracked of each kind of event that does not depend on the clock."""
    events = Run(path).events()
    steps, validations, results = (
        [event for event in events if isinstance(event, kind)] for kind in (Step, Validation, Results)
    )
    numbers = {
        f"training/{key}": [(event.step, getattr(event, key)) for event in steps]
        for key in ("loss", "learning_rate", "gradient_norm")
    }
    numbers["validation/nmae"] = [(event.step, event.nmae) for event in validations]
    numbers["validation/loss"] = [(event.step, event.loss) for event in validations]
    for name, row in results[0].metrics.items() if results else ():
        ends = {f"test/{name}": row.mean, f"test/{name}.low": row.low, f"test/{name}.high": row.high}
        numbers |= {tag: [(steps[-1].step, value)] for tag, value in ends.items()}
    return numbers


def assert_tracked(tracked, expected, rel=1e-12):
    assert {tag for tag in tracked if "/seconds" not in tag and not tag.startswith("timing/")} == set(expected)
    for tag, points in expected.items():
        assert [step for step, _ in tracked[tag]] == [step for step, _ in points], tag
        assert [value for _, value in tracked[tag]] == pytest.approx([value for _, value in points], rel=rel), tag


def test_a_continued_run_is_tracked_whole_with_each_step_once(continued):
    expected = from_events(continued.path)
    assert [step for step, _ in expected["training/loss"]] == [1, 2, 3, 4, 5, 6]
    assert "test/nmae.high" in expected
    assert_tracked(from_mlflow(continued.path, continued.store), expected)
    assert_tracked(from_tensorboard(continued.path), expected, rel=1e-6)  # TensorBoard keeps float32


def test_mlflow_has_the_status_of_the_run(continued):
    assert continued.status == "KILLED"
    assert the_run_of(continued.path, continued.store)[1].info.status == "FINISHED"


def test_parameters_are_the_configuration_by_dotted_keys(continued):
    expected = pandas.json_normalize(Run(continued.path).config(), sep=".").to_dict("records")[0]
    params = the_run_of(continued.path, continued.store)[1].data.params
    assert {
        key: params[key] if isinstance(value, str) else json.loads(params[key]) for key, value in expected.items()
    } == (expected)
    assert params.keys() == expected.keys()
    events = EventAccumulator(str(continued.path / "tensorboard")).Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(content).hparams
    assert hparams.keys() == expected.keys()
    assert hparams["training.learning_rate"].number_value == expected["training.learning_rate"]
    assert hparams["training.augment"].string_value == "true"
    assert hparams["data.name"].string_value == "li-o-li"


def test_a_run_that_was_not_tracked_is_filled_in_when_continued_with_a_tracker(continued, tmp_path, monkeypatch):
    path = tmp_path / "runs" / "20260101T120000Z-untracked"
    shutil.copytree(continued.path, path, ignore=shutil.ignore_patterns("tensorboard"))
    Run(path).rewind(4)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", continued.store)
    with opened(["tensorboard", "mlflow"], Run(path), 4):
        pass
    assert [place.name for place in path.parent.iterdir()] == [path.name]  # the store is where the variable says
    assert_tracked(from_mlflow(path, continued.store), from_events(path))
    assert_tracked(from_tensorboard(path), from_events(path), rel=1e-6)


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs", "made", "seed: 1\n")


def test_events_of_each_kind_are_on_disk_before_the_tracker_is_closed(run):
    with opened(["tensorboard"], run, 0) as track:
        track(Progress("fitting", 1, 2))
        track(Fit(1, 2, 0.5, {"ridge": 0.25}))
        track(Timing(1, 1, {"data": 2.0}, peak_memory=None))
        track(Unconverged("evaluation", "sinkhorn.unconverged", count=3, of=9))
        track(Step(2, math.inf, 1e-3, 0.25, 1.5, {"marginal_error": 0.5}))
        tracked = from_tensorboard(run.path)
    assert tracked == {
        "fit/samples": [(1, 2.0)],
        "fit/seconds": [(1, 0.5)],
        "fit/ridge": [(1, 0.25)],
        "timing/steps": [(1, 1.0)],
        "timing/data": [(1, 2.0)],
        "unconverged/evaluation.sinkhorn.unconverged": [(1, 3.0)],
        "training/loss": [(2, math.inf)],
        "training/learning_rate": [(2, pytest.approx(1e-3))],
        "training/gradient_norm": [(2, 0.25)],
        "training/seconds": [(2, 1.5)],
        "training/marginal_error": [(2, 0.5)],
    }


def full_disk(run):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    (file,) = (run.path / "tensorboard").iterdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 1000, limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def damaged_store(run):
    (run.path.parent / "mlflow.db").write_bytes(b"no database" * 1000)
    return lambda: None


@pytest.mark.parametrize(("name", "break_it"), [("tensorboard", full_disk), ("mlflow", damaged_store)])
def test_tracker_that_fails_in_the_middle_is_left_out_with_one_warning(
    run, continued, monkeypatch, capsys, name, break_it
):
    monkeypatch.setattr("edframe.tracking.mlflow.WAIT", 0.0)
    shutil.copy(continued.path.parent / "mlflow.db", run.path.parent)
    with opened([name], run, 0) as track:
        track(Step(1, 1.0, 1e-3, 0.25, 1.5))
        mend = break_it(run)
        try:
            for step in range(2, 102):
                track(Step(step, 1.0, 1e-3, 0.25, 1.5))
        finally:
            mend()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Warning: {name} failed and tracks this run no further (")
    assert err.endswith("); the run continues, and its metrics.jsonl has every number.\n")
    assert err.count("\n") == 1


def test_run_ends_well_though_the_server_is_not_there(edframe, tiny, continued, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = edframe(*tiny(tmp_path / "runs"), "--track", "mlflow", report=False)
    assert result.code == 0
    assert result.err.startswith("Warning: mlflow failed and tracks this run no further (")
    assert result.err.count("\n") == 1
    (path,) = (tmp_path / "runs").iterdir()
    assert Run(path).provenance()["status"] == "finished"
    assert from_events(path) == from_events(continued.path)


REFUSED = {
    "tensorbord": ("", "there is no tracker 'tensorbord'; did you mean 'tensorboard'? Choices: tensorboard, mlflow"),
    "tensorboard": ("tensorboard", "needs tensorboard, which is not installed"),
    "mlflow": (
        "mlflow",
        "needs mlflow, which is not installed; install it by `pip install 'edframe[track]'`",
    ),
    "mlflow ": ("sqlalchemy", "needs sqlalchemy, which is not installed"),
}


@pytest.mark.parametrize(("name", "absent", "sentence"), [(n.strip(), *rest) for n, rest in REFUSED.items()])
def test_tracker_that_cannot_be_had_is_one_sentence_and_nothing_is_made(
    edframe, tmp_path, monkeypatch, name, absent, sentence
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if absent:
        monkeypatch.setitem(sys.modules, absent, None)
    result = edframe("run", "--track", name)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: --track")
    assert sentence in result.err
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("imported", "disabled"), [("edframe.tracking.mlflow", "True"), ("mlflow", "False")])
def test_telemetry_of_mlflow_is_off_and_would_be_on_without_edframe(imported, disabled, tmp_path):
    """In a process that knows nothing of a test, where MLflow turns it off by itself."""
    code = (
        f"import {imported}; from mlflow.telemetry.utils import is_telemetry_disabled; print(is_telemetry_disabled())"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == disabled


@pytest.mark.slow
def test_of_two_processes_one_tracks(environment, tiny, tmp_path):
    arguments = [*tiny(tmp_path / "runs"), "--track", "tensorboard"]
    arguments[arguments.index("cpu")] = "2xcpu"
    command = [sys.executable, "-m", "edframe", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    (path,) = (tmp_path / "runs").iterdir()
    assert len(list((path / "tensorboard").iterdir())) == 1
    assert_tracked(from_tensorboard(path), from_events(path), rel=1e-6)


FIRST = """
import sys, pathlib
from edframe.runs.directory import Run
from edframe.runs.events import Validation
from edframe.tracking import opened
with opened(["mlflow"], Run(pathlib.Path(sys.argv[1])), 0) as track:
    track(Validation(1, 0.5, 1.5))
"""


@pytest.mark.slow
def test_two_first_runs_at_a_time_share_the_new_store(environment, tmp_path):
    made = [Run.create(tmp_path, name, "seed: 1\n").path for name in ("one", "other")]
    commands = [[sys.executable, "-c", FIRST, str(path)] for path in made]
    variables = {key: value for key, value in environment.items() if not key.startswith("MLFLOW_")}
    running = [subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) for command in commands]
    assert [process.communicate(timeout=120)[1] for process in running] == ["", ""]
    for path in made:
        assert from_mlflow(path, f"sqlite:///{tmp_path / 'mlflow.db'}") == {
            "validation/nmae": [(1, 0.5)],
            "validation/seconds": [(1, 1.5)],
        }
