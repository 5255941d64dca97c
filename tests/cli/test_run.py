"""``edframe run``: stopping it, continuing it, and every way to ask for something wrong."""

from __future__ import annotations

import errno
import os
import shutil
import signal

import pytest
import zarr
from edframe_pyscf import li_o_li

from edframe.errors import RunError
from edframe.runs.directory import LOCK, Run
from edframe.runs.events import Results, Step, Timing, to_dict

LAST, BEST = "checkpoints/last.safetensors", "checkpoints/best.safetensors"
FITTED = "checkpoints/featurizer.safetensors"


def the_run(runs):
    (path,) = runs.iterdir()
    return path


def events(path):
    """All events of a run but what depends on the clock."""
    return [
        {key: value for key, value in to_dict(event).items() if key != "seconds"}
        for event in Run(path).events()
        if not isinstance(event, Timing)
    ]


def tensors(path, name):
    return {key: value.tolist() for key, value in Run(path).load_tensors(name)[0].items()}


def assert_same_result(path, whole):
    assert events(path) == events(whole)
    for name in (LAST, BEST):
        assert tensors(path, name) == tensors(whole, name)
    for role in ("worst", "median", "best"):
        assert tensors(path, f"predictions/{role}.safetensors") == tensors(whole, f"predictions/{role}.safetensors")
    assert Run(path).provenance()["status"] == "finished"


MOMENTS = [
    ({"event": "step", "step": 3}, signal.SIGINT, 3),
    ({"event": "step", "step": 3}, signal.SIGTERM, 3),
    ({"event": "step", "step": 5}, signal.SIGKILL, 4),
    ({"event": "progress", "what": "evaluation", "done": 2}, signal.SIGINT, 6),
]


@pytest.mark.parametrize(("moment", "number", "checkpoint"), MOMENTS)
def test_stopped_run_resumes_to_the_result_of_an_uninterrupted_one(
    interrupted, edframe, tiny, finished, tmp_path, moment, number, checkpoint
):
    result = interrupted(tiny(tmp_path / "runs"), moment, number)
    path = the_run(tmp_path / "runs")
    if number == signal.SIGKILL:
        assert result.code == -signal.SIGKILL
    else:
        assert (result.code, result.err) == (130, "")
        assert result.out.rstrip().endswith(f"Continue with: edframe run --resume {path}")
        assert Run(path).provenance()["status"] == "interrupted"
    assert int(Run(path).load_tensors(LAST)[1]["step"]) == checkpoint
    again = edframe("run", "--resume", path, report=False)
    assert (again.code, again.err) == (0, "")
    assert_same_result(path, finished)


@pytest.fixture(scope="module")
def fitted(edframe, tiny, tmp_path_factory):
    """A finished tiny run with a fitted featurizer. Not to be changed."""
    runs = tmp_path_factory.mktemp("fitted")
    result = edframe(*tiny(runs, featurizer__name="atoms"), report=False)
    assert result.code == 0, result.err
    return the_run(runs)


@pytest.mark.parametrize(
    "moment",
    [{"event": "progress", "what": "fitting the featurizer", "done": 2}, {"event": "step", "step": 3}],
    ids=["in the fit", "in the training"],
)
def test_a_run_with_a_fitted_featurizer_resumes_to_the_same(interrupted, edframe, tiny, fitted, tmp_path, moment):
    assert interrupted(tiny(tmp_path / "runs", featurizer__name="atoms"), moment).code == 130
    path = the_run(tmp_path / "runs")
    again = edframe("run", "--resume", path, report=False)
    assert (again.code, again.err) == (0, "")
    assert tensors(path, FITTED) == tensors(fitted, FITTED)
    assert_same_result(path, fitted)


