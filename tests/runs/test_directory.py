"""The run directory: files appear whole, and what cannot be read is said."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from edframe.errors import RunError
from edframe.runs.directory import FORMAT, Run
from edframe.runs.events import Evaluated, Results, Step, Validation
from edframe.version import API_VERSION


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs", "name", "seed: 1\n")


@pytest.mark.parametrize("folder", ["my runs", "$HOME", "it's"])
def test_suggested_command_names_the_run_to_a_shell(tmp_path, folder):
    run = Run.create(tmp_path / folder, "name", "")
    (run.path / "provenance.json").unlink()
    with pytest.raises(RunError) as error:
        run.provenance()
    words = str(error.value).split("`")[1]
    printed = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["edframe", "run", str(run.path / "config.yaml")]


def step(number, loss=0.1):
    return Step(number, loss, learning_rate=1e-3, gradient_norm=0.01, seconds=0.5)


def files(run):
    return sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file())


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_new_run_has_its_config_and_format(run):
    assert run.path.name.count("-name-") == 1
    assert files(run) == ["config.yaml", "provenance.json"]
    assert run.config() == {"seed": 1}
    assert run.provenance() == {"format": FORMAT, "status": "created"}


def test_runs_of_one_second_have_different_folders(tmp_path):
    assert len({Run.create(tmp_path, "name", "").path for _ in range(20)}) == 20


def test_run_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made: Not a directory; choose another folder by --runs"):
        Run.create(tmp_path / "file", "name", "")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="cannot be made: the disk is full; choose another folder by --runs"):
        Run.create(tmp_path / "runs", "name", "")
    assert [path.name for path in tmp_path.rglob("*")] in (["file", "runs"], ["runs", "file"])


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_no_temporary(run, monkeypatch, failing):
    run.write("checkpoints/last.safetensors", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        if failing == "replace":
            patch.setattr("pathlib.Path.replace", full)
        with pytest.raises(RunError) as caught:
            run.write("checkpoints/last.safetensors", b"new")
    assert str(caught.value) == (
        f"{run.path}/checkpoints/last.safetensors cannot be written: the disk is full; what was saved before is "
        f"intact: fix that, then continue by `edframe run --resume {run.path}`"
    )
    assert (run.path / "checkpoints/last.safetensors").read_bytes() == b"old"
    assert files(run) == ["checkpoints/last.safetensors", "config.yaml", "provenance.json"]


def test_interrupted_write_leaves_the_old_file_and_no_temporary(run, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.write("config.yaml", b"new")
    assert run.config() == {"seed": 1}
    assert files(run) == ["config.yaml", "provenance.json"]


def test_reader_sees_the_old_file_or_the_new_one(run, monkeypatch):
    """Nothing is written through the name itself: when the content is on disk, the name still holds the old one."""
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((run.path / "config.yaml").read_bytes()))
    run.write("config.yaml", b"seed: 2\n")
    assert seen == [b"seed: 1\n", b"seed: 2\n"]  # the second time it is the folder, with the new name
    assert run.config() == {"seed": 2}


def test_facts_are_merged(run):
    run.record(status="running", seeds={"folds": 1})
    run.record(status="finished")
    assert run.provenance() == {"format": FORMAT, "status": "finished", "seeds": {"folds": 1}}


def test_events_come_back_and_a_line_cut_by_a_kill_is_left_out(run):
    run.log(step(1, 0.1), step(2, 0.2))
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    assert [event.loss for event in run.events()] == [0.1, 0.2]


def test_rewind_keeps_what_was_evaluated_where_nothing_is_left_to_train(run):
    run.log(step(1), step(2), Evaluated("a", {"nmae": 1.0}), Results(1, {}))
    run.rewind(2, trained=True)
    assert run.events() == [step(1), step(2), Evaluated("a", {"nmae": 1.0})]
    run.rewind(2)
    assert run.events() == [step(1), step(2)]


def test_rewind_drops_later_steps_and_results(run):
    run.log(step(1), step(2), step(3), Validation(2, 5.0, 0.1), Evaluated("a", {"nmae": 5.0}), Results(1, {}))
    run.rewind(2)
    assert run.events() == [step(1), step(2), Validation(2, 5.0, 0.1)]


def test_tensors_come_back_with_their_header(run):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(1)}
    run.save_tensors("checkpoints/best.safetensors", tensors, {"step": "7"})
    loaded, header = run.load_tensors("checkpoints/best.safetensors")
    assert torch.equal(loaded["a"], tensors["a"])
    assert loaded["b"].item() == 1
    assert header == {"format": str(FORMAT), "api": str(API_VERSION), "config": "seed: 1\n", "step": "7"}


def test_tensors_that_share_memory_are_saved(run):
    weight = torch.arange(4.0)
    run.save_tensors("checkpoints/best.safetensors", {"one": weight, "tied": weight}, {})
    loaded, _ = run.load_tensors("checkpoints/best.safetensors")
    assert torch.equal(loaded["one"], weight)
    assert torch.equal(loaded["tied"], weight)


DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"]


def test_every_kind_of_tensor_is_read_by_the_library(run):
    """Odd numbers of narrow values first: wide ones must still begin where a reader can address them."""
    tensors = {f"{i}": torch.arange(3).to(getattr(torch, name)) for i, name in enumerate(reversed(DTYPES))}
    tensors |= {"empty": torch.zeros(0, 4), "number": torch.tensor(0.1, dtype=torch.float64), 'ä/"': torch.ones(1)}
    run.save_tensors("checkpoints/best.safetensors", tensors, {})
    loaded = load_file(run.path / "checkpoints/best.safetensors")
    assert loaded.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert loaded[key].dtype == tensor.dtype
        assert torch.equal(loaded[key], tensor)


def test_any_flipped_bit_is_refused(run):
    """But for the name of the checksum: without it, the file is one of an older edframe."""
    name = "checkpoints/last.safetensors"
    run.save_tensors(name, {"a": torch.tensor([1.0, -2.0]), "b": torch.arange(3)}, {"step": "7"})
    whole = (run.path / name).read_bytes()
    begin = whole.index(b'"checksum"')
    for bit in range(8 * len(whole)):
        if begin <= bit // 8 < begin + len('"checksum"'):
            continue
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (run.path / name).write_bytes(damaged)
        with pytest.raises(RunError, match=r"last\.safetensors is damaged"):
            run.load_tensors(name)


def test_the_checksum_is_the_crc_of_what_is_in_the_file(run):
    """CRC-32C, bit by bit, as RFC 3720 defines it."""
    run.save_tensors("one.safetensors", {"a": torch.arange(5.0)}, {})
    content = (run.path / "one.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    kept = header["__metadata__"].pop("checksum")
    crc = 0xFFFFFFFF
    for byte in json.dumps(header, sort_keys=True).encode() + content[start:]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    assert kept == f"{crc ^ 0xFFFFFFFF:08x}"


def test_a_file_of_an_older_edframe_without_checksum_is_read(run):
    save_file({"a": torch.ones(2)}, run.path / "old.safetensors", {"step": "7"})
    tensors, header = run.load_tensors("old.safetensors")
    assert (tensors["a"].tolist(), header) == ([1.0, 1.0], {"step": "7"})


PEAK = """
import resource, sys, torch
from pathlib import Path
from edframe.runs.directory import Run

run = Run.create(Path(sys.argv[1]), "name", "")
tensors = {str(i): torch.ones(2_000_000) for i in range(25)}
run.save_tensors("checkpoints/last.safetensors", {"small": torch.ones(1)}, {})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run.save_tensors("checkpoints/last.safetensors", tensors, {})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the peak of memory in KiB, as Linux does")
def test_large_file_is_written_without_a_copy_in_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    (written,) = tmp_path.glob("*/checkpoints/last.safetensors")
    assert int(done.stdout) * 1024 < 0.2 * written.stat().st_size


def test_absent_tensors_are_said(run):
    with pytest.raises(RunError, match=r"best\.safetensors is not there; restore it .* repeat the run by `edframe run"):
        run.load_tensors("checkpoints/best.safetensors")


def test_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"is not a run directory: it has no config\.yaml"):
        Run.open(tmp_path)


def test_run_of_another_format_is_refused_with_the_version_that_reads_it(run):
    run.record(format=99, versions={"edframe": "9.9"})
    with pytest.raises(RunError, match=r"has format 99 \(edframe 9\.9\) and this edframe reads format 1: install that"):
        Run.open(run.path)


@pytest.mark.parametrize("content", ["", "{", "5", "[1]"])
def test_damaged_provenance_is_refused(run, content):
    run.write("provenance.json", content.encode())
    with pytest.raises(RunError, match=r"provenance\.json cannot be read .* repeat the run by `edframe run"):
        Run.open(run.path)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_keeps_every_file_and_space_makes_it_work_again(small_disk):
    run = Run.create(small_disk, "name", "seed: 1\n")
    run.save_tensors("checkpoints/last.safetensors", {"a": torch.ones(10_000)}, {})
    run.log(step(1))
    (small_disk / "ballast").write_bytes(bytes(190_000))
    before = {name: (run.path / name).read_bytes() for name in files(run)}
    for action in (
        lambda: run.save_tensors("checkpoints/last.safetensors", {"a": torch.zeros(10_000)}, {}),
        lambda: run.record(error="x" * 100_000),
        lambda: Run.create(small_disk, "other", "# " + "x" * 100_000),
    ):
        with pytest.raises(RunError, match="the disk is full"):
            action()
    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be written: the disk is full"):
        run.log(Evaluated("x" * 200_000, {}))
    before["metrics.jsonl"] = (run.path / "metrics.jsonl").read_bytes()
    assert {name: (run.path / name).read_bytes() for name in files(run)} == before
    assert run.events() == [step(1)]
    (small_disk / "ballast").unlink()
    run.rewind(1)
    run.save_tensors("checkpoints/last.safetensors", {"a": torch.zeros(10_000)}, {})
    assert not run.load_tensors("checkpoints/last.safetensors")[0]["a"].any()
    assert len(list(small_disk.iterdir())) == 1
    assert run.events() == [step(1)]