def test_ctrl_c_while_densities_are_made_keeps_them(edframe, environment, tiny, finished, tmp_path, monkeypatch):
    monkeypatch.setitem(environment, "EDFRAME_CACHE", str(tmp_path / "empty"))
    label, made = li_o_li.label, []

    def interrupted(job):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(job.id)
        return label(job)

    monkeypatch.setattr(li_o_li, "label", interrupted)
    result = edframe(*tiny(tmp_path / "runs"))
    assert (result.code, result.err) == (130, "Stopped; what is done is saved, and the same command continues.\n")
    assert not (tmp_path / "runs").exists()
    (cache,) = (tmp_path / "empty").rglob("*.zarr")
    assert zarr.open_group(cache).attrs["edframe"]["samples"] == 3
    monkeypatch.setattr(li_o_li, "label", lambda job: made.append(job.id) or label(job))
    again = edframe(*tiny(tmp_path / "runs"), report=False)
    assert len(set(made)) == len(made) > 3
    assert (again.code, again.err) == (0, "")
    assert_same_result(the_run(tmp_path / "runs"), finished)


def test_finished_run_has_nothing_to_resume(edframe, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    result = edframe("run", "--resume", finished)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{finished} is finished; `edframe report {finished}` writes its report again\n"
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_run_on_the_config_of_a_run_repeats_it(edframe, finished, tmp_path):
    result = edframe("run", finished / "config.yaml", "--runs", tmp_path / "runs", report=False)
    assert (result.code, result.err) == (0, "")
    assert_same_result(the_run(tmp_path / "runs"), finished)
    assert (the_run(tmp_path / "runs") / "config.yaml").read_text() == (finished / "config.yaml").read_text()


def test_another_fold_and_metric_are_in_the_output_and_the_events(edframe, tiny, finished, tmp_path):
    result = edframe(*tiny(tmp_path / "runs"), "--fold", 2, "--set", "metrics=[l1]")
    path = the_run(tmp_path / "runs")
    assert result.out.startswith(f"li-o-li · sad · unet · l2  →  {path}\n")
    assert f"report: {path}/report.html" in result.out
    assert (path / "report.html").is_file()
    assert "test samples of fold 2" in result.out
    (summary,) = [event for event in events(path) if event["event"] == "summary"]
    table = {line.split()[0]: line for line in result.out.splitlines() if line.strip()}
    for name, row in summary["metrics"].items():
        assert f"{row['mean']:.3g}" in table[name]
    assert {"l1", "l2"} <= set(summary["metrics"])
    tested, before = ({e["id"] for e in events(run) if e["event"] == "sample"} for run in (path, finished))
    assert tested.isdisjoint(before)
    assert max(map(len, result.out.replace(str(path), "").splitlines())) <= 80


def test_two_processes_share_one_run_and_one_fitted_featurizer(process, tiny, fitted, tmp_path):
    arguments = tiny(tmp_path / "runs", featurizer__name="atoms")
    arguments[arguments.index("cpu")] = "2xcpu"
    result = process(*arguments)
    assert result.code == 0, result.err
    path = the_run(tmp_path / "runs")
    assert Run(path).provenance()["processes"] == 2
    assert [event["step"] for event in events(path) if event["event"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert events(path)[0] == events(fitted)[0]
    assert [event["event"] for event in events(path)].count("featurizer") == 1
    assert tensors(path, FITTED) == tensors(fitted, FITTED)
    assert result.out.count("report:") == 1


def test_two_processes_stop_together_when_one_gets_the_signal(interrupted, tiny, tmp_path):
    arguments = tiny(tmp_path / "runs")
    arguments[arguments.index("cpu")] = "2xcpu"
    result = interrupted(arguments, {"event": "step", "step": 3}, signal.SIGTERM)
    assert result.code == 130
    path = the_run(tmp_path / "runs")
    assert f"Continue with: edframe run --resume {path}" in result.out
    assert "Traceback" not in result.err
    assert int(Run(path).load_tensors(LAST)[1]["step"]) == 3


def test_bf16_runs_on_the_cpu(edframe, tiny, tmp_path):
    result = edframe(*tiny(tmp_path / "runs", training__precision="bf16-mixed"), report=False)
    assert (result.code, result.err) == (0, "")
    (summary,) = [event for event in events(the_run(tmp_path / "runs")) if event["event"] == "summary"]
    assert summary["metrics"]["electron_count_error"]["max"] <= 1e-6 * 12


BAD = {
    "unknown loss": (["--loss", "l3"], "--loss: there is no loss 'l3'; did you mean 'l2'? Choices: "),
    "misspelt option": (
        ["--loss", "sinkhorn", "--set", "loss.blurr=0.2"],
        "--set loss.blurr=0.2: there is no option 'loss.blurr'; did you mean 'blur'? Choices: ",
    ),
    "negative blur": (
        ["--loss", "sinkhorn", "--set", "loss.blur=-0.2"],
        "--set loss.blur=-0.2: loss.blur = -0.2: input should be greater than 0 (blur: ",
    ),
    "tab": (["tab.yaml"], "tab.yaml:2: there is a tab in the indentation; YAML allows spaces only"),
    "unknown device": (["--device", "gpu"], "--device: device: 'gpu' is not a device; write auto, cpu, cuda or mps"),
    "absent device": (["--device", "4096xcuda"], "device '4096xcuda': this machine has "),
    "fold 9": (["--fold", "9"], "--fold: splits: fold must be below folds: with 4 folds they are 0 to 3"),
    "no equals sign": (
        ["--set", "training.steps"],
        "--set training.steps: write it as key=value, for example --set training.steps=200",
    ),
    "absent config": (["tabs.yaml"], "tabs.yaml: no such file; did you mean tab.yaml?"),
    "metric that is no loss": (["--set", "metrics=[unet]"], "--set metrics=[unet]: there is no loss 'unet'; "),
    "too many for validation": (
        ["--set", "data.samples=8", "--set", "splits.validation=100"],
        "8 groups of samples cannot be split into 4 folds with 100 validation samples, which takes 135 or more; use",
    ),
    "resume with other options": (
        ["--resume", "x", "--loss", "l2"],
        "--resume continues a run with its own config.yaml; only --device may be given with it",
    ),
    "resume of no run": (["--resume", "."], ". is not a run directory: it has no config.yaml; give a folder made by"),
    "resume of nothing": (["--resume", "absent"], "absent is not a run directory: it has no config.yaml"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a config that has a tab."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tab.yaml").write_text("loss:\n\tname: l2\n")
    return tmp_path


def assert_refused(result, sentence):
    assert result.code == 2
    assert result.err.startswith(f"Error: {sentence}"), result.err
    assert result.err.count("\n") == 1
    assert result.out == ""  # the samples are counted before any is made


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_and_nothing_is_made(edframe, folder, arguments, sentence):
    assert_refused(edframe("run", *arguments), sentence)
    assert [path.name for path in folder.rglob("*")] == ["tab.yaml"]


def test_component_of_a_broken_plugin_names_the_plugin(process, target, folder):
    (folder / "config.yaml").write_text("seed: 1\nloss: {name: unseen}\n")
    result = process("run", "config.yaml", PYTHONPATH=str(target))
    assert_refused(result, "config.yaml:2: there is no loss 'unseen'")
    assert "edframe-test-raising: " in result.err
    assert sorted(path.name for path in folder.rglob("*")) == ["config.yaml", "tab.yaml"]


def test_a_report_that_cannot_be_written_is_not_announced_and_the_run_is_finished(edframe, tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("edframe.report.page._replace", full)
        result = edframe(*tiny(tmp_path / "runs"))
    path = the_run(tmp_path / "runs")
    assert result.code == 2
    assert result.err == (
        f"Error: the report cannot be written to {path}: No space left on device; fix that, then write it by "
        f"`edframe report {path}`\n"
    )
    assert "report:" not in result.out
    assert Run(path).provenance()["status"] == "finished"
    assert edframe("report", path).out == f"{path}/report.html\n"


@pytest.fixture
def stopped(finished, tmp_path):
    """A copy of the finished run that claims to have been interrupted."""
    path = tmp_path / "stopped"
    shutil.copytree(finished, path)
    Run(path).record(status="interrupted")
    return path


def cut(path):
    content = (path / LAST).read_bytes()
    (path / LAST).write_bytes(content[: len(content) // 2])
    return f"{path}/{LAST} is damaged, it may have been cut short ("


def another_format(path):
    Run(path).record(format=99)
    return f"{path} has format 99 (edframe 0.1.0) and this edframe reads format 1: install that version to continue it"


def wider(path):
    Run(path).write("config.yaml", (path / "config.yaml").read_text().replace("- 8\n", "- 16\n").encode())
    return f"{path}/config.yaml was edited since the checkpoint was saved (model.widths was [4, 8], is [4, 16]); undo"


def misspelt(path):
    Run(path).write("config.yaml", (path / "config.yaml").read_text().replace("steps: 6", "stepps: 6").encode())
    return f"{path}/config.yaml:"


def without_provenance(path):
    (path / "provenance.json").unlink()
    return f"{path}/provenance.json cannot be read ("


@pytest.mark.parametrize("damage", [cut, another_format, wider, misspelt, without_provenance])
def test_run_that_cannot_be_resumed_is_one_sentence_and_stays_as_it_is(edframe, stopped, damage):
    sentence = damage(stopped)
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*") if path.name != LOCK}
    assert_refused(edframe("run", "--resume", stopped), sentence)
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*") if path.name != LOCK} == before


def test_a_run_that_another_process_continues_is_refused(edframe, stopped):
    before = (stopped / "metrics.jsonl").read_bytes()
    with Run(stopped).alone():
        result = edframe("run", "--resume", stopped)
    assert_refused(result, f"{stopped} is being run by another process; wait for it, or stop it\n")
    assert (stopped / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("resumed", [False, True], ids=["new", "resumed"])
def test_a_run_is_held_while_it_goes_on(edframe, tiny, stopped, tmp_path, monkeypatch, resumed):
    refused = []

    def seen(self, event):
        if isinstance(event, Results):
            with pytest.raises(RunError, match="is being run by another process"), Run(self._path).alone():
                raise AssertionError("two at once")
            refused.append(self._path)

    monkeypatch.setattr("edframe.cli.display.Display.show", seen)
    arguments = ["run", "--resume", stopped] if resumed else tiny(tmp_path / "runs")
    assert edframe(*arguments, report=False).code == 0
    assert refused == [stopped if resumed else the_run(tmp_path / "runs")]
    with Run(refused[0]).alone():  # and free afterwards
        pass


def test_run_on_other_data_is_not_resumed(edframe, stopped):
    dataset = Run(stopped).provenance()["dataset"]
    Run(stopped).record(dataset={**dataset, "fingerprint": "0" * 64})
    result = edframe("run", "--resume", stopped)
    assert result.code == 2
    assert result.err.startswith(f"Error: {stopped} was made from other data (fingerprint 000000000000, now ")


def test_debug_shows_the_traceback(edframe):
    with pytest.raises(RunError, match="only --device may be given"):
        edframe("--debug", "run", "--resume", "x", "--loss", "l2")


@pytest.mark.parametrize("name", ["last.safetensors", "provenance.json", "metrics.jsonl"])
def test_full_disk_is_one_sentence_and_space_makes_the_run_go_on(edframe, tiny, finished, tmp_path, monkeypatch, name):
    """The disk is full from step 3 on, for the file named."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write, log = Run.write, Run.log
    count = []

    def writing(self, target, content):
        with pytest.MonkeyPatch.context() as patch:
            if target.endswith(name) and count.count(Step) >= 3:
                patch.setattr(os, "fsync", full)
            return write(self, target, content)

    def logging(self, *events):
        count.extend(type(event) for event in events)
        if name == "metrics.jsonl" and count.count(Step) > 3:
            raise self._write_error("metrics.jsonl", OSError(errno.ENOSPC, "full"))
        return log(self, *events)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write", writing)
        patch.setattr(Run, "log", logging)
        result = edframe(*tiny(tmp_path / "runs"), report=False)
    path = the_run(tmp_path / "runs")
    file = f"checkpoints/{name}" if name.endswith("safetensors") else name
    assert result.code == 2
    assert result.err == (
        f"Error: {path}/{file} cannot be written: the disk is full; what was saved before is intact: fix that, then "
        f"continue by `edframe run --resume {path}`\n"
    )
    assert not list(path.rglob("*.tmp"))
    assert int(Run(path).load_tensors(LAST)[1]["step"]) == {"provenance.json": 6}.get(name, 2)
    assert Run(path).provenance()["status"] == ("running" if name == "provenance.json" else "failed")
    again = edframe("run", "--resume", path, report=False)
    assert (again.code, again.err) == (0, "")
    assert_same_result(path, finished)
